"""The two shapes of an error: the shop's own, and RFC 9457's for who asks for it. A leaf.

Whoever accepts `application/problem+json` by name, and not less than plain JSON, gets the second. Both
hold the same: `code`, by which programs tell errors apart, `detail` for people, and `reasons`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.utils.translation import gettext as _

JSON = "application/json"
PROBLEM = "application/problem+json"


def format_error(body: dict[str, Any], *, status: int, accept: str) -> tuple[dict[str, Any], str]:
    """The body of an error as the client wants it, with its media type; `body` is in the shop's shape."""
    if not prefers_problem_json(accept):
        return body, JSON
    # The code says more than any type of ours could; for that, RFC 9457 has about:blank.
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if "detail" in body and not isinstance(body["detail"], list | dict):
        return told | body, PROBLEM
    return told | {"detail": _("A field is wrong."), "code": "invalid", "errors": body}, PROBLEM


def prefers_problem_json(accept: str) -> bool:
    wanted = dict(_qualities(accept))
    plain = next((wanted[kind] for kind in (JSON, "application/*", "*/*") if kind in wanted), 0.0)
    asked = wanted.get(PROBLEM, 0.0)
    return asked > 0 and asked >= plain


def _qualities(accept: str) -> Iterator[tuple[str, float]]:
    """Each media range with its q. Not by Django's parser, which some headers crash."""
    for part in accept.split(","):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        given = [text.partition("=")[2].strip() for text in parameters if re.match(r"q\s*=", text)]
        # What is no quality counts as nothing said, as Django has it.
        is_quality = given and re.fullmatch(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", given[0])
        yield kind, float(given[0]) if is_quality else 1.0

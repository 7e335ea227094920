"""Formats errors in the API's own shape, or in that of RFC 9457 if the client prefers it.

A client gets RFC 9457 if it accepts `application/problem+json` by name, with at least the quality of plain
JSON. Both shapes have `code`, by which programs distinguish errors, `detail` for people, and `reasons`.
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
    """Return the body of an error and its media type; `body` is in the API's own shape."""
    if not prefers_problem_json(accept):
        return body, JSON
    # `code` already identifies the error; RFC 9457 has about:blank for problems without a type.
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if "detail" in body and not isinstance(body["detail"], list | dict):
        return told | body, PROBLEM
    return told | {"detail": _("At least one field is invalid."), "code": "invalid", "errors": body}, PROBLEM


def prefers_problem_json(accept: str) -> bool:
    wanted = dict(_qualities(accept))
    plain = next((wanted[kind] for kind in (JSON, "application/*", "*/*") if kind in wanted), 0.0)
    asked = wanted.get(PROBLEM, 0.0)
    return asked > 0 and asked >= plain


def _qualities(accept: str) -> Iterator[tuple[str, float]]:
    """Yield each media range with its quality. Django's own parser crashes on some headers."""
    for part in accept.split(","):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        given = [text.partition("=")[2].strip() for text in parameters if re.match(r"q\s*=", text)]
        # An invalid quality is ignored, as in Django.
        is_quality = given and re.fullmatch(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", given[0])
        yield kind, float(given[0]) if is_quality else 1.0

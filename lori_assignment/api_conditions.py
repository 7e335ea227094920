"""`ETag`, `If-Match` and `If-None-Match`, by the rules of RFC 9110. A leaf.

A tag is of the whole answer, byte for byte, and strong. So whatever the client has seen and is true no
more makes it stale: another's change, of course, and also a running cost that has grown by a day, or a
copy of the book that was rented meanwhile. That of a list is weak: it goes compressed, and nobody changes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.utils.http import parse_etags
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException

from lori_assignment.api_rendering import written

SAFE = ("GET", "HEAD")


class PreconditionFailed(APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = _("This has changed since you read it; read it again.")


def tag_of(data: Any) -> str:
    return f'"{hashlib.sha256(written(data)).hexdigest()[:32]}"'


def has_condition(headers: Mapping[str, str]) -> bool:
    return "If-Match" in headers or "If-None-Match" in headers


def is_known(headers: Mapping[str, str], *, method: str, tag: str) -> bool:
    """Whether the client has what `tag` stands for already, so that 304 says enough.

    Raises PreconditionFailed where If-Match names another, or If-None-Match forbids a change.
    """
    # A header that names no tag at all matches nothing: what was meant as a guard is not passed over.
    # By the strong comparison: a weak tag is equal to none.
    if "If-Match" in headers and not _names(
        tag, [n for n in parse_etags(headers["If-Match"]) if n[:2] != "W/"]
    ):
        raise PreconditionFailed
    # By the weak comparison: a proxy may have compressed the answer, and made its tag a weak one.
    known = [named.removeprefix("W/") for named in parse_etags(headers.get("If-None-Match", ""))]
    if _names(tag.removeprefix("W/"), known):
        if method not in SAFE:
            raise PreconditionFailed
        return True
    return False


def _names(tag: str, named: list[str]) -> bool:
    return named == ["*"] or tag in named

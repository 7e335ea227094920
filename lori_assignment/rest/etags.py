"""Checks `If-Match` and `If-None-Match` by the rules of RFC 9110. `rest.viewsets` computes the ETags."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.http import parse_etags
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException

SAFE = ("GET", "HEAD")


class PreconditionFailed(APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = _("This has changed since you loaded it. Load it again.")


def has_precondition(headers: Mapping[str, str]) -> bool:
    return "If-Match" in headers or "If-None-Match" in headers


def check_preconditions(headers: Mapping[str, str], *, method: str, etag: str) -> None:
    """Raise PreconditionFailed unless If-Match names `etag` and If-None-Match permits a change.

    Django's `get_conditional_response` ignores an If-Match header that it cannot parse. Here such a header
    matches nothing, so that a change that was meant to be conditional is refused.
    """
    if "If-Match" in headers:
        # Strong comparison: a weak ETag never matches.
        named = [name for name in parse_etags(headers["If-Match"]) if not name.startswith("W/")]
        if not _matches(etag, named):
            raise PreconditionFailed
    if method not in SAFE:
        # Weak comparison: a proxy may have compressed the response and made its ETag weak.
        named = [name.removeprefix("W/") for name in parse_etags(headers.get("If-None-Match", ""))]
        if _matches(etag.removeprefix("W/"), named):
            raise PreconditionFailed


def _matches(etag: str, named: list[str]) -> bool:
    return named == ["*"] or etag in named

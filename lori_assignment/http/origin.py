"""Checks the Origin header of forms without a CSRF token."""

from __future__ import annotations

from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware, RejectRequest
from django.utils.decorators import decorator_from_middleware


class OriginMiddleware(CsrfViewMiddleware):
    """Accepts a form by its Origin header alone: the site's own or one of CSRF_TRUSTED_ORIGINS.

    Django's middleware checks the header if there is one, and then the token. Every browser sends the header
    with a form, and no page can forge it.
    """

    def _check_token(self, request: HttpRequest) -> None:
        if "HTTP_ORIGIN" not in request.META:
            raise RejectRequest("Origin checking failed - no Origin.")


same_origin = decorator_from_middleware(OriginMiddleware)

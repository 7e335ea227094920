"""A check of the Origin header, for forms without a CSRF token. A leaf."""

from __future__ import annotations

from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware, RejectRequest
from django.utils.decorators import decorator_from_middleware


class OriginMiddleware(CsrfViewMiddleware):
    """Accepts a form by its Origin alone: that of the shop itself or one of CSRF_TRUSTED_ORIGINS.

    Django's own checks the header where there is one, and then the token. Every browser sends it with a form,
    and no page can forge it.
    """

    def _check_token(self, request: HttpRequest) -> None:
        if "HTTP_ORIGIN" not in request.META:
            raise RejectRequest("Origin checking failed - no Origin.")


same_origin = decorator_from_middleware(OriginMiddleware)

"""Authenticates API requests by a token in the header, or by a browser's cookie with a CSRF header."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.authentication import CSRFCheck
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.tokens import Token

from accounts.models import User
from accounts.tokens import owner_of, read_access_token
from accounts.web_tokens import ACCESS_COOKIE


class JWTHeaderOrCookieAuthentication(JWTAuthentication):
    """Prefers the header to the cookie, and rejects an invalid header.

    Browsers send the cookie automatically. An invalid cookie is ignored, so that public endpoints stay
    public. A valid one alone does not permit changes, because another site could have made the browser send
    the request.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        header = self.get_header(request)
        # Ignore other authentication schemes, such as a proxy's Basic.
        if header is not None and self.get_raw_token(header) is not None:
            return super().authenticate(request)
        return self._authenticate_cookie(request)

    def get_validated_token(self, raw_token: bytes) -> Token:
        try:
            return read_access_token(raw_token)
        except TokenError as error:
            # The form in which simplejwt raises it; `rest.exception_handler` returns the messages.
            raise InvalidToken({"detail": str(error), "messages": [{"message": str(error)}]}) from error

    def get_user(self, validated_token: Token) -> User:  # type: ignore[override]  # simplejwt returns any user
        """Unlike simplejwt, reject tokens that were revoked."""
        try:
            return owner_of(validated_token)
        except TokenError as error:
            raise InvalidToken(str(error)) from error

    def _authenticate_cookie(self, request: Request) -> tuple[Any, Any] | None:
        text = request.COOKIES.get(ACCESS_COOKIE)
        if not text:
            return None
        try:
            token = self.get_validated_token(text.encode())
            user = self.get_user(token)
        except (InvalidToken, AuthenticationFailed, UnicodeError):
            return None
        _require_csrf(request)
        return user, token


def _require_csrf(request: Request) -> None:
    check = CSRFCheck(_unused_view)
    # Reads the cookie, which process_view() compares with the header; safe methods pass.
    check.process_request(request)
    if check.process_view(request, _unused_view, (), {}):
        raise PermissionDenied(
            _("With cookie authentication, requests that change data need the X-CSRFToken header."),
            code="csrf_failed",
        )


def _unused_view(request: Any) -> HttpResponse:
    """Stands in for the view, which is exempt from CSRF because not all clients use cookies."""
    raise NotImplementedError

"""Who calls: by the token in the header, as programs do, or by a browser's cookie with its CSRF header."""

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


class HeaderOrCookie(JWTAuthentication):
    """A header wins over the cookie, and a bad one is refused.

    The browser sends its cookie along unasked. A stale one is as good as none, so that what is for anyone
    stays for anyone; and a good one alone changes nothing, since another site could have made the browser
    send it.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        header = self.get_header(request)
        # A header of another kind, such as a proxy's Basic, is not about us.
        if header is not None and self.get_raw_token(header) is not None:
            return super().authenticate(request)
        return self._by_cookie(request)

    def get_validated_token(self, raw_token: bytes) -> Token:
        try:
            return read_access_token(raw_token)
        except TokenError as error:
            # As simplejwt raises it; `api_errors` says what is wrong.
            raise InvalidToken({"detail": str(error), "messages": [{"message": str(error)}]}) from error

    def get_user(self, validated_token: Token) -> User:  # type: ignore[override]  # its own is of any kind
        """simplejwt's knows nothing of what has been signed out."""
        try:
            return owner_of(validated_token)
        except TokenError as error:
            raise InvalidToken(str(error)) from error

    def _by_cookie(self, request: Request) -> tuple[Any, Any] | None:
        text = request.COOKIES.get(ACCESS_COOKIE)
        if not text:
            return None
        try:
            token = self.get_validated_token(text.encode())
            user = self.get_user(token)
        except (InvalidToken, AuthenticationFailed, UnicodeError):
            return None
        _refuse_without_csrf(request)
        return user, token


def _refuse_without_csrf(request: Request) -> None:
    check = CSRFCheck(_unused)
    # Reads the cookie, which is then compared with the header; safe methods pass.
    check.process_request(request)
    if check.process_view(request, _unused, (), {}):
        raise PermissionDenied(
            _("Signed in by cookie, a call that changes something needs the header X-CSRFToken."),
            code="csrf_failed",
        )


def _unused(request: Any) -> HttpResponse:
    """In place of the view, which is exempt: not every caller comes with a cookie."""
    raise NotImplementedError

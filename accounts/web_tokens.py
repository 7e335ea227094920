"""The JWT pair of a browser: two cookies that no script can read, which follow the web session.

The session is the root of trust. Signing in by whatever way (password, second factor, passkey, sign-up)
gives a pair, signing out takes it away; in between the page's script asks for the next pair before the
access token runs out. All refresh tokens of one session are one family, so that its end, here or from
another browser, is the end of them all; an access token that is out lives its five minutes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from rest_framework_simplejwt.settings import api_settings

from accounts import tokens
from accounts.models import User

ACCESS_COOKIE = "lori-access"
REFRESH_COOKIE = "lori-refresh"
# When the access token runs out, in milliseconds since 1970: for the page's script, and no secret.
UNTIL_COOKIE = "lori-until"

# Each goes only where it is read.
ACCESS_PATH = "/api/"
REFRESH_PATH = "/user/token/"

# The session's name for the family of its tokens.
FAMILY = "token_family"
# What a response has to do to the cookies, on the request.
_PENDING = "pending_tokens"
_CLEAR = object()


class WebTokensMiddleware:
    """Writes the cookies that signing in and out have asked for. No page costs a query more for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        pending = getattr(request, _PENDING, None)
        if isinstance(pending, User):
            pair = tokens.give_tokens(pending, family=family_of(request.session))
            set_cookies(response, request, pair)
        elif pending is _CLEAR or _outlived_its_session(request):
            clear_cookies(response)
        return response


def _outlived_its_session(request: HttpRequest) -> bool:
    """The session has run out, or was ended from elsewhere; told without a look into the database."""
    return (
        UNTIL_COOKIE in request.COOKIES
        and hasattr(request, "session")
        and request.session.accessed
        and SESSION_KEY not in request.session
    )


# The arguments of a signal are Django's choice.
def _give_when_signed_in(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    request.session[FAMILY] = secrets.token_hex(16)
    setattr(request, _PENDING, user)


def _take_when_signed_out(sender: Any, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    # The session is still there: Django flushes it afterwards.
    if user is not None and FAMILY in request.session:
        tokens.end_families(user.pk, [request.session[FAMILY]])
    setattr(request, _PENDING, _CLEAR)


user_logged_in.connect(_give_when_signed_in, dispatch_uid="accounts.web_tokens")
user_logged_out.connect(_take_when_signed_out, dispatch_uid="accounts.web_tokens")


def family_of(session: Any) -> str:
    """The family of a session's tokens; a session from before there were any gets one."""
    if FAMILY not in session:
        session[FAMILY] = secrets.token_hex(16)
    return session[FAMILY]


def renew(request: HttpRequest, user: User) -> tokens.Pair:
    """The next pair for the session of `user`, whatever became of the last one.

    The cookie's refresh token is used up by it. Of several requests at once one finds it good; the
    others, whose session is just as good, get a pair of their own in its place.
    """
    try:
        return tokens.renew(request.COOKIES.get(REFRESH_COOKIE, ""), owner=user)
    except tokens.TokenError:
        return tokens.give_tokens(user, family=family_of(request.session))


def set_cookies(response: HttpResponseBase, request: HttpRequest, pair: tokens.Pair) -> None:
    """Let the browser keep the pair for as long as it keeps the session, and no longer."""
    leaves = request.session.get_expire_at_browser_close()
    lifetime: timedelta = api_settings.REFRESH_TOKEN_LIFETIME
    until = timezone.now() + api_settings.ACCESS_TOKEN_LIFETIME
    shared: dict[str, Any] = {
        "max_age": None if leaves else lifetime,
        "secure": settings.SESSION_COOKIE_SECURE,
        "samesite": "Lax",
    }
    response.set_cookie(ACCESS_COOKIE, pair.access, path=ACCESS_PATH, httponly=True, **shared)
    response.set_cookie(REFRESH_COOKIE, pair.refresh, path=REFRESH_PATH, httponly=True, **shared)
    response.set_cookie(UNTIL_COOKIE, str(int(until.timestamp() * 1000)), **shared)


def clear_cookies(response: HttpResponseBase) -> None:
    response.delete_cookie(ACCESS_COOKIE, path=ACCESS_PATH, samesite="Lax")
    response.delete_cookie(REFRESH_COOKIE, path=REFRESH_PATH, samesite="Lax")
    response.delete_cookie(UNTIL_COOKIE, samesite="Lax")

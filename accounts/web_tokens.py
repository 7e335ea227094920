"""Gives a browser a JWT pair in two HttpOnly cookies that follow its web session.

The session is the root of trust. Every way to sign in (password, second factor, passkey, sign-up) issues a
pair, and signing out revokes it. In between, the page's script requests the next pair before the access token
expires. All tokens of a session are one family, so that ending the session, here or from another browser,
revokes them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponseBase
from rest_framework_simplejwt.settings import api_settings

from accounts import tokens
from accounts.models import User
from accounts.second_factor import must_set_up_second_factor
from accounts.session_store import mark_session_start
from lori_assignment import clock
from lori_assignment.db.transactions import atomic_with_retry

ACCESS_COOKIE = f"{settings.PATH_COOKIE_PREFIX}lori-access"
REFRESH_COOKIE = f"{settings.PATH_COOKIE_PREFIX}lori-refresh"
# When the access token expires, as Unix time in milliseconds. The page's script reads it; it is not secret.
EXPIRY_COOKIE = f"{settings.HOST_COOKIE_PREFIX}lori-until"

# Each cookie is sent only to the paths where it is needed.
ACCESS_PATH = "/api/"
REFRESH_PATH = "/user/token/"

# The session key that holds the family of the session's tokens.
FAMILY = "token_family"
# The request attribute for what to do with the cookies: a user to issue tokens to, or _CLEAR.
_PENDING = "pending_tokens"
_CLEAR = object()


class WebTokensMiddleware:
    """Sets the cookies after a sign-in and clears them after a sign-out; other requests cost no query."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        pending = getattr(request, _PENDING, None)
        if isinstance(pending, User) and not must_set_up_second_factor(pending):
            pair = tokens.issue_tokens(pending, family=request.session[FAMILY])
            set_cookies(response, request, pair)
        elif pending is _CLEAR or _session_is_gone(request):
            clear_cookies(response)
            # Also clear what the pages have stored in the browser, but not its cache, which takes seconds to
            # clear and holds nothing personal.
            response.headers["Clear-Site-Data"] = '"storage"'
        return response


def _session_is_gone(request: HttpRequest) -> bool:
    """Return whether the session has expired or was ended elsewhere, without a query."""
    return (
        EXPIRY_COOKIE in request.COOKIES
        and hasattr(request, "session")
        and request.session.accessed
        and SESSION_KEY not in request.session
    )


def _issue_on_login(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    # Signing in again in the same browser leaves no tokens behind.
    tokens.revoke_families(user.pk, [request.session.get(FAMILY, "")])
    request.session[FAMILY] = tokens.new_family()
    mark_session_start(request.session, is_staff=user.is_staff, at=clock.now())
    setattr(request, _PENDING, user)


def _revoke_on_logout(sender: Any, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    if user is not None and request.session.session_key:
        end_sessions(user.pk, [request.session.session_key])
    setattr(request, _PENDING, _CLEAR)


user_logged_in.connect(_issue_on_login, dispatch_uid="accounts.web_tokens")
user_logged_out.connect(_revoke_on_logout, dispatch_uid="accounts.web_tokens")


@atomic_with_retry
def end_sessions(user_id: int, keys: Collection[str]) -> None:
    """End the sessions with these `keys`, and revoke their tokens.

    The sessions are locked first. A concurrent renewal has then either finished, and its tokens are revoked
    as well, or it finds no session.
    """
    stored = list(Session.objects.select_for_update().filter(session_key__in=keys))
    families = {one.get_decoded().get(FAMILY, "") for one in stored}
    Session.objects.filter(session_key__in=keys).delete()
    tokens.revoke_families(user_id, families)


@atomic_with_retry
def renew(request: HttpRequest, user: User) -> tokens.Pair:
    """Return the next pair for the session of `user`, whatever became of the last one.

    Several requests of one browser may renew at once; each gets a pair. Raises TokenError if the session has
    ended, or if `user` must set up a second factor first.
    """
    if must_set_up_second_factor(user):
        raise tokens.TokenError(tokens.REVOKED)
    key = request.session.session_key
    live = Session.objects.select_for_update().filter(session_key=key, expire_date__gt=clock.now())
    session = live.first()
    if session is None:
        raise tokens.TokenError(tokens.REVOKED)
    family = session.get_decoded().get(FAMILY, "")
    refresh = request.COOKIES.get(REFRESH_COOKIE, "")
    pair = tokens.renew_for_browser(user, family=family, refresh=refresh) if family else None
    if pair is None:
        # The family was revoked after a theft, has expired or never existed, but the session is valid.
        request.session[FAMILY] = tokens.new_family()
        request.session.save()
        pair = tokens.issue_tokens(user, family=request.session[FAMILY])
    return pair


def set_cookies(response: HttpResponseBase, request: HttpRequest, pair: tokens.Pair) -> None:
    """Set the cookies, which end with the browser if the session does."""
    leaves = request.session.get_expire_at_browser_close()
    lifetime: timedelta = api_settings.REFRESH_TOKEN_LIFETIME
    until = clock.now() + api_settings.ACCESS_TOKEN_LIFETIME
    shared: dict[str, Any] = {
        "max_age": None if leaves else lifetime,
        "secure": settings.SESSION_COOKIE_SECURE,
        "samesite": "Lax",
    }
    response.set_cookie(ACCESS_COOKIE, pair.access, path=ACCESS_PATH, httponly=True, **shared)
    response.set_cookie(REFRESH_COOKIE, pair.refresh, path=REFRESH_PATH, httponly=True, **shared)
    response.set_cookie(EXPIRY_COOKIE, str(int(until.timestamp() * 1000)), **shared)


def clear_cookies(response: HttpResponseBase) -> None:
    response.delete_cookie(ACCESS_COOKIE, path=ACCESS_PATH, samesite="Lax")
    response.delete_cookie(REFRESH_COOKIE, path=REFRESH_PATH, samesite="Lax")
    response.delete_cookie(EXPIRY_COOKIE, samesite="Lax")

"""The JWT pair of a browser: two cookies that no script can read, which follow the web session.

The session is the root of trust. Signing in by whatever way (password, second factor, passkey, sign-up)
gives a pair, signing out takes it away; in between the page's script asks for the next pair before the
access token runs out. All tokens of one session are one family, so that its end, here or from another
browser, is the end of them all at once.
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
# When the access token runs out, in milliseconds since 1970: for the page's script, and no secret.
EXPIRY_COOKIE = f"{settings.HOST_COOKIE_PREFIX}lori-until"

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
        if isinstance(pending, User) and not must_set_up_second_factor(pending):
            pair = tokens.issue_tokens(pending, family=request.session[FAMILY])
            set_cookies(response, request, pair)
        elif pending is _CLEAR or _session_is_gone(request):
            clear_cookies(response)
            # Whatever a page has put aside in the browser goes too. Not the cache, which takes browsers
            # seconds: what is personal is in none.
            response.headers["Clear-Site-Data"] = '"storage"'
        return response


def _session_is_gone(request: HttpRequest) -> bool:
    """The session has run out, or was ended from elsewhere; told without a look into the database."""
    return (
        EXPIRY_COOKIE in request.COOKIES
        and hasattr(request, "session")
        and request.session.accessed
        and SESSION_KEY not in request.session
    )


# The arguments of a signal are Django's choice.
def _issue_on_login(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    # Who signs in once more in the same browser leaves no tokens behind.
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
    """End the sessions with these `keys`, and every token that was given to them.

    The session first, under its lock: a renewal that is under way has finished before, and what it gave
    is ended too, or it finds no session.
    """
    stored = list(Session.objects.select_for_update().filter(session_key__in=keys))
    families = {one.get_decoded().get(FAMILY, "") for one in stored}
    Session.objects.filter(session_key__in=keys).delete()
    tokens.revoke_families(user_id, families)


@atomic_with_retry
def renew(request: HttpRequest, user: User) -> tokens.Pair:
    """The next pair for the session of `user`, whatever became of the last one.

    Several requests of one browser may ask at once, and each gets a pair. Raises TokenError when the
    session has been ended meanwhile, or is of staff who have to set up a second factor first.
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
        # It ended because it was stolen, or has run out, or there never was one: the session is good.
        request.session[FAMILY] = tokens.new_family()
        request.session.save()
        pair = tokens.issue_tokens(user, family=request.session[FAMILY])
    return pair


def set_cookies(response: HttpResponseBase, request: HttpRequest, pair: tokens.Pair) -> None:
    """Let the browser keep the pair for as long as it keeps the session, and no longer."""
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

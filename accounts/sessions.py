"""Lists and ends the browser sessions and API logins of a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef
from django.http import HttpRequest

from accounts import tokens
from accounts.models import TokenFamily, User
from accounts.signals import access_revoked
from accounts.web_tokens import FAMILY
from lori_assignment import clock
from lori_assignment.observability.security_log import log_event

# Parts of the User-Agent header, of which the first match counts: most browsers also name others.
BROWSERS = {
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "Edg": "Edge",
    "OPR": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Chrome": "Chrome",
    "CriOS": "Chrome",
    "Safari": "Safari",
}
SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}
MAX_LISTED = 50
MOBILE_SYSTEMS = ("iPhone", "iPad", "Android")


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A browser in which a person is signed in."""

    pk: int
    since: datetime
    seen: datetime
    address: str
    agent: str
    is_this: bool

    @property
    def browser(self) -> str:
        """The browser's name; empty if it is unknown."""
        return next((name for sign, name in BROWSERS.items() if sign in self.agent), "")

    @property
    def system(self) -> str:
        return next((name for sign, name in SYSTEMS.items() if sign in self.agent), "")

    @property
    def is_mobile(self) -> bool:
        return self.system in MOBILE_SYSTEMS


def record_session(request: HttpRequest) -> None:
    """Add the session that has just begun to its account's list, and remove expired ones.

    The number of queries does not grow with the list: a script may sign in a thousand times a day.
    """
    live = Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=clock.now())
    UserSession.objects.filter(~Exists(live), user=request.user).delete()
    UserSession.objects.create_from_request(request)


def sessions_of(user: User, *, at: datetime, this: str | None = None) -> list[BrowserSession]:
    """Return the sessions of `user` that are valid at `at`, the last used first, up to MAX_LISTED.

    `this` is the key of the caller's session.
    """
    listed = list(UserSession.objects.filter(user=user).order_by("-last_seen_at", "-pk")[:MAX_LISTED])
    # One query for all of them; allauth's own list takes several for each.
    stored = Session.objects.filter(session_key__in=[one.session_key for one in listed], expire_date__gt=at)
    valid = {user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()}
    live = {one.session_key for one in stored if one.get_decoded().get(HASH_SESSION_KEY) in valid}
    return [
        BrowserSession(
            pk=one.pk,
            since=one.created_at,
            seen=one.last_seen_at,
            address=one.ip,
            agent=one.user_agent,
            is_this=one.session_key == this,
        )
        for one in listed
        if one.session_key in live
    ]


def token_logins_of(user: User, *, at: datetime) -> list[TokenFamily]:
    """Return the logins of API clients, the latest first: families of tokens without a browser session."""
    keys = UserSession.objects.filter(user=user).values("session_key")
    stored = Session.objects.filter(session_key__in=keys, expire_date__gt=at)
    browsers = {one.get_decoded().get(FAMILY, "") for one in stored}
    families = TokenFamily.objects.filter(user=user, expires_at__gt=at).order_by("-began_at")
    return [one for one in families[: MAX_LISTED + len(browsers)] if one.pk not in browsers][:MAX_LISTED]


def rotate_session_key(request: HttpRequest) -> None:
    """Give the session a new key, so that a stolen one becomes useless."""
    former = request.session.session_key
    request.session.cycle_key()
    UserSession.objects.filter(session_key=former).update(session_key=request.session.session_key)


def end_session(user: User, pk: int) -> None:
    """End one session and its tokens. Raises UserSession.DoesNotExist if it is not one of `user`."""
    get_adapter().end_sessions([UserSession.objects.get(user=user, pk=pk)])
    log_event("sessions_ended", account=user.pk, which="one")


def end_other_sessions(user: User, *, this: str | None, family: str = "") -> None:
    """Sign out every browser and API client except the caller's session, whose tokens are `family`."""
    get_adapter().end_sessions(UserSession.objects.filter(user=user).exclude(session_key=this))
    tokens.revoke_all(user, keep_family=family)
    log_event("sessions_ended", account=user.pk, which="others" if this else "all")


def sign_out_everywhere(user: User) -> None:
    """End every session and token of `user`, including those of API clients, and their calendar link."""
    end_other_sessions(user, this=None)
    access_revoked.send(User, user=user)

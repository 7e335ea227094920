"""Keeps sessions of signed-in users in the database, and those of visitors in a signed cookie.

Set as SESSION_ENGINE. Django's own sessions are extended whenever their data changes, and do not record their
last use. Here the row's `expire_date` is the earlier of two ends, one after the last use and one after the
sign-in, so that it alone shows if a session is valid; the cookie lasts until the end that counts from the
sign-in.

A visitor has no row, since anyone could fill the table. What allauth keeps for a sign-in in progress is in
the session cookie itself, signed, and each value is valid for ten minutes after it was set. Other values of a
visitor are not kept: browsers accept 4 KB. Such a cookie can be read by its owner and sent again after it was
used: nothing in it may be secret from the visitor, and `use_once` remembers what may be used only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DjangosStore
from django.core import signing
from django.core.cache import cache

from lori_assignment import clock


class Limits(NamedTuple):
    unused: timedelta
    in_all: timedelta


# The reasons are in docs/security.md.
OF_MEMBERS = Limits(unused=timedelta(days=14), in_all=timedelta(days=30))
OF_STAFF = Limits(unused=timedelta(hours=1), in_all=timedelta(hours=12))
# The longest time that a sign-in may take.
OF_VISITORS = Limits(unused=timedelta(minutes=10), in_all=timedelta(minutes=10))
# What a sign-in needs from one page to the next. Not among them is the whole request that allauth would keep
# for a visitor who posts to a page that asks for the password again.
KEPT_FOR_VISITORS = {
    # A sign-in that waits for the second factor, and how the password was proved.
    "account_login",
    "account_authentication_methods",
    "account_authentication_methods_user",
    # Whether to stay signed in.
    "_session_expiry",
    # The challenge of a passkey.
    "mfa.webauthn.state",
    # The key of a mailed link that resets a password.
    "_password_reset_key",
}

_BEGAN_AT = "began_at"
_IS_STAFF = "is_staff"
# A use is saved only when it moves the end by 1/_STEPS of `unused`: most requests cost no extra query.
_STEPS = 10
_SALT = "accounts.session_store"


def mark_session_start(session: SessionBase, *, is_staff: bool, at: datetime) -> None:
    """Record the sign-in, from which the limits of `session` are counted."""
    session[_BEGAN_AT] = int(at.timestamp())
    session[_IS_STAFF] = is_staff


def use_once(name: str) -> bool:
    """Return whether `name` is used for the first time within the time that a visitor's cookie is valid."""
    return bool(cache.add(f"used-once:{name}", 1, timeout=OF_VISITORS.in_all.total_seconds()))


class SessionStore(DjangosStore):
    # When each value of a visitor was set, as Unix time. Saving the others must not extend it.
    _set_at: Mapping[str, int] = MappingProxyType({})

    def __setitem__(self, key: str, value: Any) -> None:
        was_modified = self.modified
        super().__setitem__(key, value)
        self._set_at = {**self._set_at, key: _unix_now()}
        if SESSION_KEY not in self and key not in KEPT_FOR_VISITORS:
            # It will not be kept, so it is no reason to set a cookie.
            self.modified = was_modified

    def load(self) -> dict[str, Any]:
        if _is_signed(self.session_key):
            return self._load_signed()
        found = self._get_session_from_db()  # type: ignore[attr-defined]  # Django's own
        if found is None:
            return {}
        data: dict[str, Any] = self.decode(found.session_data)
        if SESSION_KEY not in data:
            # A visitor's, from before visitors had no rows. Without a key the cookie is deleted.
            self._session_key = None
            return {}
        if _BEGAN_AT in data:
            end = _end_of_all(data)
            end_if_unused = min(clock.now() + _limits(data).unused, end)
            if end_if_unused - found.expire_date > _limits(data).unused / _STEPS:
                # Only this column, since another request may be changing the session's data.
                rows = self.model.objects.filter(session_key=found.session_key)
                rows.update(expire_date=end_if_unused)
        return data

    def _load_signed(self) -> dict[str, Any]:
        try:
            values: dict[str, tuple[int, Any]] = signing.loads(self.session_key or "", salt=_SALT)
        except signing.BadSignature:
            values = {}
        oldest = _unix_now() - OF_VISITORS.in_all.total_seconds()
        valid = {key: (at, value) for key, (at, value) in values.items() if at > oldest}
        self._set_at = {key: at for key, (at, _) in valid.items()}
        if not valid:
            self._session_key = None
        return {key: value for key, (_, value) in valid.items()}

    def save(self, must_create: bool = False) -> None:
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]  # Django's own
        if SESSION_KEY in data:
            if _is_signed(self.session_key):
                # The row gets a key of its own, which the visitor does not know.
                self._session_key = None
            super().save(must_create)
        else:
            now = _unix_now()
            values = {key: (self._set_at.get(key, now), data[key]) for key in KEPT_FOR_VISITORS & data.keys()}
            self._session_key = signing.dumps(values, salt=_SALT, compress=True)

    def create(self) -> None:
        """Begin a session under a new key; a visitor gets the cookie when it is saved."""
        if SESSION_KEY in self:
            super().create()
        else:
            self._session_key = None
            self.modified = True

    def delete(self, session_key: str | None = None) -> None:
        if not _is_signed(session_key or self.session_key):
            super().delete(session_key)

    def get_expiry_date(self, **about: Any) -> datetime:
        data = dict(self.items())
        return min(clock.now() + _limits(data).unused, _end_of_all(data))

    def get_expiry_age(self, **about: Any) -> int:
        """Return the seconds until the cookie expires, used if it outlives the browser."""
        age: int = super().get_expiry_age(**about)
        return min(age, max(0, ceil((_end_of_all(dict(self.items())) - clock.now()).total_seconds())))


def _is_signed(key: str | None) -> bool:
    """Return whether `key` is a visitor's data, and not the key of a row."""
    return key is not None and ":" in key


def _unix_now() -> int:
    return int(clock.now().timestamp())


def _limits(data: dict[str, Any]) -> Limits:
    if _BEGAN_AT not in data:
        return OF_VISITORS
    return OF_STAFF if data.get(_IS_STAFF) else OF_MEMBERS


def _end_of_all(data: dict[str, Any]) -> datetime:
    began_at = data.get(_BEGAN_AT, _unix_now())
    return datetime.fromtimestamp(began_at, UTC) + _limits(data).in_all

"""Ends web sessions some time after their last use, and in any case some time after sign-in.

Set as SESSION_ENGINE. Django's own sessions are extended whenever their data changes, and do not record their
last use. Here the row's `expire_date` is the earlier of the two ends, so that it alone shows if a session is
valid; the cookie lasts until the end that counts from the sign-in.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DjangosStore

from lori_assignment import clock


class Limits(NamedTuple):
    unused: timedelta
    in_all: timedelta


# The reasons are in docs/security.md.
OF_MEMBERS = Limits(unused=timedelta(days=14), in_all=timedelta(days=30))
OF_STAFF = Limits(unused=timedelta(hours=1), in_all=timedelta(hours=12))

_BEGAN_AT = "began_at"
_IS_STAFF = "is_staff"
# A use is saved only when it moves the end by 1/_STEPS of `unused`: most requests cost no extra query.
_STEPS = 10


def mark_session_start(session: SessionBase, *, is_staff: bool, at: datetime) -> None:
    """Record the sign-in, from which the limits of `session` are counted."""
    session[_BEGAN_AT] = int(at.timestamp())
    session[_IS_STAFF] = is_staff


class SessionStore(DjangosStore):
    def load(self) -> dict[str, Any]:
        found = self._get_session_from_db()  # type: ignore[attr-defined]  # Django's own
        if found is None:
            return {}
        data: dict[str, Any] = self.decode(found.session_data)
        if _BEGAN_AT in data:
            end = _end_of_all(data)
            end_if_unused = min(clock.now() + _limits(data).unused, end)
            if end_if_unused - found.expire_date > _limits(data).unused / _STEPS:
                # Only this column, since another request may be changing the session's data.
                rows = self.model.objects.filter(session_key=found.session_key)
                rows.update(expire_date=end_if_unused)
        return data

    def get_expiry_date(self, **about: Any) -> datetime:
        if _BEGAN_AT not in self:
            return super().get_expiry_date(**about)
        data = dict(self.items())
        return min(clock.now() + _limits(data).unused, _end_of_all(data))

    def get_expiry_age(self, **about: Any) -> int:
        """Return the seconds until the cookie expires, used if it outlives the browser."""
        age: int = super().get_expiry_age(**about)
        if _BEGAN_AT not in self:
            return age
        return min(age, max(0, int((_end_of_all(dict(self.items())) - clock.now()).total_seconds())))


def _limits(data: dict[str, Any]) -> Limits:
    return OF_STAFF if data.get(_IS_STAFF) else OF_MEMBERS


def _end_of_all(data: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(data[_BEGAN_AT], UTC) + _limits(data).in_all

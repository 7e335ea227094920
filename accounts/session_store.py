"""Web sessions with two ends: some time after they were last used, and some time after the sign-in.

Named in SESSION_ENGINE. Django's own lives on from any change of what is in it, and knows no last use. Here
the row's `expire_date` is whichever end comes first, so that whoever looks at it sees what is good; the
cookie is kept until the second.
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


# docs/security.md says why.
OF_MEMBERS = Limits(unused=timedelta(days=14), in_all=timedelta(days=30))
OF_STAFF = Limits(unused=timedelta(hours=1), in_all=timedelta(hours=12))

_BEGAN_AT = "began_at"
_IS_STAFF = "is_staff"
# A use is written down when it moves the end by that part of `unused`: a page costs no query more for it.
_STEPS = 10


def mark_session_start(session: SessionBase, *, is_staff: bool, at: datetime) -> None:
    """Somebody has signed in."""
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
                # The row only, and not what is in it, which another request may be changing.
                rows = self.model.objects.filter(session_key=found.session_key)
                rows.update(expire_date=end_if_unused)
        return data

    def get_expiry_date(self, **about: Any) -> datetime:
        if _BEGAN_AT not in self:
            return super().get_expiry_date(**about)
        data = dict(self.items())
        return min(clock.now() + _limits(data).unused, _end_of_all(data))

    def get_expiry_age(self, **about: Any) -> int:
        """Of the cookie, where it outlives the browser."""
        age: int = super().get_expiry_age(**about)
        if _BEGAN_AT not in self:
            return age
        return min(age, max(0, int((_end_of_all(dict(self.items())) - clock.now()).total_seconds())))


def _limits(data: dict[str, Any]) -> Limits:
    return OF_STAFF if data.get(_IS_STAFF) else OF_MEMBERS


def _end_of_all(data: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(data[_BEGAN_AT], UTC) + _limits(data).in_all

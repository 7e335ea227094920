"""Limits calls of the API by the client's address, in one statement on the cache table.

REST framework reads the earlier calls from the cache and then writes them back, so that concurrent calls do
not see each other and all pass.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import DateTimeField, Expression
from rest_framework.throttling import ScopedRateThrottle

from lori_assignment.observability.client_address import client_address


class CountingThrottle(ScopedRateThrottle):
    """Counts the calls of a period, which begins with the first and ends for all at once."""

    # Not REST framework's, whose rows have another content.
    cache_format = "calls_%(scope)s_%(ident)s"

    def allow_request(self, request: Any, view: Any) -> bool:
        self.scope = getattr(view, self.scope_attr, None)
        if not self.scope:
            return True
        most, seconds = self.parse_rate(self.get_rate())
        key = self.get_cache_key(request, view)
        if key is None or most is None or seconds is None:
            return True
        self.now = self.timer()
        calls, self.ends = count_call(key, at=self.now, seconds=seconds)
        return calls <= most

    def wait(self) -> float:
        return self.ends - self.now


class AddressRateThrottle(CountingThrottle):
    """Counts by the same address as all other limits.

    REST framework's own counts each IPv6 address, of which a client has billions.
    """

    def get_ident(self, request: Any) -> str:
        return client_address(request)


def count_call(key: str, *, at: float, seconds: int) -> tuple[int, float]:
    """Count a call at Unix time `at`; return the calls of its period, and when that ends."""
    now, end = (datetime.fromtimestamp(time, UTC) for time in (at, at + seconds))
    held: dict[str, Any] = settings.CACHES["default"]
    table = connection.ops.quote_name(held["LOCATION"])
    adapt = connection.ops.adapt_datetimefield_value
    ended = "counted.expires <= %(now)s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS counted (cache_key, value, expires) "  # noqa: S608  # nosec B608  # ours
            "VALUES (%(key)s, '1', %(ends)s) ON CONFLICT (cache_key) DO UPDATE SET "
            f"value = CASE WHEN {ended} THEN '1' "
            "ELSE CAST(CAST(counted.value AS integer) + 1 AS text) END, "
            f"expires = CASE WHEN {ended} THEN excluded.expires ELSE counted.expires END "
            "RETURNING value, expires",
            {"key": key, "now": adapt(now), "ends": adapt(end)},
        )
        calls, ends = cursor.fetchone()
    column = Expression(output_field=DateTimeField())
    for convert in connection.ops.get_db_converters(column):
        ends = convert(ends, column, connection)
    return int(calls), ends.timestamp()

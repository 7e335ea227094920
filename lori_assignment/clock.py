"""The current time, and sums of times and days.

Views, commands and middleware read the clock once and pass the time on as `at` or `now`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone


def now() -> datetime:
    """Return the current time, in UTC."""
    return timezone.now()


def add_days(at: datetime, days: int) -> datetime:
    """Return the time `days` periods of 24 hours after `at`, in UTC.

    Python adds to the wall-clock time of a time zone, which is off by an hour across a clock change.
    """
    return at.astimezone(UTC) + timedelta(days=days)


def end_of_day(day: date) -> datetime:
    """Return the end of a day in the current time zone, in UTC: the midnight at which the next day begins."""
    midnight = datetime.combine(day + timedelta(days=1), time(), timezone.get_current_timezone())
    return midnight.astimezone(UTC)

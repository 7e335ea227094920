"""The current time. Views, commands and middleware read it once and pass it on as `at` or `now`."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """Return the current time, in UTC."""
    return timezone.now()

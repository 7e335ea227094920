"""Deletes expired logins, counts of wrong passwords and rows of the cache table."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from accounts import login_throttle, tokens
from lori_assignment import clock


class Command(BaseCommand):
    help = (
        "Delete expired sign-ins, and counters of failed passwords and of rate-limited calls that are "
        "no longer needed. Run this daily."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        signed_in, counts = tokens.delete_expired(at=now), login_throttle.delete_expired(at=now)
        calls = login_throttle.delete_expired_cache_rows(at=now)
        if options["verbosity"]:
            self.stdout.write(
                f"Deleted: {signed_in} sign-ins, {counts} password counters, {calls} call counters."
            )

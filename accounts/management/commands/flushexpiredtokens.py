"""Deletes expired logins, counts of wrong passwords and rows of the cache table."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from accounts import login_throttle, tokens
from lori_assignment import clock


class Command(BaseCommand):
    help = (
        "Forgets the sign-ins whose refresh tokens have run out, and counts of wrong passwords and of "
        "calls that no longer matter. To be run daily."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        signed_in, counts = tokens.delete_expired(at=now), login_throttle.delete_expired(at=now)
        calls = login_throttle.delete_expired_cache_rows(at=now)
        if options["verbosity"]:
            self.stdout.write(
                f"Forgotten: {signed_in} sign-ins, {counts} counts of wrong passwords, {calls} of calls."
            )

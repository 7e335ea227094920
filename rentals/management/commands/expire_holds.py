"""Ends the holds that were not picked up in time. Run it hourly, on any number of machines."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from lori_assignment import clock
from rentals.holds import expire_holds


class Command(BaseCommand):
    help = (
        "End the holds whose copies were not picked up in time, and put free copies aside for the next. "
        "Safe to be run at any time, again, and by several at once."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        result = expire_holds(at=clock.now())
        self.stdout.write(f"Holds expired: {result.expired}. Copies put aside: {result.ready}.")

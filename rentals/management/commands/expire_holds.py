"""Ends the holds that were not picked up in time. Run it hourly, on any number of machines."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from lori_assignment import clock
from rentals.holds import expire_holds


class Command(BaseCommand):
    help = (
        "Expire holds that were not collected in time, and set copies aside for the next members in line. "
        "Safe to run at any time, repeatedly and in parallel."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        result = expire_holds(at=clock.now())
        self.stdout.write(f"Holds expired: {result.expired}. Copies set aside: {result.ready}.")

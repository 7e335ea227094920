"""Deletes expired idempotency records. Run it daily."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from lori_assignment import clock
from lori_assignment.models import IdempotencyRecord


class Command(BaseCommand):
    help = (
        "Delete stored responses to requests with an Idempotency-Key after 24 hours, when they are no "
        "longer replayed. Safe to run at any time, repeatedly and in parallel."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        forgotten, _ = IdempotencyRecord.objects.expired(clock.now()).delete()
        self.stdout.write(f"Stored responses deleted: {forgotten}.")

"""Deletes expired idempotency records. Run it daily."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from lori_assignment import clock
from lori_assignment.models import IdempotencyRecord


class Command(BaseCommand):
    help = (
        "Forget the answers to calls with an Idempotency-Key that are older than 24 hours, and are not "
        "given again anyway. Safe to be run at any time, again, and by several at once."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        forgotten, _ = IdempotencyRecord.objects.expired(clock.now()).delete()
        self.stdout.write(f"Answers forgotten: {forgotten}.")

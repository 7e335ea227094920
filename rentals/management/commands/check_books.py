"""Checks that the ledger, the rentals and the copies agree. Run it daily and after a restore."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from rentals.consistency import find_errors


class Command(BaseCommand):
    help = (
        "Check that each balance is the sum of its ledger, that copies on loan match open rentals, "
        "and that each returned rental has exactly one charge. Prints nothing if all is consistent; "
        "otherwise "
        "prints one line per error and exits with 1. Read-only and safe to run at any time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        agrees = True
        for sentence in find_errors():
            agrees = False
            self.stdout.write(sentence)
        if not agrees:
            sys.exit(1)

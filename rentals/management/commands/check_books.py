"""Checks that the ledger, the rentals and the copies agree. Run it daily and after a restore."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from rentals.consistency import find_errors


class Command(BaseCommand):
    help = (
        "Prove that each balance is the sum of its ledger, that as many copies are out as rentals are open, "
        "and that each returned rental has its one charge. Says nothing when all agrees; else one line for "
        "each disagreement, and ends with 1. Reads only: safe to be run at any time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        agrees = True
        for sentence in find_errors():
            agrees = False
            self.stdout.write(sentence)
        if not agrees:
            sys.exit(1)

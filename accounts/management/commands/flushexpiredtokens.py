"""manage.py flushexpiredtokens: forget the sign-ins whose tokens have run out."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts.tokens import forget_expired


class Command(BaseCommand):
    help = "Forgets the sign-ins whose refresh tokens have run out. To be run daily."

    def handle(self, *args: Any, **options: Any) -> None:
        forgotten = forget_expired(at=timezone.now())
        if options["verbosity"]:
            self.stdout.write(f"Sign-ins forgotten: {forgotten}.")

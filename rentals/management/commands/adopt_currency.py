"""Records the currency of the shop; `migrate` runs it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rentals import currency


class Command(BaseCommand):
    help = (
        "Record CURRENCY, and scale the price lists, replacement prices and the debt limit of a shop without "
        "rentals to it. Fails if there are rentals or ledger entries in another currency."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            scaled = currency.adopt_currency()
        except currency.CurrencyIsFixed as refusal:
            raise CommandError(str(refusal)) from refusal
        if scaled:
            self.stdout.write(f"The amounts of the shop are in {settings.CURRENCY} now.")

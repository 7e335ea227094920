"""Checks that the setting CURRENCY is the currency of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, InterfaceError

from rentals import currency


@register(Tags.database)
def check_currency(*, databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Runs before migrations and when the server starts; a database that can't be read is no error here.

    The server does not start with a warning either: a shop that has not begun has to be migrated first.
    """
    if "default" not in (databases or ()):
        return []
    try:
        currency.refuse_changed_currency()
        recorded = currency.recorded_currency()
    except currency.CurrencyIsFixed as refusal:
        return [Error(str(refusal), id="rentals.E001")]
    except (DatabaseError, InterfaceError):
        return []
    if recorded in ("", settings.CURRENCY):
        return []
    waits = f"The shop's amounts are in {recorded}. manage.py migrate scales them to {settings.CURRENCY}."
    return [checks.Warning(waits, id="rentals.W002")]

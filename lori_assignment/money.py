"""Formats amounts of money for people."""

from __future__ import annotations

from decimal import Decimal

from babel.numbers import format_currency
from django.conf import settings
from django.utils.translation import get_language, to_locale


def format_money(amount: Decimal) -> str:
    """Format `amount` in the shop's currency for the active language: $4.50, or 4,50 $ in German."""
    return format_currency(
        amount, settings.CURRENCY, locale=to_locale(get_language() or settings.LANGUAGE_CODE)
    )

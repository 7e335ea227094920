"""Amounts in the shop's currency: their decimal places, how they are stored, and how they are shown."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from typing import Any

from babel.numbers import format_currency, get_currency_precision
from django.conf import settings
from django.core.validators import DecimalValidator, MinValueValidator
from django.db import models
from django.utils.translation import get_language, to_locale

# Enough for every currency that the settings accept.
STORED_PLACES = 3
_UNITS = [Decimal(1).scaleb(-places) for places in range(STORED_PLACES + 1)]


@cache
def places_of(currency: str) -> int:
    """Return the number of decimal places of a currency: 2 for USD, 0 for JPY, 3 for KWD."""
    return get_currency_precision(currency)


def currency_places() -> int:
    """Return the number of decimal places of the shop's currency."""
    return places_of(settings.CURRENCY)


def smallest_amount() -> Decimal:
    """Return the smallest amount that can be paid: 0.01 for USD, 1 for JPY, 0.001 for KWD."""
    return _UNITS[currency_places()]


def round_amount(amount: Decimal) -> Decimal:
    """Round half up to an amount that can be paid; the result has the currency's places."""
    return amount.quantize(smallest_amount(), ROUND_HALF_UP)


def plain_amount(amount: Decimal) -> str:
    """Format `amount` for programs: 4.50, in JPY 450, in KWD 4.500."""
    return f"{round_amount(amount):f}"


def scale_amount(amount: Decimal, *, places: int = 2) -> Decimal:
    """Convert an amount of a currency with `places` decimal places to a similar one in the shop's currency.

    The smallest coins of JPY and USD are worth about the same: 4.50 is scaled to 450. A third place, as in
    KWD, only adds precision.
    """
    return round_amount(amount.scaleb(min(places, 2) - min(currency_places(), 2)))


def format_money(amount: Decimal) -> str:
    """Format `amount` in the shop's currency for the active language: $4.50, or 4,50 $ in German."""
    return format_currency(
        amount, settings.CURRENCY, locale=to_locale(get_language() or settings.LANGUAGE_CODE)
    )


class AmountField(models.DecimalField):
    """An amount: three decimal places in the database, the currency's own everywhere else.

    Forms, serializers, validation and the administration read `max_digits` and `decimal_places`, which depend
    on the currency. Migrations see a plain DecimalField, since the column does not depend on it. With
    `positive`, the smallest valid amount is the smallest that can be paid.
    """

    def __init__(
        self,
        verbose_name: Any = None,
        *,
        max_digits: int,
        decimal_places: int = STORED_PLACES,
        positive: bool = False,
        **options: Any,
    ) -> None:
        self.stored_digits = max_digits
        self.positive = positive
        super().__init__(verbose_name, max_digits=max_digits, decimal_places=decimal_places, **options)

    @property
    def decimal_places(self) -> int:
        return currency_places()

    @decimal_places.setter
    def decimal_places(self, given: int) -> None:
        """Ignore what DecimalField sets: the currency decides."""

    @property
    def max_digits(self) -> int:
        return self.stored_digits - STORED_PLACES + currency_places()

    @max_digits.setter
    def max_digits(self, given: int) -> None:
        """Ignore what DecimalField sets: the currency decides."""

    @property
    def context(self) -> Context:
        return Context(prec=self.max_digits, rounding=ROUND_HALF_UP)

    @property
    def validators(self) -> list[Any]:
        bounds = [MinValueValidator(smallest_amount())] if self.positive else []
        places = DecimalValidator(self.max_digits, self.decimal_places)
        given = self._validators  # type: ignore[attr-defined]  # the stubs leave it out
        return [*self.default_validators, *given, *bounds, places]

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        kwargs |= {"max_digits": self.stored_digits, "decimal_places": STORED_PLACES}
        return name, "django.db.models.DecimalField", args, kwargs

    def db_type_parameters(self, connection: Any) -> Any:
        return {"max_digits": self.stored_digits, "decimal_places": STORED_PLACES}

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else round_amount(value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Raise ValueError if `value` has more places than the currency: it could never be paid."""
        if isinstance(value, Decimal) and value != round_amount(value):
            raise ValueError(f"{value} cannot be paid in {settings.CURRENCY}.")
        return super().get_db_prep_save(value, connection)

    def formfield(self, **options: Any) -> Any:
        bounds = {"min_value": smallest_amount()} if self.positive else {}
        return super().formfield(**(bounds | options))

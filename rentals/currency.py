"""Keeps the amounts of the shop in one currency: the setting CURRENCY, which the policy records.

The migrations create price lists and a policy as for a currency with two decimal places. The first start
scales them to the shop's currency. Later the currency can change only while nothing has been rented or
charged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import DecimalField, ExpressionWrapper, F, Model, Q, QuerySet
from django.db.models.functions import Round

from books.models import Book, Copy
from lori_assignment.db.transactions import atomic_with_retry
from lori_assignment.money import currency_places, places_of, scale_amount, smallest_amount
from rentals.models import LedgerEntry, Policy, Rate, Rental

# Within MAX_AMOUNT, and payable in every currency.
HIGHEST = Decimal(999_999)
RATE_AMOUNTS = ("first_days_rate", "daily_rate", "minimum", "late_fee")
AMOUNTS: dict[type[Model], tuple[str, ...]] = {
    LedgerEntry: ("amount", "balance"),
    Rate: RATE_AMOUNTS,
    Rental: ("replacement_price",),
    Copy: ("replacement_price",),
    Policy: ("debt_limit",),
}


class CurrencyIsFixed(Exception):
    """The shop's amounts are in another currency than CURRENCY, and can't be scaled to it."""


def recorded_currency() -> str:
    """Return the currency of the shop's amounts; empty before the first `migrate` records it."""
    return Policy.objects.values_list("currency", flat=True).first() or ""


def refuse_changed_currency() -> None:
    """Raise CurrencyIsFixed if CURRENCY is not that of the shop's rentals and ledger entries."""
    recorded = recorded_currency()
    if recorded and recorded != settings.CURRENCY and _has_begun():
        raise CurrencyIsFixed(
            f"CURRENCY is {settings.CURRENCY}, but the shop's rentals and ledger entries are in {recorded}. "
            f"It can't change any more: set CURRENCY={recorded}."
        )


@atomic_with_retry
def adopt_currency() -> bool:
    """Record CURRENCY; scale the amounts of a shop that has not begun. Return whether they were scaled.

    A shop that had books before currencies were recorded keeps its amounts. Raises CurrencyIsFixed, also if
    they can't be paid in CURRENCY.
    """
    policy = Policy.objects.select_for_update().first()
    # None in a database of tests that was emptied.
    if policy is None or policy.currency == settings.CURRENCY:
        return False
    # Renting locks its rate, so no rental begins between the check and the commit.
    list(Rate.objects.select_for_update())
    refuse_changed_currency()
    places = places_of(policy.currency) if policy.currency else 2
    scales = not _has_begun() and (policy.currency != "" or not Book.objects.exists())
    if scales:
        _scale_rows(Policy.objects.all(), ["debt_limit"], places)
        _scale_rows(Rate.objects.all(), RATE_AMOUNTS, places)
        _scale_rows(Copy.objects.filter(replacement_price__isnull=False), ["replacement_price"], places)
    elif policy.currency == "":
        _refuse_unpayable_amounts()
    Policy.objects.update(currency=settings.CURRENCY)
    return scales


def unpayable_amounts() -> Iterator[tuple[str, Any, str]]:
    """Yield the model, key and field of each amount with more decimal places than the currency has."""
    for model, names in AMOUNTS.items():
        for name in names:
            payable = Q(**{name: Round(F(name), currency_places())}) | Q(**{name: None})
            rows = model._default_manager.exclude(payable)  # noqa: SLF001  # Documented by Django.
            for pk in rows.order_by().values_list("pk", flat=True).iterator(chunk_size=2000):
                yield model.__name__, pk, name


def _refuse_unpayable_amounts() -> None:
    found = next(unpayable_amounts(), None)
    if found is not None:
        raise CurrencyIsFixed(
            "The shop has amounts that can't be paid in {}, such as {} {} ({}). Correct them with the "
            "previous version, or keep it.".format(settings.CURRENCY, *found)
        )


def _has_begun() -> bool:
    return Rental.objects.exists() or LedgerEntry.objects.exists()


def _scale_rows(rows: QuerySet[Any], names: Sequence[str], places: int) -> None:
    """Scale the columns `names` of `rows` from a currency with `places` decimal places."""
    # A plain DecimalField: the model's own would round to the places of the new currency.
    stored = [ExpressionWrapper(F(name), DecimalField()) for name in names]
    for pk, *amounts in rows.order_by().values_list("pk", *stored):
        scaled = {name: _scale(amount, places) for name, amount in zip(names, amounts, strict=True)}
        rows.filter(pk=pk).update(**scaled)


def _scale(amount: Decimal, places: int) -> Decimal:
    """Scale an amount; one that is not zero stays so."""
    if not amount:
        return amount
    return min(max(scale_amount(amount, places=places), smallest_amount()), HIGHEST)

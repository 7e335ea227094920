"""Finds the rates in force; creates price lists, and changes and deletes unused ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet, Subquery

from books.models import Book
from lori_assignment.db.transactions import atomic_with_retry
from rentals import errors
from rentals.models import PriceList, Rate


def _rates_in_force(at: datetime) -> QuerySet[Rate]:
    in_force = Subquery(PriceList.objects.in_force(at).values("pk"))
    return Rate.objects.filter(price_list=in_force).order_by()


def rate_of(book: Book, *, at: datetime) -> QuerySet[Rate]:
    """Return a queryset with the one rate of `rate_in_force`; empty before the first list."""
    return _rates_in_force(at).filter(kind=book.kind).select_related("price_list")


def rate_in_force(book: Book, *, at: datetime) -> Rate | None:
    """Return the rate of the book's kind in the price list in force at `at`; None before the first list."""
    return next(iter(rate_of(book, at=at)), None)


def rates_in_force(*, at: datetime) -> dict[int, Rate]:
    """Return the rates in the price list in force at `at`, by kind; empty before the first list."""
    return {rate.kind: rate for rate in _rates_in_force(at)}


def lock_rate_in_force(book: Book, *, at: datetime) -> Rate | None:
    """Like `rate_in_force`; the price list cannot be changed until the transaction ends."""
    while True:
        rate = lock_rate(book, at=at)
        # Read after locking: the transaction that had the lock may have put another list in force.
        price_list = next(iter(PriceList.objects.in_force(at)), None)
        if rate and price_list and rate.price_list_id == price_list.pk:
            rate.price_list = price_list
            return rate
        if rate_in_force(book, at=at) is None:
            return None


def lock_rate(book: Book, *, at: datetime) -> Rate | None:
    """Like `rate_in_force`; the rate cannot be changed or deleted until the transaction ends.

    Uses FOR KEY SHARE, which QuerySets do not offer: any number of rentals can lock one rate at once. Without
    the lock, a price list could change between this query and the commit, because Django's foreign keys are
    checked, and lock the row, only at commit. Also returns None if the rate was deleted while this waited.
    """
    if connection.vendor != "postgresql":  # SQLite has one writer at a time.
        return rate_in_force(book, at=at)
    rates = Rate.objects.raw(
        "SELECT * FROM rentals_rate WHERE kind = %s AND price_list_id = ("
        "  SELECT id FROM rentals_pricelist WHERE in_force_from <= %s ORDER BY in_force_from DESC LIMIT 1"
        ") FOR KEY SHARE",
        [book.kind, at],
    )
    return next(iter(rates), None)


@atomic_with_retry
def make_price_list(*, name: str, in_force_from: datetime, rates: Sequence[dict[str, Any]]) -> PriceList:
    """Create a price list; `rates` has the fields of one rate for each kind.

    Raises PriceListTaken if another list got the name or the time just now.
    """
    try:
        with transaction.atomic():
            price_list = PriceList.objects.create(name=name, in_force_from=in_force_from)
    except IntegrityError:
        raise errors.PriceListTaken from None
    Rate.objects.bulk_create(Rate(price_list=price_list, **rate) for rate in rates)
    return price_list


@atomic_with_retry
def change_price_list(
    *, price_list: PriceList, rates: Sequence[dict[str, Any]] | None = None, **changes: Any
) -> PriceList:
    """Change the name, the date or all the rates.

    Raises PriceListUsed if a rental was priced by the list, and PriceListTaken as `make_price_list` does.
    """
    price_list = _lock_unused(price_list)
    for field, value in changes.items():
        setattr(price_list, field, value)
    try:
        with transaction.atomic():
            price_list.save(update_fields=list(changes))
    except IntegrityError:
        raise errors.PriceListTaken from None
    if rates is not None:
        price_list.rates.all().delete()
        Rate.objects.bulk_create(Rate(price_list=price_list, **rate) for rate in rates)
    return price_list


@atomic_with_retry
def delete_price_list(*, price_list: PriceList) -> None:
    """Delete the list. Raises PriceListUsed if a rental was priced by it."""
    _lock_unused(price_list).delete()


def _lock_unused(price_list: PriceList) -> PriceList:
    # A rental in progress has its rate locked until it commits, and a later one waits for this lock. So
    # the query below sees every rental.
    price_list = PriceList.objects.select_for_update().get(pk=price_list.pk)
    list(price_list.rates.select_for_update())
    if PriceList.objects.used().filter(pk=price_list.pk).exists():
        raise errors.PriceListUsed
    return price_list

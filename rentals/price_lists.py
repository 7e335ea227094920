"""Price lists: which is in force, what it says, and how one is made, changed while unused, deleted."""

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
    """The rate of the book's kind in the price list in force at `at`, alone; empty before the first list."""
    return _rates_in_force(at).filter(kind=book.kind)


def rate_in_force(book: Book, *, at: datetime) -> Rate | None:
    """The rate of the book's kind in the price list in force at `at`; None before the first list."""
    return next(iter(rate_of(book, at=at).select_related("price_list")), None)


def rates_in_force(*, at: datetime) -> dict[int, Rate]:
    """The rate of each kind in the price list in force at `at`; none before the first list."""
    return {rate.kind: rate for rate in _rates_in_force(at)}


def lock_rate_in_force(book: Book, *, at: datetime) -> Rate | None:
    """As `rate_in_force`, and nobody changes that price list until the transaction ends."""
    while True:
        rate = lock_rate(book, at=at)
        # Read after the lock: the transaction that we waited for may have put another list in force.
        price_list = next(iter(PriceList.objects.in_force(at)), None)
        if rate and price_list and rate.price_list_id == price_list.pk:
            rate.price_list = price_list
            return rate
        if rate_in_force(book, at=at) is None:
            return None


def lock_rate(book: Book, *, at: datetime) -> Rate | None:
    """As `rate_in_force`, locked: nobody changes or deletes this rate until the transaction ends.

    Any number of rentals may hold one rate at once: QuerySets do not offer this lock, FOR KEY SHARE.
    Without it a price list could change between our look at it and our commit: Django's foreign keys
    are checked, and so lock, at commit only. None also when the rate was deleted while we waited.
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
    """A new price list; `rates` holds the fields of one rate for each kind.

    Raises PriceListTaken when another list got the name or the time just now.
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
    """Change the name, the date or all the rates. Raises PriceListUsed once a rental refers to it,
    PriceListTaken as `make_price_list` does.
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
    """Raises PriceListUsed once a rental refers to it."""
    _lock_unused(price_list).delete()


def _lock_unused(price_list: PriceList) -> PriceList:
    # A rental that is being made holds its rate until it commits, and one that comes later waits for
    # us. So the look below sees every rental.
    price_list = PriceList.objects.select_for_update().get(pk=price_list.pk)
    list(price_list.rates.select_for_update())
    if PriceList.objects.used().filter(pk=price_list.pk).exists():
        raise errors.PriceListUsed
    return price_list

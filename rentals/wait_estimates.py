"""Estimates when waiting members get a copy, and their places in the queue.

The estimate assumes that every copy on loan is returned when it is due, or now if it is overdue, and that
each member ahead takes a copy as soon as it is there and keeps it for a whole rental period. Early returns
make the wait shorter; late returns, and the days until copies are picked up, make it longer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import heapify, heapreplace
from itertools import islice

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.lookups import GreaterThan

from books.models import Book, Copy
from lori_assignment import clock
from rentals.availability import count_by_book
from rentals.models import Hold, Policy, Rental


@dataclass(frozen=True, slots=True)
class WaitEstimate:
    """For a waiting hold. Place 1 is next. `expected_at` is None if no copy is in service."""

    place: int
    expected_at: datetime | None


@dataclass(frozen=True, slots=True)
class QueueEstimate:
    """`next_copy_at` is when the next copy is expected, for any member. `expected_at` is when a member who
    joined the queue now could expect one. Both are None if no copy is in service.
    """

    waiting: int
    next_copy_at: datetime | None
    expected_at: datetime | None


def wait_estimates(
    holds: Iterable[Hold], *, at: datetime, policy: Policy | None = None
) -> dict[int, WaitEstimate]:
    """Return the estimates at `at` for the waiting ones of `holds`, by their ids.

    Three queries for any number of holds; two if the caller passes the policy.
    """
    books = {hold.book_id for hold in holds if hold.status == Hold.Status.WAITING}
    if not books:
        return {}
    free_times = _free_times_by_book(books, at, policy or Policy.current())
    found = {}
    for book, line in _waiting_holds_by_book(books).items():
        for place, hold in enumerate(line, start=1):
            found[hold] = WaitEstimate(place, next(free_times[book], None))
    return {hold.pk: found[hold.pk] for hold in holds if hold.pk in found}


def estimate_queue(book: Book, *, at: datetime) -> QueueEstimate:
    """Return the estimate at `at` for the queue of `book`. Three queries."""
    waiting = len(_waiting_holds_by_book([book.pk])[book.pk])
    free_times = list(islice(_free_times_by_book([book.pk], at, Policy.current())[book.pk], waiting + 1))
    return QueueEstimate(
        waiting=waiting,
        next_copy_at=free_times[0] if free_times else None,
        expected_at=free_times[waiting] if len(free_times) > waiting else None,
    )


def annotate_others_wait(rentals: QuerySet[Rental]) -> QuerySet[Rental]:
    """Annotate `rentals` with `others_wait`, which rules out a renewal.

    It is true if the book has more live holds than copies that are not on loan. Ready holds count too,
    because so do the copies that are set aside for them.
    """
    holds = Hold.objects.live().filter(user__is_active=True)
    out = Rental.objects.open().filter(copy=OuterRef("pk"))
    on_shelf = Copy.objects.in_service().filter(~Exists(out))
    return rentals.annotate(
        others_wait=GreaterThan(
            count_by_book(holds, of="copy__book"), count_by_book(on_shelf, of="copy__book")
        )
    )


def _waiting_holds_by_book(books: Collection[int]) -> defaultdict[int, list[int]]:
    """Return the ids of the waiting holds of each book, in the order of the queue."""
    lines = defaultdict(list)
    waiting = Hold.objects.waiting().filter(book__in=books).order_by("pk")
    for book, hold in waiting.values_list("book_id", "pk"):
        lines[book].append(hold)
    return lines


def _free_times_by_book(
    books: Collection[int], at: datetime, policy: Policy
) -> defaultdict[int, Iterator[datetime]]:
    """Return, for each book, the times at which its waiting members get a copy, in order."""
    ready = Hold.objects.ready().filter(copy=OuterRef("pk"))
    out = Rental.objects.open().filter(copy=OuterRef("pk"))
    copies = (
        Copy.objects.in_service()
        .filter(book__in=books)
        .annotate(due=Subquery(out.values("due_at")), put_aside=Exists(ready))
    )
    times = defaultdict(list)
    for book, due, put_aside in copies.values_list("book_id", "due", "put_aside"):
        if put_aside:
            times[book].append(clock.add_days(at, policy.rental_days))
        else:
            times[book].append(max(due, at) if due else at)
    free_times: defaultdict[int, Iterator[datetime]] = defaultdict(lambda: iter(()))
    for book, free_at in times.items():
        free_times[book] = _free_times(free_at, policy.rental_days)
    return free_times


def _free_times(free_at: list[datetime], rental_days: int) -> Iterator[datetime]:
    """Yield the times at which a copy becomes free, if each is then rented again for `rental_days`."""
    heapify(free_at)
    while free_at:
        try:
            yield heapreplace(free_at, clock.add_days(free_at[0], rental_days))
        except OverflowError:  # Later than the last possible datetime.
            return

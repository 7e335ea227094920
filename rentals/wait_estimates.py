"""What those who wait can expect: their place in the queue, and about when their turn comes.

The date is an estimate and no promise. It takes every copy in service: one that is out comes back
when it is due, or any moment once it is overdue; whoever comes before takes the copy as soon as it is
there and keeps it for a whole rental period. Early returns make it sooner; late ones, and the days
until somebody picks a copy up, make it later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heapify, heapreplace
from itertools import islice

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.lookups import GreaterThan

from books.models import Book, Copy
from rentals.availability import count_by_book
from rentals.models import Hold, Policy, Rental


@dataclass(frozen=True, slots=True)
class WaitEstimate:
    """Of a hold that waits: 1 is the next place. No date where no copy is in service."""

    place: int
    expected_at: datetime | None


@dataclass(frozen=True, slots=True)
class QueueEstimate:
    """`next_copy_at`: when the next copy is expected, whoever it is for. `expected_at`: when the turn
    of a member would come who joined the queue now. No dates where no copy is in service.
    """

    waiting: int
    next_copy_at: datetime | None
    expected_at: datetime | None


def wait_estimates(
    holds: Iterable[Hold], *, at: datetime, policy: Policy | None = None
) -> dict[int, WaitEstimate]:
    """Of those of `holds` that wait, by their ids, as at `at`.

    Three queries, however many they are; two where the caller has read the policy already.
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
    """The queue of `book` as at `at`, for a page about it. Three queries."""
    waiting = len(_waiting_holds_by_book([book.pk])[book.pk])
    free_times = list(islice(_free_times_by_book([book.pk], at, Policy.current())[book.pk], waiting + 1))
    return QueueEstimate(
        waiting=waiting,
        next_copy_at=free_times[0] if free_times else None,
        expected_at=free_times[waiting] if len(free_times) > waiting else None,
    )


def annotate_others_wait(rentals: QuerySet[Rental]) -> QuerySet[Rental]:
    """`rentals` with `others_wait` each: whether a member waits for the book who cannot have a free copy of
    it instead. Such a rental is not renewed.

    Each hold takes one copy that is not out, whether the copy is put aside for it already or not.
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
    """The ids of the holds that wait for each book, first come first."""
    lines = defaultdict(list)
    waiting = Hold.objects.waiting().filter(book__in=books).order_by("pk")
    for book, hold in waiting.values_list("book_id", "pk"):
        lines[book].append(hold)
    return lines


def _free_times_by_book(
    books: Collection[int], at: datetime, policy: Policy
) -> defaultdict[int, Iterator[datetime]]:
    """For each book, the times at which those who wait get a copy, one after the other."""
    period = timedelta(days=policy.rental_days)
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
            times[book].append(at + period)
        else:
            times[book].append(max(due, at) if due else at)
    free_times: defaultdict[int, Iterator[datetime]] = defaultdict(lambda: iter(()))
    for book, free_at in times.items():
        free_times[book] = _free_times(free_at, period)
    return free_times


def _free_times(free_at: list[datetime], period: timedelta) -> Iterator[datetime]:
    """The times at which a copy comes free, each given out again for `period` when it does."""
    heapify(free_at)
    while free_at:
        try:
            yield heapreplace(free_at, free_at[0] + period)
        except OverflowError:  # The calendar ends before their turn comes.
            return

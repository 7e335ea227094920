"""What can be rented now. The one definition of it.

A copy is free when it is in service, not out with a member, and not put aside for one. What is free
belongs first to those who wait: only what is left after them is available to everybody. A copy that
comes free is put aside in the same transaction (`rentals.holds`, `rentals.stock`), so the two differ
only after a repair by hand, until the next allocation.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Greatest
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from books.models import Book, Copy
from lori_assignment.db.compiled_queries import CompiledQuery, IdList, InIds
from rentals.models import Hold, Rental

# Where so many books are unavailable, counting goes by all books.
MAX_LISTED_UNAVAILABLE = 200


def free_copies() -> QuerySet[Copy]:
    """The copies on the shelf: in service, not out, put aside for nobody."""
    return _free_copies().all()


# Built once: for Django that is more work than to compile and send it.
@cache
def _free_copies() -> QuerySet[Copy]:
    out = Rental.objects.open().filter(copy=OuterRef("pk"))
    put_aside = Hold.objects.ready().filter(copy=OuterRef("pk"))
    return Copy.objects.in_service().filter(~Exists(out), ~Exists(put_aside))


def with_availability(books: QuerySet[Book]) -> QuerySet[Book]:
    """`books` with two counts each: `copies_in_service`, and how many of them are `available` now."""
    # Subqueries and not a join: they are made for the rows of one page only.
    return books.annotate(
        copies_in_service=count_by_book(Copy.objects.in_service()), available=Greatest(_surplus(), 0)
    )


def set_copy_counts(books: Collection[Any]) -> None:
    """Put the two counts on each of `books`, in one query for all of them."""
    if not books:
        return
    counted = {pk: counts for pk, *counts in _counts(books=[book.pk for book in books])}
    for book in books:
        # One that is deleted at this moment has none.
        book.copies_in_service, book.available = counted.get(book.pk, (0, 0))


def _counts_of_books() -> QuerySet[Any, Any]:
    books: Any = with_availability(Book.objects.filter(InIds("pk", IdList("books"))))
    return books.order_by().values_list("pk", "copies_in_service", "available")


_counts: CompiledQuery[Any] = CompiledQuery(_counts_of_books)


def _surplus() -> CombinedExpression:
    """How many free copies a book has beyond those that wait for it; below zero where more wait."""
    return count_by_book(free_copies()) - count_by_book(Hold.objects.waiting())


def count_by_book(rows: QuerySet[Any], *, of: str = "pk") -> Coalesce:
    """How many of `rows`, which have a `book`, belong to the book that the outer query calls `of`."""
    counted = rows.filter(book=OuterRef(of)).order_by().values("book").annotate(number=Count("pk"))
    return Coalesce(Subquery(counted.values("number")), 0)


def available_books(books: QuerySet[Book]) -> QuerySet[Book]:
    """Those of `books` of which a copy can be rented now."""
    free = Exists(free_copies().filter(book=OuterRef("pk")))
    waited_for = Exists(Hold.objects.waiting().filter(book=OuterRef("pk")))
    # Only where somebody waits for a book that has a free copy, which is rare, are they counted.
    return books.filter(free).filter(~waited_for | Q(GreaterThan(_surplus(), 0)))


def unavailable_books(books: QuerySet[Book]) -> QuerySet[Book]:
    """Those of `books` of which no copy can be rented now. Asks first whether there are many."""
    none_left = LessThanOrEqual(_surplus(), 0)
    some_copy = Copy.objects.in_service().filter(book=OuterRef("pk"))
    # Of a book without a free copy the first is out like all others, unless it is waited for: so each is
    # met once.
    earlier = Copy.objects.in_service().filter(book=OuterRef("copy__book"), pk__lt=OuterRef("copy"))
    waited_for = Hold.objects.live().values("book")
    # All of them are among these, of which there are few where nearly everything is on the shelf. To find
    # them by counting the copies of a million books would take many seconds then.
    looks: list[QuerySet[Any, Any]] = [
        Rental.objects.open()
        .filter(LessThanOrEqual(count_by_book(free_copies(), of="copy__book"), 0), ~Exists(earlier))
        .values_list("copy__book", flat=True),
        Book.objects.filter(none_left, pk__in=waited_for).values_list("pk", flat=True),
        Book.objects.filter(~Exists(some_copy)).values_list("pk", flat=True),
    ]
    found: set[int] = set()
    for look in looks:
        rows = look.order_by()[:MAX_LISTED_UNAVAILABLE]
        found.update(rows)
        if len(rows) == MAX_LISTED_UNAVAILABLE:
            # Then they are soon met by looking at one book after the other, until the page is full.
            return books.filter(none_left)
    # They may be available since.
    return books.filter(none_left, pk__in=found)

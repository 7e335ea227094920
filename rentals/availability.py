"""Defines which copies are free and which books are available.

A copy is free if it is in service, not on loan and not set aside. Free copies belong to the waiting members
first: a book is available if more copies are free than members wait. A copy that becomes free is set aside in
the same transaction (`rentals.holds`, `rentals.stock`). So only a manual repair can leave a book with both
free copies and waiting members, and only until the next allocation.
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

# If a query finds this many unavailable books, `unavailable_books` tests each book instead of listing them.
MAX_LISTED_UNAVAILABLE = 200


def free_copies() -> QuerySet[Copy]:
    """Return the copies that are in service, not on loan and not set aside."""
    return _free_copies().all()


# Built once: building this queryset takes longer than compiling and sending it.
@cache
def _free_copies() -> QuerySet[Copy]:
    out = Rental.objects.open().filter(copy=OuterRef("pk"))
    put_aside = Hold.objects.ready().filter(copy=OuterRef("pk"))
    return Copy.objects.in_service().filter(~Exists(out), ~Exists(put_aside))


def with_availability(books: QuerySet[Book]) -> QuerySet[Book]:
    """Annotate `books` with the counts `copies_in_service` and `available`: those that can be rented now."""
    # Subqueries, not a join, so that copies are counted only for the rows of one page.
    return books.annotate(
        copies_in_service=count_by_book(Copy.objects.in_service()), available=Greatest(_surplus(), 0)
    )


def set_copy_counts(books: Collection[Any]) -> None:
    """Set the counts of `with_availability` on each of `books`, with one query."""
    if not books:
        return
    counted = {pk: counts for pk, *counts in _counts(books=[book.pk for book in books])}
    for book in books:
        # A book that has just been deleted has no counts.
        book.copies_in_service, book.available = counted.get(book.pk, (0, 0))


def _counts_of_books() -> QuerySet[Any, Any]:
    books: Any = with_availability(Book.objects.filter(InIds("pk", IdList("books"))))
    return books.order_by().values_list("pk", "copies_in_service", "available")


_counts: CompiledQuery[Any] = CompiledQuery(_counts_of_books)


def _surplus() -> CombinedExpression:
    """Count a book's free copies minus its waiting members; negative if more members wait."""
    return count_by_book(free_copies()) - count_by_book(Hold.objects.waiting())


def count_by_book(rows: QuerySet[Any], *, of: str = "pk") -> Coalesce:
    """Count the `rows` whose `book` is the field `of` of the outer query."""
    counted = rows.filter(book=OuterRef(of)).order_by().values("book").annotate(number=Count("pk"))
    return Coalesce(Subquery(counted.values("number")), 0)


def available_books(books: QuerySet[Book]) -> QuerySet[Book]:
    """Filter `books` to those with a copy that can be rented now."""
    free = Exists(free_copies().filter(book=OuterRef("pk")))
    waited_for = Exists(Hold.objects.waiting().filter(book=OuterRef("pk")))
    # Counting is needed only if members wait for a book that has a free copy, which is rare.
    return books.filter(free).filter(~waited_for | Q(GreaterThan(_surplus(), 0)))


def unavailable_books(books: QuerySet[Book]) -> QuerySet[Book]:
    """Filter `books` to those without a copy that can be rented now. Runs up to three queries when called."""
    none_left = LessThanOrEqual(_surplus(), 0)
    some_copy = Copy.objects.in_service().filter(book=OuterRef("pk"))
    # Keeps only the rental of a book's first copy, so that each book is listed once. If that copy is put
    # aside and not on loan, the book has a live hold, and the second query lists it.
    earlier = Copy.objects.in_service().filter(book=OuterRef("copy__book"), pk__lt=OuterRef("copy"))
    waited_for = Hold.objects.live().values("book")
    # Together these list every unavailable book. If most books are available, the lists are short, whereas
    # counting the copies of a million books would take many seconds.
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
            # With so many unavailable books, testing one book after the other soon fills a page.
            return books.filter(none_left)
    # Checked again: they may have become available.
    return books.filter(none_left, pk__in=found)

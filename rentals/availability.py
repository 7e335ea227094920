"""What can be rented now: in service, and not out with a member. The one definition of it."""

from __future__ import annotations

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from books.models import Book, Copy
from rentals.models import Rental


def free_copies() -> QuerySet[Copy]:
    """The copies that can be rented now."""
    out = Rental.objects.open().filter(copy=OuterRef("pk"))
    return Copy.objects.in_service().filter(~Exists(out))


def with_availability(books: QuerySet[Book]) -> QuerySet[Book]:
    """`books` with two counts each: `copies_in_service`, and how many of them are `available` now."""
    # Subqueries and not a join: they are made for the rows of one page only.
    return books.annotate(
        copies_in_service=_count_by_book(Copy.objects.in_service()), available=_count_by_book(free_copies())
    )


def _count_by_book(copies: QuerySet[Copy]) -> Coalesce:
    counted = copies.filter(book=OuterRef("pk")).order_by().values("book").annotate(number=Count("pk"))
    return Coalesce(Subquery(counted.values("number")), 0)


def available_books(books: QuerySet[Book]) -> QuerySet[Book]:
    """Those of `books` of which a copy can be rented now."""
    return books.filter(Exists(free_copies().filter(book=OuterRef("pk"))))

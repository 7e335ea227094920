"""How the list of books is narrowed and ordered by query parameters."""

from __future__ import annotations

from typing import Any

import django_filters as filters
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce

from books.api.fields import KINDS
from books.models import Book, BookQuerySet, Copy, Kind
from lori_assignment.api_filters import KeyFilter, OneOfFilter, TrueFalseFilter
from rentals.availability import available_books, unavailable_books

# Books of unknown year come first going up, last going down.
BEFORE_ALL_YEARS = -32768

ORDERS = ["id", "-id", "name", "-name", "author", "-author", "published", "-published"]


class BookFilter(filters.FilterSet):
    search = filters.CharFilter(
        method="narrow_by_search", max_length=200, help_text="Words of the name or the author, or an ISBN."
    )
    book_type = OneOfFilter(field_name="kind", choices=Kind.choices, help_text=KINDS)
    language = filters.CharFilter(
        field_name="language", lookup_expr="iexact", max_length=8, help_text="Language code, such as en."
    )
    available = TrueFalseFilter(
        method="narrow_by_availability", help_text="true: only books that can be rented now."
    )
    ordering = OneOfFilter(
        method="order", choices=[(order, order) for order in ORDERS], help_text="A minus turns it round."
    )

    class Meta:
        model = Book
        fields: list[str] = []

    def narrow_by_search(self, books: BookQuerySet, name: str, text: str) -> BookQuerySet:
        return books.search(text)

    def narrow_by_availability(self, books: QuerySet[Book], name: str, wanted: bool) -> QuerySet[Book]:
        return available_books(books) if wanted else unavailable_books(books)

    def order(self, books: QuerySet[Book], name: str, order: Any) -> QuerySet[Book]:
        sign = "-" if order.startswith("-") else ""
        field = order.removeprefix("-")
        if field == "id":
            return books.order_by(f"{sign}id")
        if field == "published":
            books = books.annotate(year=Coalesce("published", Value(BEFORE_ALL_YEARS)))
            field = "year"
        return books.order_by(f"{sign}{field}", f"{sign}id")


class CopyFilter(filters.FilterSet):
    book = KeyFilter(field_name="book")

    class Meta:
        model = Copy
        fields = ["barcode", "status"]

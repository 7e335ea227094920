"""Filters and ordering for the lists of books and copies."""

from __future__ import annotations

from typing import Any

import django_filters as filters
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from books.api.fields import KINDS
from books.catalogue import ORDERS, in_decade, in_order
from books.models import Book, Copy, Kind
from books.search import find
from lori_assignment.db.word_search import MAX_LENGTH
from lori_assignment.rest.filters import KeyFilter, OneOfFilter, StrictBooleanFilter
from rentals.availability import available_books, unavailable_books


class DecadeFilter(filters.CharFilter):
    """The first year of a decade: ends in 0, plain digits, negative before the common era."""

    def __init__(self, **options: Any) -> None:
        digits = RegexValidator(r"\A(-?[1-9][0-9]{0,2})?0\Z", _("Enter a year that ends in 0."))
        super().__init__(validators=[digits], **options)


class BookFilter(filters.FilterSet):
    book_type = OneOfFilter(field_name="kind", choices=Kind.choices, help_text=KINDS)
    language = filters.CharFilter(
        method="narrow_by_language", max_length=8, help_text="Language code, such as en."
    )
    decade = DecadeFilter(
        method="narrow_by_decade", help_text="Decade of publication by its first year, such as 1980."
    )
    available = StrictBooleanFilter(
        method="narrow_by_availability", help_text="true: only books that can be rented now."
    )
    ordering = OneOfFilter(
        method="order",
        choices=[(order, order) for order in ORDERS],
        help_text="Prefix with - to reverse. Default: by ID, or best match first if `search` finds few.",
    )
    # Last: the search ranks what the other filters leave.
    search = filters.CharFilter(
        method="narrow_by_search",
        max_length=MAX_LENGTH,
        help_text="Words from the title or author (the last may be incomplete), or an ISBN.",
    )

    class Meta:
        model = Book
        fields: list[str] = []

    def narrow_by_language(self, books: QuerySet[Book], name: str, code: str) -> QuerySet[Book]:
        return books.filter(language=code.lower())

    def narrow_by_decade(self, books: QuerySet[Book], name: str, decade: str) -> QuerySet[Book]:
        return in_decade(books, int(decade))

    def narrow_by_availability(self, books: QuerySet[Book], name: str, wanted: bool) -> QuerySet[Book]:
        return available_books(books) if wanted else unavailable_books(books)

    def order(self, books: QuerySet[Book], name: str, order: str) -> QuerySet[Book]:
        return in_order(books, order)

    def narrow_by_search(self, books: QuerySet[Book], name: str, text: str) -> QuerySet[Book]:
        found = find(books, text).books
        order = self.form.cleaned_data["ordering"]
        return in_order(found, order) if order else found


class CopyFilter(filters.FilterSet):
    book = KeyFilter(field_name="book")

    class Meta:
        model = Copy
        fields = ["barcode", "status"]

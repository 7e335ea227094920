"""Orders, filters and capped counts of the catalogue.

Every order, whether of the whole catalogue or within one kind, language or decade, either follows an index or
sorts few rows. The first page and the ten-thousandth therefore take milliseconds in a million books.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.db import connection
from django.db.models import Model, QuerySet

from books.models import AUTHOR_START, YEAR, Book

ORDERS = ("id", "-id", "name", "-name", "author", "-author", "published", "-published")
# Counting every row of a million books would slow the list down for everybody.
COUNT_LIMIT = 1000
YEARS_A_DECADE = 10

_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Facets:
    """The languages and decades that have at least one book, sorted; 1980 stands for 1980 to 1989."""

    languages: list[str]
    decades: list[int]


def in_order(books: QuerySet[Book], order: str) -> QuerySet[Book]:
    """Return `books` in one of ORDERS; a leading minus reverses it. The primary key breaks ties.

    Books of unknown year come first in ascending order and last in descending order.
    """
    sign = "-" if order.startswith("-") else ""
    field = order.removeprefix("-")
    if field == "id":
        return books.order_by(f"{sign}id")
    if field == "published":
        books, field = books.annotate(year=YEAR), "year"
    elif field == "author":
        books, field = books.annotate(author_start=AUTHOR_START), "author_start"
    return books.order_by(f"{sign}{field}", f"{sign}id")


def in_decade(books: QuerySet[Book], decade: int) -> QuerySet[Book]:
    """Return the books first published in the ten years from `decade` on."""
    return books.alias(year=YEAR).filter(year__gte=decade, year__lt=decade + YEARS_A_DECADE)


def decade_of(year: int) -> int:
    return year - year % YEARS_A_DECADE


def capped_count(rows: QuerySet[_Row]) -> tuple[int, bool]:
    """Return the number of `rows`, up to COUNT_LIMIT, and whether there are more."""
    number = rows.order_by()[: COUNT_LIMIT + 1].count()
    return min(number, COUNT_LIMIT), number > COUNT_LIMIT


# Jumps through the index from one distinct value to the next, so the number of steps is that of the values,
# not of the books. The expression for the year must match the one in the index.
_FACETS = """
WITH RECURSIVE languages (code) AS (
    SELECT (SELECT language FROM books_book WHERE language > '' ORDER BY language LIMIT 1)
    UNION ALL
    SELECT (SELECT language FROM books_book WHERE language > code ORDER BY language LIMIT 1)
    FROM languages WHERE code IS NOT NULL
), years (year) AS (
    SELECT (
        SELECT COALESCE(published, -32768) FROM books_book
        WHERE COALESCE(published, -32768) > -32768 ORDER BY COALESCE(published, -32768) LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT COALESCE(published, -32768) FROM books_book
        WHERE COALESCE(published, -32768) >= year - ((year % 10) + 10) % 10 + 10
        ORDER BY COALESCE(published, -32768) LIMIT 1
    )
    FROM years WHERE year IS NOT NULL
)
SELECT code, NULL FROM languages WHERE code IS NOT NULL
UNION ALL
SELECT NULL, year FROM years WHERE year IS NOT NULL
"""


def facets() -> Facets:
    with connection.cursor() as cursor:
        cursor.execute(_FACETS)
        rows = cursor.fetchall()
    return Facets(
        languages=[code for code, _ in rows if code is not None],
        decades=[decade_of(year) for _, year in rows if year is not None],
    )

"""Tests of the catalogue's filters, orders and counts, and of their query plans."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import skipUnless

from django.db import connection
from django.test import TestCase

from books.catalogue import COUNT_LIMIT, ORDERS, Facets, capped_count, decade_of, facets, in_decade, in_order
from books.models import Book
from books.search import find
from lori_assignment.db.keyset_pagination import paginate
from rentals.availability import with_availability

ON_POSTGRESQL = connection.vendor == "postgresql"


class FilterTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        for name, year, language in (
            ("Iliad", -750, "el"),
            ("Aeneid", -19, "la"),
            ("Early", 3, "la"),
            ("Emma", 1815, "en"),
            ("Frankenstein", 1818, "en"),
            ("Walden", 1854, "en"),
            ("Undated", None, ""),
        ):
            Book.objects.create(name=name, published=year, language=language)

    def test_filter_selects_ten_years_of_a_decade(self) -> None:
        for decade, names in (
            (1810, ["Emma", "Frankenstein"]),
            (1820, []),
            (-750, ["Iliad"]),
            (-20, ["Aeneid"]),
            (-10, []),
            (0, ["Early"]),
        ):
            with self.subTest(decade=decade):
                found = in_decade(Book.objects.order_by("id"), decade)
                self.assertEqual([book.name for book in found], names)

    def test_every_year_is_in_its_decade(self) -> None:
        for year, decade in ((1815, 1810), (1810, 1810), (3, 0), (-1, -10), (-10, -10), (-19, -20)):
            self.assertEqual(decade_of(year), decade)

    def test_facets_take_one_query(self) -> None:
        with self.assertNumQueries(1):
            found = facets()
        self.assertEqual(found, Facets(languages=["el", "en", "la"], decades=[-750, -20, 0, 1810, 1850]))

    def test_no_books_have_no_facets(self) -> None:
        Book.objects.all().delete()
        self.assertEqual(facets(), Facets(languages=[], decades=[]))

    def test_count_is_capped(self) -> None:
        self.assertEqual(capped_count(Book.objects.all()), (7, False))
        Book.objects.bulk_create(Book(name=f"Volume {n}") for n in range(COUNT_LIMIT))
        with self.assertNumQueries(1):
            self.assertEqual(
                capped_count(with_availability(Book.objects.order_by("name"))), (COUNT_LIMIT, True)
            )

    def test_newest_book_was_added_last(self) -> None:
        self.assertEqual(Book.objects.newest()[0].name, "Undated")

    def test_author_too_long_for_an_index_is_stored(self) -> None:
        endless = "".join(chr(0x4E00 + n) for n in range(1000))
        Book.objects.create(name="Chorus", author=endless)
        self.assertEqual(in_order(Book.objects.all(), "-author")[0].name, "Chorus")


class PlanTest(TestCase):
    """Every hot query uses an index, so its cost does not grow with the number of books."""

    @classmethod
    def setUpTestData(cls) -> None:
        Book.objects.bulk_create(
            Book(
                name=f"Volume {n}",
                author=f"Author {n % 97}",
                isbn=f"97800{n:08}",
                kind=n % 3 + 1,
                published=1900 + n % 100,
                language="en" if n % 50 else "la",
            )
            for n in range(3000)
        )
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")

    def plan_of(self, sql: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"{'EXPLAIN' if ON_POSTGRESQL else 'EXPLAIN QUERY PLAN'} {sql}")
            return "\n".join(str(row[-1]) for row in cursor.fetchall())

    def plan_of_query_of(self, call: Callable[[], Any], *, queries: int = 1) -> str:
        """Return the plan of the last of the `queries` that `call` makes."""
        with self.assertNumQueries(queries) as asked:
            call()
        return self.plan_of(asked.captured_queries[-1]["sql"])

    def test_every_ordering_uses_its_index(self) -> None:
        indexes = {"name": "book_by_name", "author": "book_by_author", "published": "book_by_year"}
        for order in ORDERS:
            books = in_order(with_availability(Book.objects.all()), order)
            second = paginate(books, size=24).next
            for cursor in (None, second):
                with self.subTest(order=order, cursor=cursor):
                    plan = self.plan_of_query_of(partial(paginate, books, size=24, cursor=cursor))
                    self.assertIn(indexes.get(order.removeprefix("-"), ""), plan)
                    self.assertNotRegex(plan, "Seq Scan on books_book|Sort Key|TEMP B-TREE")

    def test_language_and_decade_use_their_indexes(self) -> None:
        for books, index in (
            (Book.objects.filter(language="la").order_by("id"), "book_by_language"),
            (in_order(in_decade(Book.objects.all(), 1950), "published"), "book_by_year"),
            (in_order(in_decade(Book.objects.all(), 1950), "-published"), "book_by_year"),
        ):
            with self.subTest(index=index):
                self.assertIn(index, self.plan_of_query_of(partial(paginate, books, size=24)))

    def test_facets_use_the_indexes(self) -> None:
        plan = self.plan_of_query_of(facets)
        for index in ("book_by_language", "book_by_year"):
            self.assertIn(index, plan)
        self.assertNotRegex(plan, "Seq Scan on books_book|SCAN books_book$")

    @skipUnless(ON_POSTGRESQL, "On SQLite a search reads every book.")
    def test_search_uses_its_index(self) -> None:
        with connection.cursor() as cursor:
            # With so few books a sequential scan would be as fast.
            cursor.execute("SET LOCAL enable_seqscan = off")
        for text, index in (
            ("2999", "book_by_words"),
            ("author 55 vol", "book_by_words"),
            ("9780000002999", "book_isbn_unique_when_present"),
            ("978-0-0000-029", "book_isbn_unique_when_present"),
        ):
            with self.subTest(text=text):
                # The first query is the EXPLAIN that estimates the number of books.
                plan = self.plan_of_query_of(partial(find, Book.objects.all(), text), queries=2)
                self.assertIn(index, plan)
                self.assertNotIn("Seq Scan", plan)

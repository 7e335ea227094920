"""Tests of concurrent changes to the stock: the database decides, and the later change is refused."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock, skipUnless

from django.db import IntegrityError, connection

from books import errors, stock
from books.models import Book, Copy
from books.stock import add_book, add_copy, change_book, change_copy
from lori_assignment.testing.cases import CastTestCase, RaceTestCase

ISBN = "9780141439587"


class UniquenessTest(CastTestCase):
    """The domain functions refuse duplicates that validation has missed, as in a race."""

    emma: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(name="Emma", isbn=ISBN)

    def test_isbn_is_unique(self) -> None:
        other = add_book(name="Persuasion")
        with self.assertRaises(errors.IsbnTaken):
            add_book(name="Susan", isbn=ISBN)
        with self.assertRaises(errors.IsbnTaken):
            change_book(book=other, name="Susan", isbn=ISBN)
        other.refresh_from_db()
        self.assertEqual((other.name, Book.objects.count()), ("Persuasion", 2))
        change_book(book=self.emma, isbn=ISBN, name="Emma Woodhouse")

    def test_barcode_is_unique(self) -> None:
        first = self.emma.copies.get()
        second = add_copy(book=self.emma, barcode="A-17")
        with self.assertRaises(errors.BarcodeTaken):
            add_copy(book=self.emma, barcode="A-17")
        with self.assertRaises(errors.BarcodeTaken):
            change_copy(copy=first, barcode="A-17", condition="worn")
        first.refresh_from_db()
        self.assertEqual((first.condition, Copy.objects.count()), ("good", 2))
        change_copy(copy=second, barcode="A-17", condition="worn")

    def test_other_integrity_errors_are_raised(self) -> None:
        for call in (
            lambda: add_book(name=""),
            lambda: change_book(book=self.emma, name=""),
            lambda: add_copy(book=self.emma, status="eaten"),
            lambda: change_copy(copy=self.emma.copies.get(), status="eaten"),
        ):
            with self.assertRaises(IntegrityError):
                call()

    def test_concurrently_taken_number_is_409(self) -> None:
        add_copy(book=self.emma, barcode="A-17")
        book, copy = f"/api/v3/books/{add_book(name='Susan').pk}/", self.emma.copies.first()
        staff = self.api(self.carol)
        with mock.patch("rest_framework.validators.UniqueValidator.__call__"):
            answers = [
                staff.post("/api/v3/books/", {"name": "Persuasion", "isbn": ISBN}),
                staff.patch(book, {"isbn": ISBN}),
                staff.post("/api/v3/copies/", {"book": self.emma.pk, "barcode": "A-17"}),
                staff.patch(f"/api/v3/copies/{copy.pk}/", {"barcode": "A-17"}),
            ]
        self.assertEqual([answer.status_code for answer in answers], [409] * 4)
        codes = [answer.json()["code"] for answer in answers]
        self.assertEqual(codes, ["isbn_taken", "isbn_taken", "barcode_taken", "barcode_taken"])
        self.assertEqual(staff.patch(book, {"isbn": ISBN}).status_code, 400)


class BarcodeTest(CastTestCase):
    def test_custom_barcodes_do_not_block_new_books(self) -> None:
        shelf = add_book(name="Emma", copies=0)
        for number in (1, 3):
            add_copy(book=shelf, barcode=f"{shelf.pk + 1}-{number}")
        book = add_book(name="Persuasion", copies=3)
        barcodes = list(book.copies.values_list("barcode", flat=True))
        self.assertEqual(barcodes, [f"{book.pk}-{number}" for number in (2, 4, 5)])

    def test_barcode_of_deleted_copy_is_not_reused(self) -> None:
        book = add_book(name="Emma", copies=3)
        stock.delete_copy(copy=book.copies.first())
        self.assertEqual(add_copy(book=book).barcode, f"{book.pk}-4")


class StockRaceTest(RaceTestCase):
    def add(self, book: Book, calls: int) -> list[Any]:
        return self.run_concurrently(*[lambda: add_copy(book=book)] * calls)

    def test_barcodes_are_consecutive(self) -> None:
        book = add_book(name="Emma")
        added = self.add(book, 4)
        self.assertEqual(
            sorted(copy.barcode for copy in added), [f"{book.pk}-{number}" for number in (2, 3, 4, 5)]
        )

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_without_book_lock_barcodes_collide(self) -> None:
        book = add_book(name="Emma")
        line = threading.Barrier(3)
        look = stock._free_barcodes

        def look_together(book: Book) -> Iterator[str]:
            free = look(book)
            line.wait(timeout=10)
            return free

        unlocked = {"lock": lambda book: book, "_free_barcodes": look_together}
        with mock.patch.multiple(stock, **unlocked):
            outcomes = Counter(type(outcome) for outcome in self.add(book, 3))
        self.assertEqual(outcomes, {Copy: 1, errors.BarcodeTaken: 2})

    def test_concurrent_books_share_no_isbn(self) -> None:
        outcomes = self.run_concurrently(*[lambda: add_book(name="Emma", isbn=ISBN)] * 3)
        self.assertEqual(Counter(type(outcome) for outcome in outcomes), {Book: 1, errors.IsbnTaken: 2})
        self.assertEqual(Copy.objects.count(), 1)

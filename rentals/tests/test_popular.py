"""Tests the list of the most rented books."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest import mock

from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import popular
from rentals.popular import most_rented
from rentals.services import rent_book, return_rental, void_rental

NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class MostRentedTest(CastTestCase):
    def setUp(self) -> None:
        self.emma, self.cosmos, self.iliad = (add_book(name=name) for name in ("Emma", "Cosmos", "Iliad"))

    def rent(self, book: Book, *days_ago: int, void: bool = False) -> None:
        for ago in days_ago:
            at = NOW - ago * DAY
            rental = rent_book(member=self.alice, book=book, at=at, now=NOW)
            return_rental(rental=rental, at=at, actor=self.carol, now=NOW)
            if void:
                void_rental(rental=rental, at=NOW, actor=self.carol)

    def test_most_rented_book_comes_first(self) -> None:
        self.rent(self.cosmos, 40, 30, 20)
        self.rent(self.emma, 10)
        with self.assertNumQueries(2):
            self.assertEqual(most_rented(at=NOW, limit=6), [self.cosmos, self.emma])
        self.assertEqual(most_rented(at=NOW, limit=1), [self.cosmos])

    def test_old_and_void_rentals_do_not_count(self) -> None:
        self.rent(self.cosmos, 300, 200, 91)
        self.rent(self.iliad, 5, 4, void=True)
        self.rent(self.emma, 3)
        self.assertEqual(most_rented(at=NOW, limit=6), [self.emma])

    def test_only_recent_rentals_are_read(self) -> None:
        self.rent(self.cosmos, 40, 30, 20)
        self.rent(self.emma, 10, 9)
        with mock.patch.object(popular, "SAMPLE_SIZE", 2):
            self.assertEqual(most_rented(at=NOW, limit=6), [self.emma])

    def test_shop_without_rentals_has_none(self) -> None:
        self.assertEqual(most_rented(at=NOW, limit=6), [])

"""Tests the front page, for anonymous users and for members."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import services
from rentals.models import Rental

DAY = timedelta(days=1)


class FrontPageTest(CastTestCase):
    def rent(self, book: Book, days_ago: int) -> Rental:
        at = timezone.now() - days_ago * DAY
        return services.rent_book(member=self.alice, book=book, at=at, now=at)

    def test_visitor_sees_prices_and_newest_books(self) -> None:
        for name in ("Emma", "Persuasion"):
            add_book(name=name, kind=3)
        with self.assertNumQueries(3):
            page = self.client.get("/").content.decode()
        # A novel for 1 and 3 days, for 7 and for 14 days, by the price list in force.
        novel = page[page.index(">Novel<") :]
        prices = [novel.index(amount) for amount in ("$4.50", "$10.50", "$21.00")]
        self.assertEqual(prices, sorted(prices))
        self.assertLess(page.index(">Persuasion</a>"), page.index(">Emma</a>"))
        self.assertNotIn("Due soon", page)
        self.assertNotIn("Popular now", page)

    def test_member_sees_what_is_due_next(self) -> None:
        books = [add_book(name=f"Volume {number}", kind=3, copies=2) for number in range(5)]
        for days_ago, book in zip((3, 16, 9, 1), books, strict=False):
            self.rent(book, days_ago)
        self.client.force_login(self.alice)
        with self.assertNumQueries(6):
            page = self.client.get("/").content.decode()
        due = page[page.index("Due soon") : page.index("New arrivals")]
        self.assertEqual(
            [due.index(f"Volume {number}") for number in (1, 2, 0)],
            sorted(due.index(f"Volume {number}") for number in (1, 2, 0)),
        )
        self.assertIn("2 days overdue", due)
        self.assertNotIn("Volume 3", due)
        self.assertNotIn("Become a member", page)
        self.assertIn("Popular now", page)

    def test_query_count_is_constant(self) -> None:
        for number in range(9):
            self.rent(add_book(name=f"Volume {number}", kind=1), number)
        self.client.force_login(self.alice)
        with self.assertNumQueries(6):
            self.client.get("/")

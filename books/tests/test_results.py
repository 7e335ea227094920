"""Tests of the list of results on the catalogue page."""

from __future__ import annotations

from decimal import Decimal

from django.utils import timezone
from django.utils.html import escape

from books.stock import add_book, change_book
from lori_assignment.testing.cases import CastTestCase
from rentals.price_lists import make_price_list
from rentals.services import rent_book


class PageTest(CastTestCase):
    def setUp(self) -> None:
        self.book = add_book(name="Emma", kind=1)

    def page(self, query: str = "", **headers: str) -> str:
        return self.client.get(f"/home?{query}", headers=headers).content.decode()

    def test_changes_of_price_name_and_stock_show(self) -> None:
        self.assertIn("$1.50 a day", self.page())
        now = timezone.now()
        rates = [{"kind": kind, "daily_rate": Decimal(7)} for kind in (1, 2, 3)]
        make_price_list(name="Dear", in_force_from=now, rates=rates)
        self.assertIn("$7.00 a day", self.page())
        self.assertIn("Available</span>", self.page())
        rent_book(member=self.alice, book=self.book, at=now, now=now)
        self.assertIn("All rented out", self.page())
        change_book(book=self.book, name="Sense and Sensibility")
        self.assertNotIn("Emma", self.page())

    def test_what_a_book_says_is_escaped(self) -> None:
        change_book(book=self.book, name="Persuasion <b>", author="<i>")
        page = self.page()
        self.assertIn("Persuasion &lt;b&gt;", page)
        self.assertNotIn("<i>", page)

    def test_an_amount_is_written_as_the_language_does(self) -> None:
        self.assertIn("1,50", self.page(**{"Accept-Language": "de"}))

    def test_the_first_covers_are_loaded_at_once(self) -> None:
        for number in range(6):
            book = add_book(name=f"Book {number}", kind=1)
            book.cover = f"covers/{number}.webp"
            book.save()
        page = self.page()
        self.assertEqual((page.count('loading="lazy"'), page.count('<img class="cover"')), (2, 6))

    def test_each_member_is_shown_their_own_name(self) -> None:
        for user, name in ((self.alice, "Alice <b>"), (self.bob, "Bob")):
            user.name = name
            user.save()
            self.client.force_login(user)
            self.assertEqual(self.page().count(escape(user.get_short_name())), 2)

    def test_search_text_is_not_shared(self) -> None:
        self.assertIn('value="my secret wish"', self.page("search=my+secret+wish"))
        self.assertNotIn("secret wish", self.page())
        self.assertNotIn("secret wish", self.page("search=emma"))
        self.assertIn("Titel", self.page(**{"Accept-Language": "de"}))
        self.assertNotIn("Titel", self.page())

    def test_a_new_language_is_offered_at_once(self) -> None:
        self.assertNotIn("Finnish", self.page())
        add_book(name="Kalevala", language="fi")
        self.assertIn("Finnish", self.page())

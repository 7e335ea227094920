"""The parts of the catalogue's page that are kept: each under all that it shows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from unittest import mock

from django.template.loader import get_template
from django.utils import timezone, translation
from django.utils.html import escape

from books.models import Book
from books.stock import add_book, change_book
from books.templatetags import results
from lori_assignment import kept_parts
from lori_assignment.cast import CastTestCase
from rentals.availability import count_copies
from rentals.price_lists import make_price_list
from rentals.services import rent_book

PRICE = {"daily": Decimal("1.50"), "least": Decimal("2.00")}


class Watched:
    """A book that remembers what was read of it."""

    def __init__(self, book: Book) -> None:
        self.book, self.read = book, set[str]()

    def __getattr__(self, name: str) -> Any:
        if name in ("book", "read"):
            raise AttributeError(name)
        self.read.add(name)
        return getattr(self.book, name)


class ResultTest(CastTestCase):
    def setUp(self) -> None:
        self.book: Any = add_book(name="Emma", author="Jane Austen", kind=3)
        count_copies([self.book])

    def test_is_kept_under_all_that_its_template_reads(self) -> None:
        watched = Watched(self.book)
        for available in (0, 1):
            self.book.available = available
            get_template("books/result.html").render({"book": watched, "price": PRICE, "lazy": True})
        # Its name of the kind follows from the kind.
        reads = {name for name in watched.read - {"get_kind_display"} if not name.startswith("_")}
        self.assertLessEqual(reads - {"resolve_expression"}, set(results.SHOWN))
        self.assertIn("available", reads)

    def test_each_of_them_makes_another(self) -> None:
        for name, value in (
            ("pk", 987),
            ("name", "Persuasion <b>"),
            ("author", "Nobody"),
            ("kind", 1),
            ("cover", "covers/x.webp"),
            ("available", 0),
            ("copies_in_service", 0),
        ):
            with self.subTest(name=name):
                before = results.result(self.book, PRICE)
                setattr(self.book, name, value)
                self.assertNotEqual(results.result(self.book, PRICE), before)
        self.assertNotIn("<b>", results.result(self.book, PRICE))
        seen = {
            results.result(self.book, PRICE),
            results.result(self.book, PRICE | {"daily": Decimal("1.60")}),
            results.result(self.book, PRICE | {"least": None}),
            results.result(self.book, None),
            results.result(self.book, PRICE, lazy=False),
        }
        self.assertEqual(len(seen), 5)

    def test_in_each_language_it_is_another(self) -> None:
        english = results.result(self.book, PRICE)
        with translation.override("de"):
            self.assertIn("1,50", results.result(self.book, PRICE))
        self.assertEqual(results.result(self.book, PRICE), english)

    def test_no_more_are_kept_than_have_room(self) -> None:
        with mock.patch.object(kept_parts, "MOST", 3):
            for number in range(9):
                self.book.available = number
                results.result(self.book, PRICE)
                self.assertLessEqual(len(kept_parts._written), 3)


class PageTest(CastTestCase):
    def setUp(self) -> None:
        self.book = add_book(name="Emma", kind=1)

    def page(self, query: str = "", **headers: str) -> str:
        return self.client.get(f"/home?{query}", headers=headers).content.decode()

    def test_a_new_price_a_new_name_and_a_copy_that_went_out_are_seen_at_once(self) -> None:
        self.assertIn("$1.50 a day", self.page())
        now = timezone.now()
        rates = [{"kind": kind, "daily_rate": Decimal(7)} for kind in (1, 2, 3)]
        make_price_list(name="Dear", in_force_from=now, rates=rates)
        self.assertIn("$7.00 a day", self.page())
        self.assertIn("Free", self.page())
        rent_book(member=self.alice, book=self.book, at=now, now=now)
        self.assertIn("All out", self.page())
        change_book(book=self.book, name="Sense and Sensibility")
        self.assertNotIn("Emma", self.page())

    def test_nobodys_name_is_kept_and_each_is_shown_their_own(self) -> None:
        kept_parts._written.clear()
        for user, name in ((self.alice, "Alice <b>"), (self.bob, "Bob")):
            user.name = name
            user.save()
            self.client.force_login(user)
            self.assertEqual(self.page().count(escape(user.get_short_name())), 2)
        of_the_page = {name for name, _language, _shown in kept_parts._written}
        self.assertLessEqual({"navigation.html", "colophon.html"}, of_the_page)
        written = "".join(kept_parts._written.values())
        for user in (self.alice, self.bob):
            self.assertNotIn(escape(user.get_short_name()), written)

    def test_an_address_that_leads_nowhere_is_not_kept(self) -> None:
        self.client.get("/nowhere/0")
        before = len(kept_parts._written)
        self.client.get("/nowhere/1")
        self.assertEqual(len(kept_parts._written), before)

    def test_what_one_has_asked_for_stands_in_nobody_elses_form(self) -> None:
        self.assertIn('value="my secret wish"', self.page("search=my+secret+wish"))
        self.assertNotIn("secret wish", self.page())
        self.assertNotIn("secret wish", self.page("search=emma"))
        self.assertIn("Titel", self.page(**{"Accept-Language": "de"}))
        self.assertNotIn("Titel", self.page())

    def test_a_new_language_is_offered_at_once(self) -> None:
        self.assertNotIn("Finnish", self.page())
        add_book(name="Kalevala", language="fi")
        self.assertIn("Finnish", self.page())

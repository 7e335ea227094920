"""Tests that the API's quote, a book's page and the confirmation before renting show the same price."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from django.db import transaction
from django.test import Client, SimpleTestCase
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from books.models import Book, Copy
from books.stock import add_book, add_copy
from books.views import EXAMPLES
from lori_assignment.testing.cases import CastTestCase
from rentals.demo.shelves import fill_shelves
from rentals.holds import place_hold
from rentals.models import Policy, Rate, Rental
from rentals.offers import Quote, make_offer, quote_for
from rentals.pricing import price
from rentals.services import rent_book, return_rental
from rentals.tests.test_pricing import NOVEL, Terms

DAY = timedelta(days=1)
LATE = 25


class ArithmeticTest(SimpleTestCase):
    @given(st.integers(1, 60), st.integers(1, 60))
    def test_quote_equals_cost_without_renewals(self, days: int, period: int) -> None:
        terms: Any = Terms(daily_rate=Decimal("1.50"), late_fee=Decimal("0.25"))
        start = timezone.now()
        charged = price(
            terms, rented_at=start, due_at=start + period * DAY, until=start + days * DAY, cap=None
        )
        self.assertEqual(Quote(rate=terms, rental_days=period, cap=None).price(days), charged)

    def test_days_before_the_due_date_are_not_late(self) -> None:
        terms: Any = Terms(late_fee=Decimal("0.50"))
        quote = Quote(rate=terms, rental_days=14, cap=None)
        late_days = [quote.price(days).late_days for days in (1, 13, 14, 15, 16)]
        self.assertEqual(late_days, [0, 0, 0, 1, 2])
        self.assertEqual([line.what for line in quote.price(1).lines], ["daily"])

    def test_cap_is_its_own_line(self) -> None:
        terms: Any = NOVEL
        quoted = Quote(rate=terms, rental_days=14, cap=Decimal("7.00")).price(14)
        self.assertEqual((quoted.total, quoted.lines[-1].what), (Decimal("7.00"), "cap"))


class DemoTest(CastTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.shelf = fill_shelves(now=timezone.now(), chance=Random(7))
        # So that the longest example includes late days.
        Policy.objects.update(rental_days=10)
        Rate.objects.update(late_fee=Decimal("0.75"))

    shelf: list[Book]

    def quoted(self, client: Client, book: Book, days: int) -> Decimal:
        return Decimal(client.get(f"/api/v3/books/{book.pk}/quote?days={days}").json()["total"])

    def test_api_page_and_confirmation_agree(self) -> None:
        self.client.force_login(self.alice)
        capped = 0
        for book in self.shelf:
            with self.subTest(book=book.name):
                table = self.client.get(f"/books/{book.pk}/").context["examples"]
                offer = self.client.get(f"/books/{book.pk}/rent/").context["offer"]
                confirmed = [offer.quote.price(days) for days in EXAMPLES]
                self.assertEqual(table, confirmed)
                for days in (*EXAMPLES, LATE):
                    total = offer.quote.price(days).total
                    self.assertEqual(self.quoted(self.client, book, days), total)
                capped += offer.quote.price(LATE).lines[-1].what == "cap"
        self.assertGreater(len(self.shelf), 50)
        self.assertGreater(capped, 10)

    def test_what_is_charged_is_what_was_quoted(self) -> None:
        now = timezone.now()
        book = next(book for book in self.shelf if book.copies.exclude(replacement_price=None).exists())
        for days in (*EXAMPLES, LATE):
            with self.subTest(days=days), transaction.atomic():
                rental = rent_book(member=self.alice, book=book, at=now, now=now)
                until = now + days * DAY
                charge = return_rental(rental=rental, at=until, actor=self.carol, now=until).charge
                transaction.set_rollback(True)
            self.assertEqual(self.quoted(self.client, book, days), charge)


class CapTest(CastTestCase):
    """Emma has two copies with different replacement prices."""

    first: Copy
    second: Copy
    emma: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(name="Emma", kind=3, copies=0)
        cls.first = add_copy(book=cls.emma, replacement_price=Decimal("18.00"))
        cls.second = add_copy(book=cls.emma, replacement_price=Decimal("9.90"))

    def setUp(self) -> None:
        self.now = timezone.now()

    def cap(self, member: Any = None) -> Decimal | None:
        quote = quote_for(member, book=self.emma, at=self.now)
        assert quote is not None
        return quote.cap

    def rent(self, member: Any, copy: Copy | None = None) -> Rental:
        return rent_book(member=member, book=self.emma, at=self.now, now=self.now, copy=copy)

    def test_cap_is_that_of_the_next_copy(self) -> None:
        self.assertEqual(self.cap(), Decimal("18.00"))
        self.assertEqual(self.rent(self.bob).replacement_price, Decimal("18.00"))
        self.assertEqual(self.cap(), Decimal("9.90"))
        self.assertEqual(str(self.cap()), "9.90")

    def test_cap_of_a_copy_set_aside(self) -> None:
        rental = self.rent(self.bob)
        self.rent(self.carol)
        place_hold(member=self.alice, book=self.emma, at=self.now)
        return_rental(rental=rental, at=self.now, actor=self.carol, now=self.now)
        spare = add_copy(book=self.emma, replacement_price=Decimal("5.00"))
        self.assertEqual((self.cap(self.alice), self.cap(self.dan), self.cap()), (Decimal("18.00"), 5, 5))
        offers = [make_offer(member=user, book=self.emma, at=self.now) for user in (self.alice, self.dan)]
        self.assertEqual([offer.copy for offer in offers], [self.first, spare])
        page = self.client.get(f"/books/{self.emma.pk}/")
        self.assertEqual(page.context["examples"][-1].total, Decimal("5.00"))

    def test_offer_addresses_its_member(self) -> None:
        self.rent(self.alice)
        Policy.objects.update(debt_limit=0)
        [refused] = make_offer(member=self.alice, book=add_book(name="Susan"), at=self.now).refusals()
        self.assertIn("You owe", str(refused))

    def test_highest_cap_counts_while_all_are_on_loan(self) -> None:
        self.rent(self.bob, self.second)
        self.rent(self.carol, self.first)
        self.assertEqual(self.cap(), Decimal("18.00"))
        Copy.objects.filter(pk=self.first.pk).update(status=Copy.Status.LOST)
        self.assertEqual(self.cap(), Decimal("9.90"))

    def test_no_cap_if_one_copy_on_loan_has_none(self) -> None:
        self.rent(self.bob)
        self.rent(self.carol)
        Copy.objects.filter(pk=self.second.pk).update(replacement_price=None)
        self.assertIsNone(self.cap())

    def test_no_cap_without_a_copy_in_service(self) -> None:
        Copy.objects.update(status=Copy.Status.WITHDRAWN)
        self.assertIsNone(self.cap())

    def test_query_count_depends_on_differing_caps(self) -> None:
        with self.assertNumQueries(4):
            self.cap(self.alice)
        Copy.objects.update(replacement_price=Decimal("9.90"))
        with self.assertNumQueries(2):
            self.assertEqual(self.cap(self.alice), Decimal("9.90"))

    def test_api_working_shows_the_cap(self) -> None:
        quote = self.client.get(f"/api/v3/books/{self.emma.pk}/quote?days=14").json()
        self.assertEqual(quote["lines"][-1], {"what": "cap", "amount": "-3.00"})
        self.assertEqual(quote["total"], "18.00")

    def test_no_quote_before_the_first_price_list(self) -> None:
        long_ago = self.now - 20_000 * DAY
        self.assertIsNone(quote_for(None, book=self.emma, at=long_ago))

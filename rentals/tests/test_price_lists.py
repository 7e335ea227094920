"""Tests price lists, and that of two concurrent changes the later one is refused."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest import mock

from django.utils import timezone

from books.models import Kind
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase, RaceTestCase
from rentals import errors, price_lists
from rentals.models import PriceList, Rate
from rentals.price_lists import (
    change_price_list,
    delete_price_list,
    lock_rate_in_force,
    make_price_list,
    rate_in_force,
)
from rentals.services import rent_book

WINTER = datetime(2026, 12, 1, tzinfo=UTC)
RATES = [{"kind": kind, "daily_rate": Decimal("2.00")} for kind in Kind]


def make(name: str = "Winter", at: datetime = WINTER) -> PriceList:
    return make_price_list(name=name, in_force_from=at, rates=RATES)


class UniquenessTest(CastTestCase):
    def test_name_and_start_time_are_unique(self) -> None:
        winter, spring = make(), make("Spring", datetime(2027, 3, 1, tzinfo=UTC))
        for again in ({"name": "Winter"}, {"in_force_from": WINTER}):
            with self.assertRaises(errors.PriceListTaken):
                change_price_list(price_list=spring, rates=[], **again)
        for name, at in (("Winter", timezone.now()), ("Frost", WINTER)):
            with self.assertRaises(errors.PriceListTaken):
                make(name, at)
        spring.refresh_from_db()
        self.assertEqual((spring.name, spring.rates.count(), PriceList.objects.count()), ("Spring", 3, 5))
        change_price_list(price_list=winter, name="Winter", in_force_from=WINTER)

    def test_concurrently_taken_name_is_409(self) -> None:
        make()
        body = {"name": "Winter", "rates": [{"book_type": kind, "daily_rate": "2.00"} for kind in Kind]}
        staff = self.api(self.carol)
        self.assertEqual(staff.post("/api/v3/price_lists/", body).status_code, 400)
        with mock.patch("rest_framework.validators.UniqueValidator.__call__"):
            answer = staff.post("/api/v3/price_lists/", body)
        self.assertEqual((answer.status_code, answer.json()["code"]), (409, "price_list_taken"))


class UsedListTest(CastTestCase):
    def test_used_list_cannot_be_changed(self) -> None:
        tiered, flat = PriceList.objects.get(name="Tiered"), PriceList.objects.get(name="Flat")
        now = timezone.now()
        rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        calls: list[Any] = [
            lambda price_list: change_price_list(price_list=price_list, name="Dearer"),
            lambda price_list: change_price_list(price_list=price_list, rates=RATES),
            lambda price_list: delete_price_list(price_list=price_list),
        ]
        for call in calls:
            with self.assertRaises(errors.PriceListUsed):
                call(tiered)
            call(flat)
        self.assertEqual(tiered.rates.get(kind=3).minimum, Decimal("4.50"))
        self.assertFalse(PriceList.objects.filter(name__in=["Flat", "Dearer"]).exists())

    def test_quote_needs_a_list_in_force(self) -> None:
        book = add_book(name="Emma", kind=3)
        in_force = rate_in_force(book, at=WINTER)
        self.assertEqual(str(in_force), "Tiered: novel")
        self.assertIsNone(rate_in_force(book, at=datetime(1999, 1, 1, tzinfo=UTC)))
        PriceList.objects.all().delete()
        answer = self.client.get(f"/api/v3/books/{book.pk}/quote?days=3")
        self.assertEqual((answer.status_code, answer.json()["code"]), (409, "no_price_in_force"))
        self.assertIsNone(lock_rate_in_force(book, at=WINTER))

    def test_rate_is_reread_after_waiting_for_its_lock(self) -> None:
        book = add_book(name="Emma", kind=3)
        in_force = rate_in_force(book, at=WINTER)
        of_another_list = Rate.objects.get(price_list__name="Flat", kind=3)
        # First a deleted rate, then one of a list that is no longer in force.
        with mock.patch.object(price_lists, "lock_rate", side_effect=[None, of_another_list, in_force]):
            held = lock_rate_in_force(book, at=WINTER)
        self.assertEqual((held, held and str(held)), (in_force, "Tiered: novel"))


class PriceListRaceTest(RaceTestCase):
    def test_one_of_three_concurrent_lists_is_created(self) -> None:
        outcomes = self.run_concurrently(*[make] * 3)
        self.assertEqual(
            Counter(type(outcome) for outcome in outcomes), {PriceList: 1, errors.PriceListTaken: 2}
        )
        self.assertEqual(Rate.objects.filter(price_list__name="Winter").count(), 3)

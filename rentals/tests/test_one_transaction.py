"""Tests that each change of the shop is one transaction, from the first row that it reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

from django.db import connection
from django.test import TransactionTestCase
from django.test.utils import CaptureQueriesContext

import books.stock
from books.models import Kind
from lori_assignment.testing.cases import CommittedDataMixin
from rentals import holds, ledger, price_lists, services, stock
from rentals.models import Hold, LedgerEntry

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class OneTransactionTest(CommittedDataMixin, TransactionTestCase):
    def change(self, function: Callable[..., Any], **given: Any) -> Any:
        """Call `function`, and assert that all its statements are between one BEGIN and one COMMIT."""
        with self.subTest(function.__qualname__):
            with CaptureQueriesContext(connection) as sent:
                made = function(**given)
            verbs = [query["sql"].split()[0] for query in sent.captured_queries]
            self.assertEqual((verbs[0], verbs[-1]), ("BEGIN", "COMMIT"))
            self.assertEqual(verbs.count("BEGIN"), 1)
        return made

    def test_stock_changes_in_one_transaction(self) -> None:
        change = self.change
        book = change(books.stock.add_book, name="Emma", kind=3, copies=2)
        change(books.stock.change_book, book=book, name="Emma Woodhouse")
        copy = change(books.stock.add_copy, book=book)
        change(books.stock.change_copy, copy=copy, condition="worn")
        change(books.stock.delete_copy, copy=copy)
        copy = change(stock.add_copy, book=book, at=MONDAY)
        change(stock.change_copy, copy=copy, at=MONDAY, actor=self.carol, condition="worn")
        change(books.stock.delete_book, book=book)

    def test_rental_changes_in_one_transaction(self) -> None:
        change = self.change
        book = books.stock.add_book(name="Emma", kind=3)
        rented = change(services.rent_book, member=self.alice, book=book, at=MONDAY, now=MONDAY)
        hold = change(holds.place_hold, member=self.bob, book=book, at=MONDAY)
        change(holds.cancel_hold, hold=hold, at=MONDAY)
        change(holds.place_hold, member=self.bob, book=book, at=MONDAY)
        change(holds.cancel_holds_of, member=self.bob, at=MONDAY)
        change(services.renew_rental, rental=rented, at=MONDAY)
        change(services.return_rental, rental=rented, at=MONDAY, actor=self.carol, now=MONDAY)
        change(services.void_rental, rental=rented, at=MONDAY, actor=self.carol)

    def test_expiry_of_a_book_is_one_transaction(self) -> None:
        book = books.stock.add_book(name="Emma", kind=3)
        rented = services.rent_book(member=self.alice, book=book, at=MONDAY, now=MONDAY)
        hold = holds.place_hold(member=self.bob, book=book, at=MONDAY)
        services.return_rental(rental=rented, at=MONDAY, actor=self.carol, now=MONDAY)
        with mock.patch.object(holds, "_notify"):  # Mail is sent after the transaction.
            self.change(holds._expire_holds_of, book=book, at=MONDAY + 5 * DAY)
        hold.refresh_from_db()
        self.assertEqual(hold.status, Hold.Status.EXPIRED)

    def test_ledger_changes_in_one_transaction(self) -> None:
        change = self.change
        given = {"member": self.alice, "actor": self.carol, "at": MONDAY}
        book = books.stock.add_book(name="Emma", kind=3)
        rented = services.rent_book(member=self.alice, book=book, at=MONDAY, now=MONDAY)
        services.return_rental(rental=rented, at=MONDAY + DAY, actor=self.carol, now=MONDAY)
        cash, one = LedgerEntry.Method.CASH, Decimal(1)
        change(ledger.waive, amount=one, reason="Rain", **given)
        paid = change(ledger.take_payment, amount=one, method=cash, **given)
        change(ledger.reverse, entry=paid, actor=self.carol, at=MONDAY)
        ledger.take_payment(amount=one, method=cash, **given)
        services.void_rental(rental=rented, at=MONDAY, actor=self.carol)
        change(ledger.refund, amount=one, method=cash, reason="Void", **given)

    def test_price_lists_change_in_one_transaction(self) -> None:
        change = self.change
        rates = [{"kind": kind, "daily_rate": Decimal(2)} for kind in Kind]
        made = change(price_lists.make_price_list, name="Winter", in_force_from=MONDAY, rates=rates)
        change(price_lists.change_price_list, price_list=made, rates=rates, name="Frost")
        change(price_lists.delete_price_list, price_list=made)

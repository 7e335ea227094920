"""Tests concurrent rentals, returns, renewals and payments, with locks and without.

Without a lock, the constraints still prevent false data, but some requests fail with an error. For each race,
a second test without the lock shows this, to prove that the first one tests the lock.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock, skipUnless

from django.db import IntegrityError, OperationalError, connection, connections
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import books.stock
from accounts.models import User
from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.db.transactions import lock
from lori_assignment.errors import Refusal, refuse
from lori_assignment.testing.cases import CastTestCase, RaceTestCase
from rentals import ledger, services, stock
from rentals.models import LedgerEntry, Policy, PriceList, Rental
from rentals.price_lists import change_price_list, delete_price_list, rate_in_force

# On SQLite a transaction is the only writer from BEGIN on, so there is no race without locks to show.
has_row_locks = skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")


def outcome(result: Any) -> str:
    if isinstance(result, Refusal):
        return result.code
    return "error" if isinstance(result, Exception) else "done"


def first_without_lock(rows: QuerySet[Any]) -> Any:
    """A replacement for `lock_first`."""
    return rows.first()


def lock_all_but(*models: type[Any]) -> Callable[[Any], Any]:
    """Return a replacement for `lock` that only reads rows of `models`."""

    def lock_or_read(row: Any) -> Any:
        return type(row).objects.get(pk=row.pk) if isinstance(row, models) else lock(row)

    return lock_or_read


@contextmanager
def without_lock(*models: type[Any], after: str, meeting: int) -> Iterator[None]:
    """Let the services read the rows of `models` without a lock, and let `meeting` threads meet.

    They meet after they have passed the check `after`: all have read before any of them writes, so the race
    happens every time.
    """
    line = threading.Barrier(meeting)
    check = getattr(services, after)

    def check_and_meet(subject: Any) -> None:
        check(subject)
        line.wait(timeout=10)

    patches = {"lock": lock_all_but(*models), after: check_and_meet}
    if Copy in models:
        patches["lock_first"] = first_without_lock
    with mock.patch.multiple(services, **patches):
        yield


class RaceTest(RaceTestCase):
    def members(self, count: int) -> list[User]:
        return User.objects.bulk_create(
            User(username=f"m{number}", email=f"m{number}@example.org") for number in range(count)
        )

    def rent(self, member: User, book: Book) -> Callable[[], Rental]:
        def call() -> Rental:
            now = timezone.now()
            return services.rent_book(member=member, book=book, at=now, now=now)

        return call

    def give_back(self, rental: Rental) -> Callable[[], Rental]:
        def call() -> Rental:
            now = timezone.now()
            return services.return_rental(rental=rental, at=now, actor=self.carol, now=now)

        return call

    def test_the_last_copy_goes_to_one_of_fifty(self) -> None:
        book = add_book(name="Emma", kind=3)
        calls = [self.rent(member, book) for member in self.members(50)]
        outcomes = Counter(map(outcome, self.run_concurrently(*calls)))
        self.assertEqual(outcomes, {"done": 1, "book_unavailable": 49})

    @has_row_locks
    def test_without_book_lock_the_constraint_fails(self) -> None:
        book = add_book(name="Emma", kind=3)
        calls = [self.rent(member, book) for member in self.members(5)]
        with without_lock(Book, Copy, after="refuse", meeting=5):
            outcomes = self.run_concurrently(*calls)
        self.assertEqual(Counter(map(outcome, outcomes)), {"done": 1, "error": 4})
        self.assertEqual(sum(isinstance(result, IntegrityError) for result in outcomes), 4)
        self.assertEqual(Rental.objects.count(), 1)

    @skipUnless(connection.vendor == "sqlite", "About SQLite's transactions.")
    def test_without_immediate_mode_sqlite_fails(self) -> None:
        book = add_book(name="Emma", kind=3)
        calls = [self.rent(member, book) for member in self.members(5)]
        deferred = mock.patch.dict(connections.settings["default"]["OPTIONS"], {"transaction_mode": None})
        with deferred, without_lock(after="refuse", meeting=5):
            outcomes = self.run_concurrently(*calls)
        self.assertEqual(Counter(map(outcome, outcomes)), {"done": 1, "error": 4})
        self.assertEqual(sum(isinstance(result, OperationalError) for result in outcomes), 4)

    def test_one_member_gets_one_of_many_copies(self) -> None:
        book = add_book(name="Emma", kind=3, copies=5)
        outcomes = Counter(map(outcome, self.run_concurrently(*[self.rent(self.alice, book)] * 5)))
        self.assertEqual(outcomes, {"done": 1, "already_rented": 4})

    @has_row_locks
    def test_without_locks_same_member_gets_errors(self) -> None:
        book = add_book(name="Emma", kind=3, copies=3)
        with without_lock(User, Book, Copy, after="refuse", meeting=3):
            outcomes = Counter(map(outcome, self.run_concurrently(*[self.rent(self.alice, book)] * 3)))
        self.assertEqual(outcomes, {"done": 1, "error": 2})

    def test_rental_limit_holds_across_books(self) -> None:
        Policy.objects.update(max_open_rentals=2)
        books = [add_book(name=f"Volume {number}", kind=1) for number in range(6)]
        outcomes = Counter(
            map(outcome, self.run_concurrently(*[self.rent(self.alice, book) for book in books]))
        )
        self.assertEqual(outcomes, {"done": 2, "rental_limit": 4})

    @has_row_locks
    def test_without_member_lock_the_limit_fails(self) -> None:
        Policy.objects.update(max_open_rentals=2)
        books = [add_book(name=f"Volume {number}", kind=1) for number in range(6)]
        calls = [self.rent(self.alice, book) for book in books]
        with without_lock(User, after="refuse", meeting=6):
            outcomes = Counter(map(outcome, self.run_concurrently(*calls)))
        self.assertEqual(outcomes, {"done": 6})

    def test_ten_concurrent_returns_make_one_charge(self) -> None:
        rental = self.rent(self.alice, add_book(name="Emma", kind=3))()
        outcomes = Counter(map(outcome, self.run_concurrently(*[self.give_back(rental)] * 10)))
        self.assertEqual(outcomes, {"done": 1, "already_returned": 9})
        self.assertEqual(LedgerEntry.objects.get().amount, Decimal("4.50"))

    @has_row_locks
    def test_without_locks_the_second_charge_fails(self) -> None:
        rental = self.rent(self.alice, add_book(name="Emma", kind=3))()
        with without_lock(User, Book, after="refuse_unless_open", meeting=4):
            outcomes = Counter(map(outcome, self.run_concurrently(*[self.give_back(rental)] * 4)))
        self.assertEqual(outcomes, {"done": 1, "error": 3})
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_concurrent_renewals_stop_at_the_limit(self) -> None:
        rental = self.rent(self.alice, add_book(name="Emma", kind=3))()
        calls = [lambda: services.renew_rental(rental=rental, at=timezone.now())] * 8
        outcomes = Counter(map(outcome, self.run_concurrently(*calls)))
        self.assertEqual(outcomes, {"done": 2, "renewal_limit": 6})
        rental.refresh_from_db()
        self.assertEqual(rental.renewals, 2)

    @has_row_locks
    def test_without_the_locks_renewals_are_lost(self) -> None:
        rental = self.rent(self.alice, add_book(name="Emma", kind=3))()
        calls = [lambda: services.renew_rental(rental=rental, at=timezone.now())] * 4
        with without_lock(User, Book, after="refuse_unless_open", meeting=4):
            outcomes = Counter(map(outcome, self.run_concurrently(*calls)))
        rental.refresh_from_db()
        self.assertEqual((outcomes, rental.renewals), ({"done": 4}, 1))

    def break_copy(self, copy: Copy) -> Callable[[], Copy]:
        return lambda: stock.change_copy(
            copy=copy, at=timezone.now(), actor=self.carol, status=Copy.Status.IN_REPAIR
        )

    def test_copy_is_rented_or_repaired_but_not_both(self) -> None:
        for number in range(5):
            book = add_book(name=f"Volume {number}", kind=3)
            calls = (self.rent(self.alice, book), self.break_copy(book.copies.get()))
            outcomes = [outcome(result) for result in self.run_concurrently(*calls)]
            self.assertIn(outcomes, [["done", "copy_is_out"], ["book_unavailable", "done"]])

    @has_row_locks
    def test_without_book_lock_a_rented_copy_is_repaired(self) -> None:
        book = add_book(name="Emma", kind=3)
        line = threading.Barrier(2)

        def refuse_and_meet(reasons: Any) -> None:
            refuse(reasons)
            line.wait(timeout=10)

        def change_and_meet(**facts: Any) -> Copy:
            line.wait(timeout=10)
            return change_copy(**facts)

        change_copy = books.stock.change_copy
        with (
            mock.patch.object(services, "refuse", refuse_and_meet),
            mock.patch.object(books.stock, "change_copy", change_and_meet),
            mock.patch.multiple(services, lock=lock_all_but(Book)),
            mock.patch.object(stock, "lock", lock_all_but(Book)),
        ):
            calls = (self.rent(self.alice, book), self.break_copy(book.copies.get()))
            outcomes = [outcome(result) for result in self.run_concurrently(*calls)]
        self.assertEqual(outcomes, ["done", "done"])
        self.assertEqual(Rental.objects.open().get().copy.status, "in_repair")

    def _owe(self, amount_in_novels: int) -> None:
        for number in range(amount_in_novels):
            self.give_back(self.rent(self.alice, add_book(name=f"Volume {number}", kind=3))())()

    def pay(self, amount: str) -> Callable[[], LedgerEntry]:
        def call() -> LedgerEntry:
            return ledger.take_payment(
                member=self.alice,
                amount=Decimal(amount),
                method=LedgerEntry.Method.CASH,
                actor=self.carol,
                at=timezone.now(),
            )

        return call

    def test_concurrent_payments_do_not_exceed_debt(self) -> None:
        self._owe(2)  # 9.00
        outcomes = Counter(map(outcome, self.run_concurrently(*[self.pay("4.00")] * 6)))
        self.assertEqual(outcomes, {"done": 2, "overpayment": 4})
        self.assertEqual(ledger.posted_balance(self.alice), Decimal("1.00"))

    def test_concurrent_refunds_do_not_exceed_credit(self) -> None:
        rental = self.give_back(self.rent(self.alice, add_book(name="Emma", kind=3))())()
        self.pay("4.50")()
        services.void_rental(rental=rental, at=timezone.now(), actor=self.carol)

        def pay_out() -> LedgerEntry:
            return ledger.refund(
                member=self.alice,
                amount=Decimal("2.00"),
                method=LedgerEntry.Method.CASH,
                reason="Void.",
                actor=self.carol,
                at=timezone.now(),
            )

        outcomes = Counter(map(outcome, self.run_concurrently(*[pay_out] * 5)))
        self.assertEqual(outcomes, {"done": 2, "refund_above_credit": 3})

    @has_row_locks
    def test_without_member_lock_the_payment_fails(self) -> None:
        self._owe(2)
        line = threading.Barrier(3)

        create = LedgerEntry.objects.create

        def create_together(**facts: Any) -> LedgerEntry:
            # By now all threads have read the last number.
            line.wait(timeout=10)
            return create(**facts)

        together = mock.patch.object(LedgerEntry.objects, "create", create_together)
        with mock.patch.object(ledger, "lock", lock_all_but(User)), together:
            outcomes = Counter(map(outcome, self.run_concurrently(*[self.pay("9.00")] * 3)))
        self.assertEqual(outcomes["error"], 2)
        self.assertEqual(ledger.posted_balance(self.alice), 0)

    def rent_while(self, change: Callable[[], Any], *, patience: float) -> list[str]:
        """Return the outcomes of a rental and of `change`, which starts once the rental has read its rate.

        The rental waits up to `patience` seconds for the change to finish.
        """
        knows_its_rate, changed = threading.Event(), threading.Event()

        def refuse_and_wait(reasons: Any) -> None:
            refuse(reasons)
            knows_its_rate.set()
            changed.wait(timeout=patience)

        def change_then() -> Any:
            knows_its_rate.wait(timeout=10)
            try:
                return change()
            finally:
                changed.set()

        with mock.patch.object(services, "refuse", refuse_and_wait):
            calls = (self.rent(self.alice, add_book(name="Emma", kind=3)), change_then)
            return [outcome(result) for result in self.run_concurrently(*calls)]

    def changes_of(self, price_list: PriceList) -> list[Callable[[], Any]]:
        rates = [{"kind": kind, "daily_rate": Decimal(9)} for kind in (1, 2, 3)]
        return [
            lambda: delete_price_list(price_list=price_list),
            lambda: change_price_list(price_list=price_list, rates=rates),
            lambda: change_price_list(price_list=price_list, in_force_from=timezone.now() + timedelta(9)),
        ]

    def test_price_list_in_use_cannot_change(self) -> None:
        for change in self.changes_of(PriceList.objects.get(name="Tiered")):
            Rental.objects.all().delete()
            self.assertEqual(self.rent_while(change, patience=0.5), ["done", "price_list_used"])
            self.assertEqual(Rental.objects.get().price_list.name, "Tiered")

    @has_row_locks
    def test_without_rate_lock_the_rental_fails(self) -> None:
        change = self.changes_of(PriceList.objects.get(name="Tiered"))[0]
        with mock.patch("rentals.price_lists.lock_rate", rate_in_force):
            self.assertEqual(self.rent_while(change, patience=10), ["error", "done"])


@has_row_locks
class LockOrderTest(CastTestCase):
    """Transactions that take their locks in the same order never deadlock."""

    def locked_tables(self, call: Callable[[], Any]) -> list[str]:
        with CaptureQueriesContext(connection) as asked:
            call()
        locks = [query["sql"] for query in asked if re.search("FOR (NO KEY UPDATE|KEY SHARE)", query["sql"])]
        for _ in range(10):  # A lock is not taken in subqueries.
            locks = [re.sub(r"\([^()]*\)", "", sql) for sql in locks]
        return [match[1] for sql in locks if (match := re.search(r'FROM "?(\w+)"?', sql))]

    def test_renting_locks_member_book_copy_and_rate(self) -> None:
        book, now = add_book(name="Emma", kind=3), timezone.now()
        locked = self.locked_tables(lambda: services.rent_book(member=self.alice, book=book, at=now, now=now))
        self.assertEqual(locked, ["accounts_user", "books_book", "books_copy", "rentals_rate"])

    def test_other_changes_of_a_rental_lock_member_and_book(self) -> None:
        now = timezone.now()
        rental = services.rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        for call in (
            lambda: services.renew_rental(rental=rental, at=now),
            lambda: services.return_rental(rental=rental, at=now, actor=self.carol, now=now),
            lambda: services.void_rental(rental=rental, at=now, actor=self.carol),
        ):
            self.assertEqual(self.locked_tables(call), ["accounts_user", "books_book"])

    def test_voiding_an_open_rental_locks_its_copy_last(self) -> None:
        now = timezone.now()
        rental = services.rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        locked = self.locked_tables(lambda: services.void_rental(rental=rental, at=now, actor=self.carol))
        self.assertEqual(list(dict.fromkeys(locked)), ["accounts_user", "books_book", "books_copy"])

    def test_losing_a_copy_locks_member_book_and_copy(self) -> None:
        now = timezone.now()
        rental = services.rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        locked = self.locked_tables(
            lambda: stock.change_copy(copy=rental.copy, at=now, actor=self.carol, status="lost")
        )
        self.assertEqual(list(dict.fromkeys(locked)), ["accounts_user", "books_book", "books_copy"])

    def test_changing_a_copy_locks_book_and_copy(self) -> None:
        copy = add_book(name="Emma", kind=3).copies.get()
        locked = self.locked_tables(
            lambda: stock.change_copy(copy=copy, at=timezone.now(), actor=self.carol, condition="worn")
        )
        self.assertEqual(list(dict.fromkeys(locked)), ["books_book", "books_copy"])

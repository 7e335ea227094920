"""Tests what the database refuses, whatever the code does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any
from unittest import skipUnless

from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals.models import Hold, LedgerEntry, Policy, PriceList, Rate, Rental

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY_BOUNDS = {
    "rental_days": 365,
    "max_renewals": 99,
    "max_open_rentals": 1000,
    "debt_limit": Decimal("999999.99"),
    "pick_up_days": 90,
    "max_holds": 1000,
}


class ConstraintTestCase(CastTestCase):
    book: Book
    copy: Copy
    rate: Rate

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Emma", kind=3)
        cls.copy = cls.book.copies.get()
        cls.rate = Rate.objects.get(price_list__name="Tiered", kind=3)

    def rental(self, **facts: Any) -> Rental:
        given = {
            "user": self.alice,
            "copy": self.copy,
            "rate": self.rate,
            "rented_at": MONDAY,
            "due_at": MONDAY + 14 * DAY,
        }
        return Rental.objects.create(**given | facts)

    def entry(self, **facts: Any) -> LedgerEntry:
        given = {
            "user": self.alice,
            "number": 1,
            "kind": "payment",
            "method": "cash",
            "amount": Decimal("-1.00"),
            "balance": Decimal("-1.00"),
            "actor": self.carol,
            "posted_at": MONDAY,
        }
        return LedgerEntry.objects.create(**given | facts)

    def assert_refused(self, constraint: str, call: Any, **facts: Any) -> None:
        with self.assertRaises(IntegrityError) as caught, transaction.atomic():
            call(**facts)
        # SQLite's message has the columns of a unique index, not its name.
        if constraint in str(caught.exception) or "UNIQUE constraint failed" in str(caught.exception):
            return
        self.fail(f"{constraint} did not refuse it, but: {caught.exception}")


class RentalConstraintTest(ConstraintTestCase):
    def test_a_copy_has_one_open_rental(self) -> None:
        first = self.rental()
        self.assert_refused("rental_one_open_per_copy", self.rental, user=self.bob)
        Rental.objects.filter(pk=first.pk).update(voided_at=MONDAY, voided_by=self.carol)
        self.rental(user=self.bob)

    def test_the_due_date_is_not_before_the_rental(self) -> None:
        self.assert_refused(
            "rental_due_not_before_rented", self.rental, due_at=MONDAY - timedelta(microseconds=1)
        )
        self.rental(due_at=MONDAY)

    def test_return_needs_rent_entry_and_valid_date(self) -> None:
        rental = self.rental()
        rent = self.entry(kind="rent", method="", amount=Decimal(1), balance=Decimal(1), rental=rental)

        def bring_back(**facts: Any) -> None:
            Rental.objects.filter(pk=rental.pk).update(**facts)

        self.assert_refused("rental_returned_has_its_rent_entry", bring_back, returned_at=MONDAY)
        self.assert_refused("rental_returned_has_its_rent_entry", bring_back, rent_entry=rent)
        self.assert_refused(
            "rental_returned_not_before_rented", bring_back, returned_at=MONDAY - DAY, rent_entry=rent
        )
        bring_back(returned_at=MONDAY, rent_entry=rent)

    def test_rent_entry_belongs_to_its_rental(self) -> None:
        rental = self.rental()
        other = self.rental(copy=add_book(name="Persuasion", kind=3).copies.get(), user=self.bob)
        rent = {"kind": "rent", "method": "", "amount": Decimal(1), "balance": Decimal(1)}
        for entry in (self.entry(), self.entry(user=self.bob, rental=other, **rent)):
            with self.assertRaisesMessage(IntegrityError, "rent entry"), transaction.atomic():
                Rental.objects.filter(pk=rental.pk).update(rent_entry=entry, returned_at=MONDAY)
        own = self.entry(number=2, rental=rental, **rent)
        Rental.objects.filter(pk=rental.pk).update(rent_entry=own, returned_at=MONDAY)

    def test_void_rental_names_who_voided_it(self) -> None:
        rental = self.rental()

        def void(**facts: Any) -> None:
            Rental.objects.filter(pk=rental.pk).update(**facts)

        self.assert_refused("rental_void_says_by_whom", void, voided_at=MONDAY)
        void(voided_at=MONDAY, voided_by=self.carol)

    def test_a_replacement_price_is_above_zero(self) -> None:
        self.assert_refused("rental_replacement_price_above_zero", self.rental, replacement_price=-1)
        self.rental(replacement_price=1)

    def test_referenced_rows_are_protected(self) -> None:
        self.rental()
        for row in (self.alice, self.copy, self.book, self.rate, self.rate.price_list):
            with self.subTest(row=row), self.assertRaises(ProtectedError):
                row.delete()
        add_book(name="Persuasion", kind=3).delete()

    def test_database_refuses_to_delete_references(self) -> None:
        self.rental()
        with self.assertRaises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM books_copy WHERE id = %s", [self.copy.pk])
            cursor.execute("DELETE FROM books_book WHERE id = %s", [self.book.pk])
            connection.check_constraints()


class HoldConstraintTest(ConstraintTestCase):
    ready = {"ready_at": MONDAY, "pick_up_by": MONDAY + 3 * DAY}
    cancelled = {"ended_at": MONDAY, "outcome": "cancelled"}

    def hold(self, **facts: Any) -> Hold:
        return Hold.objects.create(**{"user": self.alice, "book": self.book, "placed_at": MONDAY} | facts)

    def test_member_has_one_live_hold_per_book(self) -> None:
        first = self.hold()
        self.assert_refused("hold_one_live_per_member_and_book", self.hold)
        self.hold(user=self.bob)
        Hold.objects.filter(pk=first.pk).update(**self.cancelled)
        self.hold()

    def test_copy_is_allocated_to_one_hold(self) -> None:
        first = self.hold(copy=self.copy, **self.ready)
        again = {"user": self.bob, "copy": self.copy, **self.ready}
        self.assert_refused("hold_one_ready_per_copy", self.hold, **again)
        Hold.objects.filter(pk=first.pk).update(**self.cancelled)
        self.hold(**again)

    def test_ready_hold_has_copy_time_and_deadline(self) -> None:
        whole = {"copy": self.copy, **self.ready}
        for missing in whole:
            facts = {fact: value for fact, value in whole.items() if fact != missing}
            self.assert_refused("hold_ready_has_copy_and_deadline", self.hold, **facts)
        self.hold(**whole)

    def test_deadline_is_not_before_ready_time(self) -> None:
        early = {"ready_at": MONDAY, "pick_up_by": MONDAY - timedelta(microseconds=1)}
        self.assert_refused("hold_deadline_not_before_ready", self.hold, copy=self.copy, **early)

    def test_ended_hold_has_an_outcome(self) -> None:
        for facts in (
            {"ended_at": MONDAY},
            {"outcome": "expired"},
            {"ended_at": MONDAY, "outcome": "forgotten"},
            {"ended_at": MONDAY, "outcome": "ready"},
        ):
            self.assert_refused("hold_ended_says_how", self.hold, **facts)
        self.hold(ended_at=MONDAY, outcome="expired")

    def test_only_a_picked_up_hold_names_a_rental(self) -> None:
        rental = self.rental()
        picked_up = {"ended_at": MONDAY, "outcome": "picked_up"}
        for facts in (picked_up, self.cancelled | {"rental": rental}, {"rental": rental}):
            self.assert_refused("hold_picked_up_names_its_rental", self.hold, **facts)
        self.hold(rental=rental, **picked_up)
        self.assert_refused("rental", self.hold, rental=rental, **picked_up)

    def test_referenced_rows_are_protected(self) -> None:
        self.hold(copy=self.copy, **self.ready)
        for row in (self.alice, self.copy, self.book):
            with self.subTest(row=row), self.assertRaises(ProtectedError):
                row.delete()


class LedgerConstraintTest(ConstraintTestCase):
    def test_entry_cannot_be_changed_or_deleted(self) -> None:
        entry = self.entry()
        for change in (
            lambda: LedgerEntry.objects.filter(pk=entry.pk).update(note="other"),
            lambda: LedgerEntry.objects.filter(pk=entry.pk).delete(),
        ):
            with self.assertRaisesMessage(IntegrityError, "final"), transaction.atomic():
                change()
        self.assertEqual(LedgerEntry.objects.get().note, "")

    def test_amount_is_not_zero(self) -> None:
        self.assert_refused(
            "ledger_amount_not_zero", self.entry, kind="reversal", method="", amount=0, reverses=self.entry()
        )

    def test_kind_determines_the_sign(self) -> None:
        self.assert_refused("ledger_kind_decides_the_sign", self.entry, amount=Decimal(1))
        self.assert_refused("ledger_kind_decides_the_sign", self.entry, kind="refund")
        self.assert_refused("ledger_kind_decides_the_sign", self.entry, kind="gift", method="")
        self.entry(kind="refund", amount=Decimal(1))

    def test_entry_numbers_are_unique_per_member(self) -> None:
        self.entry()
        self.assert_refused("ledger_numbers_follow_on", self.entry)
        self.entry(number=2)
        self.entry(user=self.bob)

    def test_a_rental_is_charged_once(self) -> None:
        rent = {"kind": "rent", "method": "", "amount": Decimal(1), "rental": self.rental()}
        self.entry(**rent)
        self.assert_refused("ledger_one_rent_entry_per_rental", self.entry, number=2, **rent)

    def test_a_rent_entry_names_its_rental(self) -> None:
        self.assert_refused(
            "ledger_rent_names_its_rental", self.entry, kind="rent", method="", amount=Decimal(1)
        )

    def test_only_a_reversal_reverses_and_only_once(self) -> None:
        entry = self.entry()
        reversal = {"kind": "reversal", "method": "", "amount": Decimal(1)}
        self.assert_refused("ledger_reversal_names_its_entry", self.entry, number=2, **reversal)
        self.assert_refused("ledger_reversal_names_its_entry", self.entry, number=2, reverses=entry)
        self.entry(number=2, reverses=entry, **reversal)
        self.assert_refused("reverses", self.entry, number=3, reverses=entry, **reversal)

    def test_payment_and_refund_need_a_method(self) -> None:
        self.assert_refused("ledger_method_where_money_moves", self.entry, method="")
        self.assert_refused("ledger_method_where_money_moves", self.entry, kind="waiver")


class PriceConstraintTest(ConstraintTestCase):
    def rate_of(self, **facts: Any) -> Rate:
        price_list, _ = PriceList.objects.get_or_create(name="Winter", in_force_from=MONDAY)
        return Rate.objects.create(**{"price_list": price_list, "kind": 1, "daily_rate": Decimal(1)} | facts)

    def test_the_first_day_costs_something(self) -> None:
        name = "rate_first_day_costs_something"
        self.assert_refused(name, self.rate_of, daily_rate=Decimal(0))
        self.assert_refused(name, self.rate_of, first_days=2)
        self.rate_of(first_days=2, minimum=Decimal("0.50"))

    def test_amounts_are_within_bounds(self) -> None:
        for field in ("first_days_rate", "daily_rate", "minimum", "late_fee"):
            with self.subTest(field=field):
                for amount in ("-0.01", "1000000.00"):
                    facts = {"minimum": Decimal(1)} | {field: Decimal(amount)}
                    self.assert_refused("rate_amounts_within_bounds", self.rate_of, **facts)

    def test_a_kind_has_one_rate(self) -> None:
        self.rate_of()
        self.assert_refused("rate_one_per_kind", self.rate_of)
        self.assert_refused("rate_kind_is_known", self.rate_of, kind=4)

    def test_price_list_names_and_times_are_unique(self) -> None:
        self.assert_refused("name", PriceList.objects.create, name="Tiered", in_force_from=MONDAY)
        taken = PriceList.objects.get(name="Tiered").in_force_from
        self.assert_refused("in_force", PriceList.objects.create, name="Other", in_force_from=taken)

    def test_policy_is_one_valid_row(self) -> None:
        self.assert_refused("policy_is_one_row", Policy.objects.create, pk=2)
        self.assert_refused("policy_is_sensible", Policy.objects.update, rental_days=0)
        self.assert_refused("policy_is_sensible", Policy.objects.update, debt_limit=-1)
        self.assert_refused("policy_gives_time_to_pick_up", Policy.objects.update, pick_up_days=0)

    def test_policy_values_have_upper_bounds(self) -> None:
        for field, bound in POLICY_BOUNDS.items():
            with self.subTest(field=field):
                Policy.objects.update(**{field: bound})
                if field != "debt_limit":
                    self.assert_refused(
                        "policy_has_upper_bounds", Policy.objects.update, **{field: bound + 1}
                    )

    @skipUnless(connection.vendor == "sqlite", "PostgreSQL's column is too narrow for more.")
    def test_debt_limit_has_an_upper_bound(self) -> None:
        self.assert_refused("policy_has_upper_bounds", Policy.objects.update, debt_limit=Decimal(1000000))

    def test_migration_lowers_what_is_above_the_bounds(self) -> None:
        migration = import_module("rentals.migrations.0011_policy_has_upper_bounds")
        high = dict.fromkeys(POLICY_BOUNDS, 32767)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("ALTER TABLE rentals_policy DROP CONSTRAINT policy_has_upper_bounds")
            else:
                cursor.execute("PRAGMA ignore_check_constraints = ON")
                self.addCleanup(connection.cursor().execute, "PRAGMA ignore_check_constraints = OFF")
        Policy.objects.update(**high)
        migration.lower(apps, None)
        kept = Policy.objects.values(*POLICY_BOUNDS).get()
        self.assertEqual(kept, POLICY_BOUNDS | {"debt_limit": Decimal(32767)})
        self.assertEqual(migration.BOUNDS, POLICY_BOUNDS)

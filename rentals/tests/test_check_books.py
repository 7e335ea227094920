"""Tests `check_books`: it prints nothing for consistent books, and a sentence for each kind of error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest import skipUnless

from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F, Model
from django.test.utils import CaptureQueriesContext

from books.models import Book, Copy
from books.stock import add_book, add_copy
from lori_assignment.testing.cases import CastTestCase
from rentals import holds, ledger, services
from rentals.consistency import find_errors
from rentals.models import Hold, LedgerEntry, Policy, Rate, Rental
from rentals.price_lists import make_price_list

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)

TABLES = ("rentals_ledgerentry", "rentals_rental", "rentals_hold")


def unguard() -> None:
    """Drop the constraints and triggers that would refuse the damage; the rollback restores them."""
    unique = ("rental_one_open_per_copy", "hold_one_ready_per_copy", "ledger_one_rent_entry_per_rental")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Check deferred constraints now: a table with pending checks cannot be altered.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                cursor.execute(
                    "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'",
                    [table],
                )
                for (name,) in cursor.fetchall():
                    cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            cursor.execute("ALTER TABLE rentals_ledgerentry DROP CONSTRAINT ledger_numbers_follow_on")
            cursor.execute("ALTER TABLE rentals_rental DROP CONSTRAINT rental_copy_is_with_one_member")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        for index in unique:
            cursor.execute(f"DROP INDEX {index}")


class BooksTestCase(CastTestCase):
    book: Book

    @classmethod
    def setUpTestData(cls) -> None:
        """Create late, renewed, capped and void rentals, payments, reversals and holds."""
        super().setUpTestData()
        cls.book = add_book(name="Emma", kind=3)
        cls.second = add_copy(book=cls.book, replacement_price=Decimal("9.00"))
        rates = [{"kind": kind, "daily_rate": Decimal(1), "late_fee": Decimal("0.30")} for kind in (1, 2, 3)]
        make_price_list(name="Late", in_force_from=MONDAY - DAY, rates=rates)

        cls.returned = cls.rent(cls.alice)
        services.renew_rental(rental=cls.returned, at=MONDAY + 16 * DAY)
        cls.give_back(cls.returned, MONDAY + 30 * DAY)
        cls.capped = cls.rent(cls.bob, copy=cls.second)
        cls.give_back(cls.capped, MONDAY + 20 * DAY)
        cls.mistake = cls.rent(cls.bob, at=MONDAY + 30 * DAY)
        cls.give_back(cls.mistake, MONDAY + 31 * DAY)
        services.void_rental(rental=cls.mistake, at=MONDAY + 31 * DAY, actor=cls.carol)
        cls.refused = cls.pay("3.33")
        ledger.reverse(entry=cls.refused, actor=cls.carol, at=MONDAY + 31 * DAY)
        cls.paid = cls.pay("30.60")
        cls.charge = cls.returned.rent_entry
        later = MONDAY + 40 * DAY
        cls.open = cls.rent(cls.alice, at=later, copy=cls.second)
        other = cls.rent(cls.bob, at=later)
        picked_up = holds.place_hold(member=cls.carol, book=cls.book, at=later)
        waiting = holds.place_hold(member=cls.dan, book=cls.book, at=later)
        cls.give_back(other, later + DAY)
        cls.rent(cls.carol, at=later + DAY)
        cls.picked_up = Hold.objects.get(pk=picked_up.pk)
        cls.give_back(cls.picked_up.rental, later + 2 * DAY)
        cls.ready = Hold.objects.get(pk=waiting.pk)

    @classmethod
    def rent(cls, member: Any, at: datetime = MONDAY, **facts: Any) -> Rental:
        return services.rent_book(member=member, book=cls.book, at=at, now=at, **facts)

    @classmethod
    def give_back(cls, rental: Rental, at: datetime) -> None:
        services.return_rental(rental=rental, at=at, actor=cls.carol, now=at)
        rental.refresh_from_db()

    @classmethod
    def pay(cls, amount: str) -> LedgerEntry:
        return ledger.take_payment(
            member=cls.alice,
            amount=Decimal(amount),
            method=LedgerEntry.Method.CASH,
            actor=cls.carol,
            at=MONDAY + 31 * DAY,
        )


class ConsistentBooksTest(BooksTestCase):
    def test_consistent_books_print_nothing(self) -> None:
        # Rows of all kinds exist, so that no check passes for lack of rows.
        self.assertEqual(self.picked_up.status, Hold.Status.PICKED_UP)
        self.assertEqual(self.ready.status, Hold.Status.READY)
        self.assertTrue(self.returned.due_before)
        kinds = set(LedgerEntry.objects.values_list("kind", flat=True))
        self.assertEqual(kinds, {"rent", "payment", "reversal"})
        printed = StringIO()
        call_command("check_books", stdout=printed, stderr=printed)
        self.assertEqual(printed.getvalue(), "")

    def test_query_count_is_constant(self) -> None:
        with CaptureQueriesContext(connection) as few:
            list(find_errors())
        copy = add_copy(book=self.book)
        for number in range(50, 55):
            at = MONDAY + number * DAY
            self.give_back(self.rent(self.bob, at=at, copy=copy), at + DAY)
        with CaptureQueriesContext(connection) as many:
            list(find_errors())
        self.assertEqual(len(many), len(few))


class InconsistencyTest(BooksTestCase):
    def setUp(self) -> None:
        unguard()
        if connection.vendor == "sqlite":
            self.addCleanup(self.guard_sqlite)

    def guard_sqlite(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")

    def assert_named(self, *sentences: str) -> None:
        """Assert that the command prints exactly these lines and exits with 1."""
        printed = StringIO()
        with self.assertRaises(SystemExit) as ended:
            call_command("check_books", stdout=printed)
        self.assertEqual(ended.exception.code, 1)
        self.assertEqual(printed.getvalue().splitlines(), list(sentences))

    def damage(self, row: Model, **facts: Any) -> None:
        """Write values that the constraints and triggers would have refused."""
        self.assertEqual(type(row)._default_manager.filter(pk=row.pk).update(**facts), 1)

    def test_changed_amount_is_reported(self) -> None:
        self.damage(self.refused, amount=Decimal("-3.34"))
        self.assert_named(
            f"Ledger entry {self.refused.pk} of member {self.alice.pk} has balance 27.27; "
            "expected 30.60 + -3.34 = 27.26.",
            f"Ledger entry {self.refused.reversed_by.pk} reverses entry {self.refused.pk}, "
            "but the member, amount or method doesn't match.",
        )

    def test_changed_balance_is_reported(self) -> None:
        self.damage(self.paid, balance=Decimal("0.01"))
        self.assert_named(
            f"Ledger entry {self.paid.pk} of member {self.alice.pk} has balance 0.01; "
            "expected 30.60 + -30.60 = 0.00."
        )

    def test_one_cent_in_a_large_account_is_reported(self) -> None:
        first = self.charge
        self.damage(first, amount=Decimal("9876543210.10"), balance=Decimal("9876543210.11"))
        self.assertIn(
            f"Ledger entry {first.pk} of member {self.alice.pk} has balance 9876543210.11; "
            "expected 0.00 + 9876543210.10 = 9876543210.10.",
            list(find_errors()),
        )

    def test_missing_entry_is_reported(self) -> None:
        """The next number and balance do not follow. A missing last entry would show only by its rental."""
        LedgerEntry.objects.filter(pk=self.refused.reversed_by.pk).delete()
        self.assert_named(
            f"Ledger entry {self.paid.pk} of member {self.alice.pk} has number 4; expected 3.",
            f"Ledger entry {self.paid.pk} of member {self.alice.pk} has balance 0.00; "
            "expected 27.27 + -30.60 = -3.33.",
        )

    def test_first_number_other_than_1_is_reported(self) -> None:
        for entry in LedgerEntry.objects.filter(user=self.alice).order_by("-number"):
            self.damage(entry, number=entry.number + 1)
        self.assert_named(
            f"Ledger entry {self.charge.pk} of member {self.alice.pk} has number 2; expected 1."
        )

    @skipUnless(connection.vendor == "postgresql", "SQLite drops this constraint with its table only.")
    def test_duplicate_entry_number_is_reported(self) -> None:
        self.damage(self.paid, number=3)
        self.assert_named(f"Ledger entry {self.paid.pk} of member {self.alice.pk} has number 3; expected 4.")

    def test_rental_of_other_member_is_reported(self) -> None:
        self.damage(self.paid, rental=self.capped)
        self.assert_named(
            f"Ledger entry {self.paid.pk} of member {self.alice.pk} is for rental {self.capped.pk}, "
            f"which belongs to member {self.bob.pk}."
        )

    def test_charge_other_than_the_price_is_reported(self) -> None:
        for facts, due in (
            ({"returned_at": F("returned_at") + timedelta(microseconds=1)}, "31.90"),
            ({"rented_at": F("rented_at") + DAY}, "29.60"),
            ({"due_before": [], "renewals": 0}, "30.00"),
            ({"due_at": F("due_at") - DAY}, "30.90"),
            ({"replacement_price": Decimal("30.59")}, "30.59"),
            ({"rate": Rate.objects.get(price_list__name="By kind", kind=2)}, "90.00"),
        ):
            with self.subTest(facts=facts), transaction.atomic():
                self.damage(self.returned, **facts)
                self.assert_named(
                    f"Rental {self.returned.pk} was charged 30.60; expected {due} from its rate and days."
                )
                transaction.set_rollback(True)

    def test_return_without_a_charge_is_reported(self) -> None:
        self.damage(self.open, returned_at=MONDAY + 60 * DAY)
        self.assert_named(f"Rental {self.open.pk} was returned but has no charge.")

    def test_unlinked_charge_is_reported(self) -> None:
        self.damage(self.returned, rent_entry=None)
        self.assert_named(
            f"Ledger entry {self.charge.pk} charges rental {self.returned.pk}, "
            "but is not its recorded charge.",
            f"Rental {self.returned.pk} was returned but has no charge.",
        )

    def test_second_charge_is_reported(self) -> None:
        again = ledger.post(
            member=self.alice,
            kind=LedgerEntry.Kind.RENT,
            amount=Decimal(1),
            actor=self.carol,
            at=MONDAY + 60 * DAY,
            rental=self.returned,
        )
        self.assert_named(
            f"Ledger entry {again.pk} charges rental {self.returned.pk}, but is not its recorded charge."
        )

    def test_charge_that_is_not_rent_is_reported(self) -> None:
        self.damage(self.returned, rent_entry=self.paid)
        self.assert_named(
            f"Ledger entry {self.charge.pk} charges rental {self.returned.pk}, "
            "but is not its recorded charge.",
            f"Rental {self.returned.pk} has entry {self.paid.pk} as its charge, "
            "which is not a rental charge for it.",
        )

    def test_charge_on_an_open_rental_is_reported(self) -> None:
        self.damage(self.capped, returned_at=None)
        entry = f"entry {self.capped.rent_entry_id}"
        self.assert_named(
            f"Rental {self.capped.pk} has a charge ({entry}) but was not returned.",
            f"Copy {self.second.pk} is on loan in 2 rentals at once.",
        )

    def test_void_without_reversal_is_reported(self) -> None:
        self.damage(self.mistake, voided_at=None)
        self.damage(self.capped, voided_at=MONDAY)
        void, valid = self.capped, self.mistake
        self.assertEqual(
            set(find_errors()),
            {
                f"Rental {void.pk} is void, but its charge (entry {void.rent_entry_id}) was not reversed.",
                f"Rental {valid.pk} is not void, but its charge (entry {valid.rent_entry_id}) was reversed.",
            },
        )

    def test_copy_rented_twice_is_reported(self) -> None:
        later = MONDAY + 50 * DAY
        Rental.objects.create(
            user=self.bob, copy=self.second, rate=self.open.rate, rented_at=later, due_at=later
        )
        self.assert_named(f"Copy {self.second.pk} is on loan in 2 rentals at once.")

    def test_overlapping_rentals_of_a_copy_are_reported(self) -> None:
        self.damage(self.capped, copy=self.returned.copy)
        self.assert_named(
            f"Rental {self.returned.pk} of copy {self.returned.copy_id} overlaps rental {self.capped.pk} "
            "of the same copy."
        )
        self.damage(self.capped, copy=self.open.copy)
        since, until = self.capped.rented_at, self.capped.returned_at
        self.damage(self.open, rented_at=until - timedelta(microseconds=1))
        self.assert_named(
            f"Rental {self.open.pk} of copy {self.second.pk} overlaps rental {self.capped.pk} "
            "of the same copy."
        )
        self.damage(self.open, rented_at=since - DAY)
        self.assert_named(
            f"Rental {self.capped.pk} of copy {self.second.pk} overlaps rental {self.open.pk} "
            "of the same copy."
        )

    def test_copy_on_loan_but_not_in_service_is_reported(self) -> None:
        self.damage(self.open.copy, status="lost")
        self.assert_named(
            f"Copy {self.second.pk} has the status lost, but is on loan in rental {self.open.pk}."
        )

    def test_other_currency_is_reported(self) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("ALTER TABLE rentals_policy DISABLE TRIGGER USER")
        Policy.objects.update(currency="EUR")
        self.assert_named("The shop's amounts are in EUR, but CURRENCY is USD.")

    def test_renewals_without_former_due_dates_are_reported(self) -> None:
        self.damage(self.returned, renewals=7)
        self.assert_named(
            f"Rental {self.returned.pk} has 7 renewals, but {len(self.returned.due_before)} former due dates."
        )

    def test_missing_copy_set_aside_is_reported(self) -> None:
        self.damage(self.ready.copy, status=Copy.Status.MISSING)
        self.assert_named(
            f"Hold {self.ready.pk} has copy {self.ready.copy_id} set aside, "
            "but the copy has the status missing."
        )

    def test_invalid_copy_of_a_hold_is_reported(self) -> None:
        first = self.ready.copy
        self.damage(self.ready, copy=self.second)
        self.assert_named(
            f"Hold {self.ready.pk} has copy {self.second.pk} set aside, but the copy is on loan."
        )
        other = add_book(name="Persuasion", kind=3).copies.get()
        self.damage(self.ready, copy=other)
        self.assert_named(
            f"Hold {self.ready.pk} has copy {other.pk} set aside, which is not a copy of book {self.book.pk}."
        )
        self.damage(self.ready, copy=first)
        Hold.objects.create(
            user=self.bob,
            book=self.book,
            copy=first,
            placed_at=MONDAY,
            ready_at=MONDAY,
            pick_up_by=MONDAY,
        )
        self.assert_named(f"Copy {first.pk} is set aside for 2 holds at once.")

    def test_rental_not_matching_its_hold_is_reported(self) -> None:
        hold = self.picked_up
        said = f"Hold {hold.pk} became rental {hold.rental_id}, but the member or copy doesn't match."
        for facts in ({"user": self.bob}, {"copy": self.second}, {"copy": None}):
            with self.subTest(facts=facts), transaction.atomic():
                self.damage(hold, **facts)
                self.assert_named(said)
                transaction.set_rollback(True)

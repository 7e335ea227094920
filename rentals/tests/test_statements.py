"""Tests monthly statements: their months, entries and sums, and the CSV export."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

from django.conf import settings
from django.test import override_settings

from accounts.models import User
from books.models import Book
from books.stock import add_book, add_copy
from lori_assignment.testing.cases import CastTestCase
from rentals import ledger, services
from rentals.models import LedgerEntry
from rentals.statements import csv_export
from rentals.statements.monthly import Month, Statement, months_of, statement

NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class MonthTest(CastTestCase):
    def test_month_knows_its_neighbours(self) -> None:
        december = Month(2026, 12)
        self.assertEqual((december.next, december.before), (Month(2027, 1), Month(2026, 11)))
        self.assertEqual((Month(2027, 1).before, str(Month(2027, 1))), (december, "2027-01"))

    @override_settings(TIME_ZONE="Europe/Rome")
    def test_month_starts_at_midnight_in_the_shop(self) -> None:
        midnight = datetime(2026, 10, 31, 23, 0, tzinfo=UTC)
        self.assertEqual(Month(2026, 11).start, midnight)
        self.assertEqual(Month.of(midnight), Month(2026, 11))
        self.assertEqual(Month.of(midnight - timedelta(microseconds=1)), Month(2026, 10))


class StatementTestCase(CastTestCase):
    emma: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(name="Emma", kind=3)

    def charge(self, at: datetime, member: User | None = None) -> None:
        """Rent and return a new copy of Emma, for 4.50."""
        copy = add_copy(book=self.emma)
        rental = services.rent_book(member=member or self.alice, book=self.emma, copy=copy, at=at, now=at)
        services.return_rental(rental=rental, at=at, actor=self.carol, now=at)

    def pay(self, amount: str, at: datetime, note: str = "") -> LedgerEntry:
        return ledger.take_payment(
            member=self.alice,
            amount=Decimal(amount),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=at,
            note=note,
        )

    def of(self, year: int, number: int, at: datetime = NOW) -> Statement:
        found = statement(self.alice, Month(year, number), at=at)
        assert found is not None
        return found

    def numbers(self, year: int, number: int) -> list[int]:
        return [entry.number for entry in self.of(year, number).entries()]


class StatementTest(StatementTestCase):
    def setUp(self) -> None:
        self.charge(datetime(2026, 8, 10, tzinfo=UTC))
        self.charge(datetime(2026, 10, 1, tzinfo=UTC))
        self.charge(datetime(2026, 10, 31, 23, 30, tzinfo=UTC))
        self.pay("5.00", datetime(2026, 11, 2, tzinfo=UTC))
        self.charge(datetime(2026, 8, 10, tzinfo=UTC), self.bob)

    def test_months_run_from_first_entry_to_now(self) -> None:
        self.assertEqual(
            [str(month) for month in months_of(self.alice, at=NOW)],
            ["2026-11", "2026-10", "2026-09", "2026-08"],
        )
        self.assertEqual(months_of(self.dan, at=NOW), [Month(2026, 11)])
        for month in (Month(2026, 7), Month(2026, 12)):
            self.assertIsNone(statement(self.alice, month, at=NOW))

    def test_statement_has_entries_and_two_balances(self) -> None:
        october = self.of(2026, 10)
        self.assertEqual([entry.number for entry in october.entries()], [2, 3])
        self.assertEqual((str(october.opening), str(october.closing)), ("4.50", "13.50"))
        self.assertEqual(october.totals(), (Decimal("9.00"), Decimal(0)))
        november = self.of(2026, 11)
        self.assertEqual((str(november.opening), str(november.closing)), ("13.50", "8.50"))
        self.assertEqual(november.totals(), (Decimal(0), Decimal("5.00")))

    def test_month_without_entries_keeps_the_balance(self) -> None:
        september = self.of(2026, 9)
        self.assertEqual((list(september.entries()), september.opening), ([], september.closing))
        self.assertEqual(september.totals(), (Decimal(0), Decimal(0)))

    def test_statement_knows_its_neighbours(self) -> None:
        first, last = self.of(2026, 8), self.of(2026, 11)
        self.assertEqual((first.previous, first.following), (None, Month(2026, 9)))
        self.assertEqual((last.previous, last.following), (Month(2026, 10), None))
        self.assertEqual((first.is_running, last.is_running), (False, True))

    @override_settings(TIME_ZONE="Europe/Rome")
    def test_months_follow_the_shops_time_zone(self) -> None:
        self.assertEqual((self.numbers(2026, 10), self.numbers(2026, 11)), ([2], [3, 4]))

    def test_clock_skew_loses_no_entry(self) -> None:
        turn = datetime(2026, 12, 1, tzinfo=UTC)
        for milliseconds in (1, -1, 2):
            self.pay("1.00", turn + timedelta(milliseconds=milliseconds))
        later = turn + 40 * DAY
        months = [self.of(month.year, month.number, later) for month in months_of(self.alice, at=later)]
        found = [entry.number for month in reversed(months) for entry in month.entries()]
        self.assertEqual(found, list(range(1, 8)))
        for month in months:
            charged, credited = month.totals()
            self.assertEqual(month.opening + charged - credited, month.closing)

    def test_query_count_is_constant(self) -> None:
        for _ in range(2):
            # First entry, two balances, entries.
            with self.assertNumQueries(4):
                list(self.of(2026, 11).entries())
            for day in range(5):
                self.charge(NOW - day * DAY)


class StatementCsvTest(StatementTestCase):
    def rows(self, year: int, number: int) -> list[dict[str, str]]:
        text = "".join(csv_export.csv_lines(self.of(year, number)))
        self.assertTrue(text.startswith("\ufeff"))
        return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))

    def test_file_has_opening_balance_and_entries(self) -> None:
        self.charge(datetime(2026, 10, 5, tzinfo=UTC))
        self.charge(datetime(2026, 11, 5, 9, 30, tzinfo=UTC))
        before, rent = self.rows(2026, 11)
        self.assertEqual((before["Description"], before["Posted balance"]), ("Posted balance before", "4.50"))
        self.assertEqual(rent["Time"], "2026-11-05T09:30:00+00:00")
        self.assertEqual((rent["No."], rent["Type"], rent["Description"]), ("2", "rent", "Rental: Emma"))
        self.assertEqual((rent["Amount"], rent["Posted balance"], rent["Currency"]), ("4.50", "9.00", "USD"))

    FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1")

    def test_notes_are_not_formulas(self) -> None:
        self.charge(NOW)
        for note in self.FORMULAS:
            self.pay("0.10", NOW, note)
        rows = self.rows(2026, 11)[2:]
        self.assertEqual({row["Note"][0] for row in rows}, {"'"})
        self.assertEqual({row["Amount"] for row in rows}, {"-0.10"})

    def test_titles_are_not_formulas(self) -> None:
        self.charge(NOW)
        for title in self.FORMULAS:
            with mock.patch.object(csv_export, "title_of", return_value=title):
                self.assertEqual(self.rows(2026, 11)[1]["Description"], f"'{title}")

    def test_unescaped_note_is_a_formula(self) -> None:
        self.charge(NOW)
        self.pay("0.10", NOW, "=1+1")
        with mock.patch.object(csv_export, "escape_formula", lambda text: text):
            self.assertEqual(self.rows(2026, 11)[-1]["Note"], "=1+1")

    def test_no_other_module_writes_spreadsheets(self) -> None:
        """Another module would have to escape formulas too. Rejected import rows go back unchanged."""
        made = {
            str(path.relative_to(settings.BASE_DIR))
            for app in ("accounts", "books", "lori_assignment", "rentals")
            for path in (settings.BASE_DIR / app).rglob("*.py")
            if "tests" not in path.parts
            and re.search(r"csv\.(Dict)?[wW]riter|openpyxl|xlsx", path.read_text())
        }
        self.assertEqual(made, {"books/importing/rejects.py", "rentals/statements/csv_export.py"})

    def test_special_characters_stay_in_their_cell(self) -> None:
        self.charge(NOW)
        note = 'Said "no", then;\nleft'
        self.pay("0.10", NOW, note)
        self.assertEqual(self.rows(2026, 11)[-1]["Note"], note)

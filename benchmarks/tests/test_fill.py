"""Tests that a generated shop is as consistent as one that has been used."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from unittest import TestCase as PlainTestCase
from unittest import skipUnless

from django.db import connection
from django.test import TestCase

from accounts.models import User
from benchmarks import catalogue
from benchmarks.fill import Shelf, _History, load
from benchmarks.size import FEW, FEW_RENTALS, MANY, OUT_NOW, Size
from books.isbn import validate_isbn
from books.models import Book
from books.search import find
from rentals import ledger
from rentals.availability import with_availability
from rentals.consistency import find_errors
from rentals.models import LedgerEntry, Policy, Rental
from rentals.services import rent_book, return_rental

NOW = datetime(2026, 5, 4, tzinfo=UTC)
SIZE = Size(books=600, rentals=3_000, renters=100, many=400)

# Queries that must find nothing, besides `rentals.consistency`, each with a change that it must detect.
FALSE = {
    "entries of one member out of their order in time": (
        "SELECT 1 FROM (SELECT posted_at,"
        " lag(posted_at) OVER (PARTITION BY user_id ORDER BY number) AS before"
        " FROM rentals_ledgerentry) AS entries WHERE posted_at < before",
        f"UPDATE rentals_ledgerentry SET posted_at = 'epoch' WHERE number = 2 AND user_id = {FEW}",
    ),
    "one copy with two members at once": (
        "SELECT 1 FROM rentals_rental AS one JOIN rentals_rental AS other ON one.copy_id = other.copy_id"
        " AND one.ref < other.ref AND coalesce(one.returned_at, 'infinity') > other.rented_at",
        "UPDATE rentals_rental SET returned_at = returned_at + interval '3 years'"
        " WHERE ref = (SELECT min(ref) FROM rentals_rental)",
    ),
    "more out than one member may have": (
        "SELECT 1 FROM rentals_rental WHERE returned_at IS NULL GROUP BY user_id HAVING count(*) >"
        " (SELECT max_open_rentals FROM rentals_policy)",
        "UPDATE rentals_policy SET max_open_rentals = 1",
    ),
    "something that has not happened yet": (
        "SELECT 1 FROM rentals_rental WHERE greatest(rented_at, returned_at) > '2026-05-04 00:00Z'",
        "UPDATE rentals_rental SET rented_at = '2027-01-01', due_at = '2027-01-02' WHERE returned_at IS NULL",
    ),
}


def fill() -> None:
    with connection.cursor() as cursor:
        load(cursor, SIZE, source=catalogue.generate_books(500), at=NOW, done=lambda what: None)


def indexes() -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1, 2"
        )
        found = cursor.fetchall()
        cursor.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = current_schema()::regnamespace ORDER BY 1, 2"
        )
        return [*found, *cursor.fetchall()]


@skipUnless(connection.vendor == "postgresql", "Only PostgreSQL is filled by the million.")
class FilledShopTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.indexes = indexes()
        fill()

    def finds(self, sql: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone() is not None

    def test_shop_has_the_requested_size(self) -> None:
        self.assertEqual(Book.objects.count(), SIZE.books)
        ours = FEW_RENTALS + SIZE.many + 2 * OUT_NOW
        self.assertEqual(Rental.objects.count(), SIZE.rentals + ours)
        for member, closed in ((FEW, FEW_RENTALS), (MANY, SIZE.many)):
            rentals = Rental.objects.filter(user=member)
            self.assertEqual((rentals.returned().count(), rentals.open().count()), (closed, OUT_NOW))

    def test_books_are_consistent(self) -> None:
        self.assertEqual(list(find_errors()), [])
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL session_replication_role = replica")
            cursor.execute(f"UPDATE rentals_ledgerentry SET amount = 7 WHERE number = 2 AND user_id = {FEW}")
        self.assertGreater(len(list(find_errors())), 0)

    def test_no_false_data_is_found(self) -> None:
        for name, (sql, _) in FALSE.items():
            with self.subTest(name):
                self.assertFalse(self.finds(sql))

    def test_false_data_would_be_found(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL session_replication_role = replica")
            cursor.execute("ALTER TABLE rentals_rental DROP CONSTRAINT rental_copy_is_with_one_member")
            for name, (sql, change) in FALSE.items():
                with self.subTest(name):
                    cursor.execute(f"SAVEPOINT before; {change}")
                    self.assertGreater(cursor.rowcount, 0)
                    self.assertTrue(self.finds(sql))
                    cursor.execute("ROLLBACK TO before")

    def test_every_foreign_key_has_a_target(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT conrelid::regclass, a.attname, confrelid::regclass, b.attname FROM pg_constraint"
                " JOIN pg_attribute AS a ON a.attrelid = conrelid AND a.attnum = conkey[1]"
                " JOIN pg_attribute AS b ON b.attrelid = confrelid AND b.attnum = confkey[1]"
                " WHERE contype = 'f'"
            )
            keys = cursor.fetchall()
        self.assertGreater(len(keys), 20)
        for table, column, other, key in keys:
            with self.subTest(table=table, column=column):
                self.assertFalse(
                    self.finds(
                        f"SELECT 1 FROM {table} AS one WHERE {column} IS NOT NULL"
                        f" AND NOT EXISTS (SELECT FROM {other} AS other WHERE other.{key} = one.{column})"
                    )
                )

    def test_every_charge_equals_the_rental_price(self) -> None:
        returned = Rental.objects.returned().with_terms()
        self.assertGreater(len(returned), 3_000)
        for rental in returned:
            price = rental.running_price(rental.returned_at)
            self.assertEqual(rental.charge, price.total)
            working = rental.rent_entry.working
            self.assertEqual({name: working[name] for name in price.as_json()}, price.as_json())
            self.assertEqual(datetime.fromisoformat(working["returned_at"]), rental.returned_at)
            self.assertEqual(rental.rate.kind, rental.book.kind)

    def test_few_members_make_most_rentals(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM rentals_rental WHERE user_id > %s GROUP BY user_id ORDER BY 1 DESC",
                [MANY],
            )
            numbers = [number for [number] in cursor.fetchall()]
        self.assertGreater(sum(numbers[: SIZE.readers // 10]), sum(numbers) / 3)

    def test_indexes_and_constraints_are_kept(self) -> None:
        self.assertEqual(indexes(), self.indexes)

    def test_a_search_finds_its_books(self) -> None:
        self.assertEqual(
            [book.pk for book in find(Book.objects.all(), catalogue.RARE).books],
            [place + 1 for place in catalogue.RARE_BOOKS if place < SIZE.books],
        )
        self.assertTrue(find(Book.objects.all(), catalogue.MISSPELT).is_corrected)

    def test_renting_works_in_the_filled_shop(self) -> None:
        member, staff = User.objects.get(pk=SIZE.first_renter), User.objects.get(username="staff")
        book = with_availability(Book.objects.all()).get(pk=SIZE.first_book_to_rent)
        self.assertEqual((book.copies_in_service, book.available), (1, 1))
        rental = rent_book(member=member, book=book, at=NOW, now=NOW)
        return_rental(rental=rental, at=NOW, actor=staff, now=NOW)
        self.assertGreater(ledger.balance(member, at=NOW).total, 0)
        self.assertEqual(LedgerEntry.objects.get(user=member).number, 1)
        # Triggers are enabled again.
        with connection.cursor() as cursor:
            cursor.execute("SHOW session_replication_role")
            self.assertEqual(cursor.fetchone(), ("origin",))

    def test_non_empty_shop_is_refused(self) -> None:
        with self.assertRaisesRegex(SystemExit, "accounts_user is not empty"):
            fill()
        self.assertEqual(Book.objects.count(), SIZE.books)


class SourceTest(PlainTestCase):
    def test_same_size_gives_the_same_shop(self) -> None:
        source = catalogue.generate_books(300)
        self.assertEqual(source, catalogue.generate_books(300))
        self.assertEqual(
            list(catalogue.multiply_books(source, 900)), list(catalogue.multiply_books(source, 900))
        )
        shelf = Shelf(SIZE)
        self.assertEqual(shelf.of_copy, Shelf(SIZE).of_copy)
        self.assertEqual(
            list(islice(_History(SIZE, shelf).lines(), 2000)),
            list(islice(_History(SIZE, shelf).lines(), 2000)),
        )

    def test_source_books_come_first(self) -> None:
        source = catalogue.generate_books(50)
        self.assertEqual(list(catalogue.multiply_books(source, 120))[:50], source)

    def test_vocabulary_grows_with_the_catalogue(self) -> None:
        source = catalogue.generate_books(300)
        number = len({row.name for row in catalogue.multiply_books(source, 3000)})
        self.assertGreater(number, 2000)

    def test_generated_isbn_is_valid(self) -> None:
        for number in (0, 1, 999_999_999):
            validate_isbn(catalogue.isbn(number))


class PolicyTest(TestCase):
    def test_open_rentals_stay_within_the_policy(self) -> None:
        self.assertLessEqual(OUT_NOW, Policy.current().max_open_rentals)

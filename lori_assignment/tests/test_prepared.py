"""Prepared queries give what the queries give that they are made of, on every connection."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock, skipUnless

from django.apps import apps
from django.db import DatabaseError, NotSupportedError, connection
from django.db.models import BigIntegerField, CharField, CompositePrimaryKey, Model, Value
from django.db.models.signals import post_init, pre_init
from django.utils import timezone

from accounts.models import User
from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.cast import CastTestCase, RaceTestCase
from lori_assignment.prepared import Among, Keys, Prepared, Slot
from rentals.availability import count_copies, with_availability
from rentals.models import Rental
from rentals.services import rent_book

NOW = timezone.now()

on_postgresql = skipUnless(connection.vendor == "postgresql", "SQLite keeps no plans")


class RowsTest(CastTestCase):
    def test_are_those_of_the_query_for_each_value(self) -> None:
        named = Prepared(lambda: User.objects.filter(username=Slot("name", CharField())))
        for name in ("alice", "bob", "alice", "nobody", "o'brien", "%s", "100%"):
            expected = list(User.objects.filter(username=name))
            with self.subTest(name=name), self.assertNumQueries(1):
                self.assertEqual(named(name=name), expected)
        self.assertEqual(named.first(name="bob"), self.bob)
        self.assertIsNone(named.first(name="nobody"))

    def test_have_all_that_comes_along(self) -> None:
        emma = add_book(name="Emma", copies=2)
        copies = Copy.objects.select_related("book").annotate(three=Value(3)).order_by("pk")
        told = Prepared(lambda: copies.filter(book=Slot("book", BigIntegerField())))
        with self.assertNumQueries(1):
            rows: Any = told(book=emma.pk)
            self.assertEqual([(row.book.name, row.three) for row in rows], [("Emma", 3)] * 2)
        self.assertEqual([row.added_at for row in rows], [row.added_at for row in copies])

    def test_values_come_as_values(self) -> None:
        pairs = Prepared(
            lambda: (
                User.objects.filter(Among("pk", Keys("these"))).order_by("pk").values_list("pk", "username")
            )
        )
        for some in ([], [self.alice], [self.bob, self.alice]):
            keys = [user.pk for user in some]
            expected = User.objects.filter(pk__in=keys).order_by("pk").values_list("pk", "username")
            self.assertEqual(pairs(these=keys), list(expected))

    def test_the_counts_of_a_page_are_those_of_the_one_definition(self) -> None:
        books = [add_book(name=f"Book {number}", copies=number) for number in range(4)]
        count_copies(books)
        expected = with_availability(Book.objects.order_by("pk"))
        self.assertEqual(
            [(book.copies_in_service, book.available) for book in books],
            [(book.copies_in_service, book.available) for book in expected],
        )

    def test_what_several_rows_have_in_common_is_one(self) -> None:
        emma = add_book(name="Emma", copies=3)
        told = Prepared(
            lambda: Copy.objects.filter(book=Slot("book", BigIntegerField())).select_related("book")
        )
        one, other, _third = told(book=emma.pk)
        self.assertIs(one.book, other.book)
        self.assertEqual((one.book.name, one.book._state.adding, one._state.db), ("Emma", False, "default"))

    def test_what_is_left_out_is_read_when_it_is_wanted(self) -> None:
        emma = add_book(name="Emma", description="Matches are made.")
        told = Prepared(lambda: Book.objects.defer("description"))
        [book] = told()
        with self.assertNumQueries(0):
            self.assertEqual((book, book.name), (emma, "Emma"))
        with self.assertNumQueries(1):
            self.assertEqual(book.description, "Matches are made.")

    def test_where_nothing_is_referred_to_there_is_nothing(self) -> None:
        rental = rent_book(member=self.alice, book=add_book(name="Emma"), at=NOW, now=NOW)
        told = Prepared(lambda: Rental.objects.select_related("rent_entry"))
        self.assertEqual([(one, one.rent_entry) for one in told()], [(rental, None)])

    def test_no_model_of_the_shop_does_more_when_it_is_made_than_its_columns_say(self) -> None:
        """Else a prepared query would have to do it, too."""
        for model in apps.get_models():
            with self.subTest(model=model.__name__):
                self.assertIs(model.__init__, Model.__init__)
                self.assertIs(model.from_db.__func__, Model.from_db.__func__)
                self.assertFalse(pre_init.has_listeners(model))
                self.assertFalse(post_init.has_listeners(model))
                self.assertNotIsInstance(model._meta.pk, CompositePrimaryKey)
                self.assertFalse(model._meta.parents)


class ManyThreadsTest(RaceTestCase):
    def test_each_gets_the_rows_of_its_own_value(self) -> None:
        told = Prepared(
            lambda: User.objects.filter(pk=Slot("pk", BigIntegerField())).values_list("pk", flat=True)
        )
        people = [self.alice, self.bob, self.carol, self.dan] * 3
        line = threading.Barrier(len(people))

        def ask(pk: int) -> set[int]:
            line.wait(timeout=10)
            return {found for _ in range(50) for found in told(pk=pk)}

        answers = self.all_at_once(*[lambda pk=user.pk: ask(pk) for user in people])
        self.assertEqual(answers, [{user.pk} for user in people])


@on_postgresql
class PlanTest(RaceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.told = Prepared(lambda: User.objects.filter(pk=Slot("pk", BigIntegerField())))

    def plans(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name = %s", [self.told._name])
            return cursor.fetchone()[0]

    def test_is_kept_with_the_connection_and_made_anew_on_the_next(self) -> None:
        self.told(pk=1)
        self.told(pk=2)
        self.assertEqual(self.plans(), 1)
        connection.close()
        self.assertEqual(self.plans(), 0)
        self.told(pk=1)
        self.assertEqual(self.plans(), 1)

    def test_is_made_anew_when_a_requests_first_query_finds_the_connection_broken(self) -> None:
        self.break_between_requests()
        self.told(pk=1)
        self.assertEqual(self.plans(), 1)

    def test_the_twin_that_does_not_look_first_asks_for_a_plan_that_is_gone(self) -> None:
        self.break_between_requests()
        with (
            mock.patch.object(connection, "close_if_health_check_failed", self.look_at_second_asking()),
            self.assertRaisesMessage(DatabaseError, "does not exist"),
        ):
            self.told(pk=1)

    def break_between_requests(self) -> None:
        self.told(pk=1)
        other = connection.copy()
        try:
            with connection.cursor() as mine, other.cursor() as cursor:
                mine.execute("SELECT pg_backend_pid()")
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", mine.fetchone())
        finally:
            other.close()
        connection.close_if_unusable_or_obsolete()
        self.assertIsNotNone(connection.connection)

    def look_at_second_asking(self) -> Callable[[], None]:
        """Not when the plan is looked for, but when the query is sent."""
        look, asked = connection.close_if_health_check_failed, itertools.count()
        return lambda: look() if next(asked) else None

    def test_none_is_kept_where_a_pool_stands_between(self) -> None:
        connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
        self.addCleanup(connection.settings_dict.__setitem__, "DISABLE_SERVER_SIDE_CURSORS", False)
        self.told(pk=1)
        self.assertEqual(self.plans(), 0)

    def test_is_for_all_values_alike_from_the_first_on(self) -> None:
        connection.close()
        self.told(pk=1)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = %s",
                [self.told._name],
            )
            self.assertEqual(cursor.fetchone(), (1, 0))

    def test_is_made_anew_when_a_migration_has_changed_a_column(self) -> None:
        self.addCleanup(self.alter, 200)
        for size in (201, 202):
            before = self.told(pk=self.alice.pk)
            self.alter(size)
            self.assertEqual(self.told(pk=self.alice.pk), before)
        with (
            self.assertRaises(NotSupportedError),
            mock.patch.object(Prepared, "_is_forgotten_by", return_value=False),
        ):
            self.alter(203)
            self.told(pk=self.alice.pk)

    def alter(self, size: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE accounts_user ALTER name TYPE varchar({size})")

    def test_what_the_database_has_against_it_is_said_as_ever(self) -> None:
        broken = Prepared(lambda: User.objects.extra(where=["no_such_column = 1"]))
        for _ in range(2):
            with self.assertRaises(DatabaseError):
                broken()

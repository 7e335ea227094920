"""Compiled queries return the rows of the querysets that they are compiled from."""

from __future__ import annotations

import threading
from typing import Any
from unittest import skipUnless

from django.db import DatabaseError, connection, transaction
from django.db.models import BigIntegerField, CharField
from django.test import override_settings

from accounts import tokens
from accounts.models import User
from books.models import Book
from books.stock import add_book
from lori_assignment.db.compiled_queries import CompiledQuery, IdList, InIds, Parameter
from lori_assignment.testing.cases import CastTestCase, RaceTestCase
from rentals.availability import set_copy_counts, with_availability


class RowsTest(CastTestCase):
    def test_rows_equal_the_querysets(self) -> None:
        by_name = CompiledQuery(lambda: User.objects.filter(username=Parameter("name", CharField())))
        for name in (
            "alice",
            "bob",
            "alice",
            "nobody",
            "o'brien",
            "%s",
            "100%",
            "'; DROP TABLE accounts_user",
        ):
            expected = list(User.objects.filter(username=name).values())
            with self.subTest(name=name), self.assertNumQueries(1):
                self.assertEqual(
                    [vars(user) | {"_state": None} for user in by_name(name=name)],
                    [row | {"_state": None} for row in expected],
                )

    def test_models_can_be_saved(self) -> None:
        by_name = CompiledQuery(lambda: User.objects.filter(username=Parameter("name", CharField())))
        [alice] = by_name(name="alice")
        alice.name = "Alice Brook"
        with self.assertNumQueries(1):
            alice.save(update_fields=["name"])
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.name, "Alice Brook")

    def test_id_lists_take_any_number(self) -> None:
        pairs = CompiledQuery(
            lambda: (
                User.objects.filter(InIds("pk", IdList("users"))).order_by("pk").values_list("pk", "username")
            )
        )
        for some in ([], [self.alice], [self.bob, self.alice]):
            ids = [user.pk for user in some]
            expected = User.objects.filter(pk__in=ids).order_by("pk").values_list("pk", "username")
            self.assertEqual([tuple(row) for row in pairs(users=ids)], list(expected))

    def test_deferred_fields_are_read_when_wanted(self) -> None:
        add_book(name="Emma", description="Matches are made.")
        [book] = CompiledQuery(lambda: Book.objects.defer("description"))()
        with self.assertNumQueries(1):
            self.assertEqual(book.description, "Matches are made.")

    def test_database_errors_are_raised(self) -> None:
        broken = CompiledQuery(lambda: User.objects.extra(where=["no_such_column = 1"]))
        with self.assertRaises(DatabaseError), transaction.atomic():
            broken()


class UsesTest(CastTestCase):
    def test_counts_follow_the_one_definition(self) -> None:
        books = [add_book(name=f"Book {number}", copies=number) for number in range(4)]
        set_copy_counts(books)
        expected = with_availability(Book.objects.order_by("pk"))
        self.assertEqual(
            [(book.copies_in_service, book.available) for book in books],
            [(book.copies_in_service, book.available) for book in expected],
        )

    def test_second_factor_setting_is_not_compiled_in(self) -> None:
        access = tokens.read_access_token(tokens.issue_tokens(self.carol).access.encode())
        for setting in ("off", "on", "off"):
            with override_settings(STAFF_SECOND_FACTOR=setting == "on"):
                if setting == "off":
                    self.assertEqual(tokens.owner_of(access), self.carol)
                else:
                    with self.assertRaises(tokens.TokenError):
                        tokens.owner_of(access)


class ThreadsTest(RaceTestCase):
    def test_each_thread_gets_rows_of_its_value(self) -> None:
        by_id = CompiledQuery(lambda: User.objects.filter(pk=Parameter("id", BigIntegerField())))
        people = [self.alice, self.bob, self.carol, self.dan] * 3
        line = threading.Barrier(len(people))

        def ask(pk: int) -> set[Any]:
            line.wait(timeout=10)
            return {user.pk for _ in range(50) for user in by_id(id=pk)}

        answers = self.run_concurrently(*[lambda pk=user.pk: ask(pk) for user in people])
        self.assertEqual(answers, [{user.pk} for user in people])


@skipUnless(connection.vendor == "postgresql", "SQLite cannot change the type of a column.")
class ColumnTypeTest(RaceTestCase):
    def test_column_type_may_change(self) -> None:
        by_id = CompiledQuery(lambda: User.objects.filter(pk=Parameter("id", BigIntegerField())))
        self.addCleanup(self.alter, "varchar(200)")
        for column_type in ("varchar(201)", "text"):
            before = by_id(id=self.alice.pk)
            self.alter(column_type)
            self.assertEqual(by_id(id=self.alice.pk), before)

    def alter(self, column_type: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE accounts_user ALTER name TYPE {column_type}")

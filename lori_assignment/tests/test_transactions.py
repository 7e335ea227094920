"""Transactions that the database rolls back are retried once, if that is safe."""

from __future__ import annotations

import ast
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any
from unittest import TestCase, mock

import psycopg2.errors
from django.core.files.base import ContentFile
from django.db import OperationalError, transaction
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError

from accounts import tokens
from books import stock
from books.models import Book
from books.stock import add_book, change_book
from lori_assignment.db import errors
from lori_assignment.db.transactions import atomic_with_retry, disable_retry, lock
from lori_assignment.models import IdempotencyRecord
from lori_assignment.testing.cases import RaceTestCase
from lori_assignment.tests.test_import_rule import modules
from rentals import services
from rentals.models import LedgerEntry
from rentals.services import rent_book
from rentals.tests.test_races import has_row_locks


class StateIs(psycopg2.OperationalError):
    """An error of psycopg2 with the SQLSTATE that PostgreSQL would send."""

    pgcode = ""

    @classmethod
    def raised(cls, state: str) -> OperationalError:
        error, cause = OperationalError("told so"), cls("told so")
        cause.pgcode = state
        error.__cause__ = cause
        return error


@contextmanager
def never_again() -> Iterator[None]:
    """Turn the retry off, to show that the tests can fail."""
    with mock.patch.object(errors, "RETRYABLE", set()):
        yield


class QuietTestCase(RaceTestCase):
    """Hides the log lines about retries."""

    def setUp(self) -> None:
        super().setUp()
        logging.disable(logging.WARNING)
        self.addCleanup(logging.disable, logging.NOTSET)


class RetryTest(QuietTestCase):
    def failing(self, *states: str) -> Callable[[], int]:
        """Return a function that writes a book and fails once with each of `states`, in that order."""
        left = list(states)

        @atomic_with_retry
        def work() -> int:
            self.tries += 1
            Book.objects.create(name=f"Try {self.tries}", kind=1)
            if left:
                raise StateIs.raised(left.pop(0))
            return self.tries

        self.tries = 0
        return work

    def test_deadlock_and_serialization_are_retried(self) -> None:
        for state in ("40P01", "40001"):
            with self.subTest(state):
                Book.objects.all().delete()
                self.assertEqual(self.failing(state)(), 2)
                self.assertEqual([book.name for book in Book.objects.all()], ["Try 2"])

    def test_without_the_retry_it_fails(self) -> None:
        with never_again(), self.assertRaises(OperationalError):
            self.failing("40P01")()
        self.assertEqual(self.tries, 1)

    def test_second_failure_is_raised(self) -> None:
        with self.assertRaises(OperationalError):
            self.failing("40P01", "40001")()
        self.assertEqual((self.tries, Book.objects.count()), (2, 0))

    def test_other_errors_are_not_retried(self) -> None:
        for state in ("55P03", "57014", "25006", "53100", "57P01", "23505", ""):
            with self.subTest(state), self.assertRaises(OperationalError):
                self.failing(state)()
            self.assertEqual(self.tries, 1)

    def test_nested_unit_is_retried_with_the_outer(self) -> None:
        inner = self.failing("40P01")
        rounds: list[int] = []

        @atomic_with_retry
        def outer() -> int:
            rounds.append(self.tries)
            return inner()

        self.assertEqual(outer(), 2)
        self.assertEqual(rounds, [0, 1])
        with self.assertRaises(OperationalError), transaction.atomic():
            self.failing("40P01")()
        self.assertEqual(self.tries, 1)

    def test_on_commit_callbacks_run_once(self) -> None:
        told: list[int] = []
        work = self.failing("40P01")

        @atomic_with_retry
        def telling() -> None:
            transaction.on_commit(lambda: told.append(self.tries))
            work()

        telling()
        self.assertEqual(told, [2])

    def test_disabled_retry_is_respected(self) -> None:
        work = self.failing("40P01")

        @atomic_with_retry
        def leaving() -> None:
            disable_retry()
            work()

        with self.assertRaises(OperationalError):
            leaving()
        self.assertEqual(self.tries, 1)
        # The next transaction is retried again.
        self.assertEqual(self.failing("40P01")(), 2)

    def test_cover_is_stored_once(self) -> None:
        saved = mock.patch.object(Book.cover.field.storage, "save", return_value="covers/one.webp")
        failed = mock.patch.object(stock, "_free_barcodes", side_effect=StateIs.raised("40P01"))
        cover = ContentFile(b"RIFF", name="one.webp")
        with saved as save, failed, self.assertRaises(OperationalError):
            add_book(name="Emma", kind=3, cover=cover)
        self.assertEqual(save.call_count, 1)
        book = add_book(name="Emma", kind=3)
        failed = mock.patch.object(stock, "_delete_after_commit", side_effect=StateIs.raised("40P01"))
        with saved as save, failed, self.assertRaises(OperationalError):
            change_book(book=book, cover=cover)
        self.assertEqual(save.call_count, 1)

    @has_row_locks
    def test_deadlocked_calls_both_succeed(self) -> None:
        self.assertEqual(self.met(), Counter({"done": 2}))

    @has_row_locks
    def test_without_the_retry_one_fails(self) -> None:
        with never_again():
            self.assertEqual(self.met(), Counter({"done": 1, "40P01": 1}))

    def met(self) -> Counter[str]:
        """Count the outcomes of two threads that lock two objects in opposite order and deadlock once."""
        book, line, met = add_book(name="Emma", kind=3), threading.Barrier(2), threading.local()
        locks = [lambda: lock(book), lambda: lock(self.alice)]

        def taking(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[], str]:
            @atomic_with_retry
            def take() -> None:
                first()
                if not hasattr(met, "once"):
                    met.once = True
                    line.wait(timeout=10)
                second()

            def told() -> str:
                try:
                    take()
                except OperationalError as error:
                    return errors.sqlstate(error)
                return "done"

            return told

        return Counter(self.run_concurrently(taking(*locks), taking(*reversed(locks))))


class RequestRetryTest(QuietTestCase):
    """A call of the API is retried as a whole: its key, its preconditions and its work."""

    def setUp(self) -> None:
        super().setUp()
        now = timezone.now()
        self.book = add_book(name="Emma", kind=3, copies=3)
        self.rental = rent_book(member=self.alice, book=self.book, at=now, now=now)

    def deadlocked(self, times: int) -> Any:
        """Make the charge of a return end in a deadlock so many `times`."""
        left = [StateIs.raised("40P01") for _ in range(times)]
        post_rent = services.ledger.post_rent

        def post(**facts: Any) -> LedgerEntry:
            entry = post_rent(**facts)
            if left:
                raise left.pop()
            return entry

        return mock.patch.object(services.ledger, "post_rent", post)

    def bring_back(self, **headers: str) -> Any:
        path = f"/api/v3/book_rentals/{self.rental.ref}/return"
        client = self.api(self.carol)
        client.raise_request_exception = False
        return client.post(path, headers=headers)

    def tag(self) -> str:
        return self.api(self.carol).get(f"/api/v3/book_rentals/{self.rental.ref}").headers["ETag"]

    def kinds_of_call(self) -> Iterator[dict[str, str]]:
        """Yield the headers of calls with and without a key, with and without a precondition."""
        for number, (with_key, with_condition) in enumerate(product((False, True), repeat=2)):
            key = {"Idempotency-Key": f"key {number}"} if with_key else {}
            yield key | ({"If-Match": self.tag()} if with_condition else {})

    def test_one_deadlock_is_invisible(self) -> None:
        for headers in self.kinds_of_call():
            with self.subTest(headers), self.deadlocked(1):
                self.assertEqual(self.bring_back(**headers).status_code, 200)
            self.assertEqual(LedgerEntry.objects.filter(rental=self.rental).count(), 1)
            now = timezone.now()
            self.rental = rent_book(member=self.alice, book=self.book, at=now, now=now)

    def test_two_deadlocks_are_503_without_effects(self) -> None:
        for headers in self.kinds_of_call():
            with self.subTest(headers), self.deadlocked(2):
                answer = self.bring_back(**headers)
                self.assertEqual((answer.status_code, answer.json()["code"]), (503, "unavailable"))
                self.assertEqual(answer.headers["Retry-After"], "1")
        self.assertFalse(LedgerEntry.objects.exists() or IdempotencyRecord.objects.exists())
        self.assertEqual(self.bring_back(**{"Idempotency-Key": "one"}).status_code, 200)

    def test_without_the_retry_one_deadlock_is_503(self) -> None:
        for headers in self.kinds_of_call():
            # Its state is still that of a transient error.
            fault = mock.patch.object(errors, "TIMED_OUT", {"40P01"})
            with self.subTest(headers), never_again(), fault, self.deadlocked(1):
                self.assertEqual(self.bring_back(**headers).status_code, 503)

    def test_tokens_are_renewed_after_a_deadlock(self) -> None:
        def once(lock: Callable[..., Any]) -> Any:
            left = [StateIs.raised("40P01")]

            def locked(*args: Any) -> Any:
                family = lock(*args)
                if left:
                    raise left.pop()
                return family

            return mock.patch.object(tokens, "lock_family", locked)

        for use in (tokens.renew, tokens.revoke):
            with self.subTest(use.__name__):
                refresh = str(tokens.issue_tokens(self.alice).refresh)
                with once(tokens.lock_family), never_again(), self.assertRaises(OperationalError):
                    use(refresh)
                with once(tokens.lock_family):
                    done = use(refresh)
                if done:
                    # A second renewal would have made another pair.
                    self.assertEqual(use(refresh), done)
                    continue
                with self.assertRaises(TokenError):
                    use(refresh)

    def test_admin_changes_are_retried(self) -> None:
        self.client.force_login(self.dan)
        tries: list[int] = []

        def change(**facts: Any) -> Book:
            tries.append(1)
            if len(tries) == 1:
                raise StateIs.raised("40P01")
            return change_book(**facts)

        with mock.patch.object(stock, "change_book", change):
            page = f"/admin/books/book/{self.book.pk}/change/"
            form = self.client.get(page).context["adminform"].form
            typed = {name: form.initial.get(name) or "" for name in form.fields} | {"name": "Emma again"}
            answer = self.client.post(page, typed)
        self.assertEqual((answer.status_code, len(tries)), (302, 2))
        self.book.refresh_from_db()
        self.assertEqual(self.book.name, "Emma again")


class TransactionDecoratorTest(TestCase):
    def test_transactions_use_the_retry_decorator(self) -> None:
        found, units = [], 0
        for module, path in modules():
            for node in ast.walk(ast.parse(path.read_text())):
                names = [ast.unparse(one) for one in getattr(node, "decorator_list", [])]
                units += "atomic_with_retry" in names
                if "transaction.atomic" in names:
                    found.append(f"{module}.{node.name}")
        # A nested transaction of the administration, and a command that can be run again.
        allowed = [
            "lori_assignment.admin.delete_queryset",
            "rentals.management.commands.load_demo.fill_shop",
        ]
        self.assertEqual([name for name in found if name not in allowed], [])
        self.assertGreater(units, 20)

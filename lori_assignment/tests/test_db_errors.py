"""Database failures are answered 503 with `Retry-After`, and never as a success."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any
from unittest import TestCase, mock, skipUnless

import psycopg2
from django.conf import settings
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from django.utils import timezone

from books.stock import add_book
from lori_assignment import urls
from lori_assignment.db.errors import RETRY_LATER, RETRY_SOON, classify_error
from lori_assignment.db.timeouts import TIMEOUTS, set_timeouts
from lori_assignment.testing.cases import RaceTestCase
from lori_assignment.tests.test_settings import PRODUCTION
from lori_assignment.tests.test_transactions import StateIs
from rentals.models import Rental
from rentals.services import rent_book
from rentals.tests.test_races import has_row_locks


def failing(request: HttpRequest) -> HttpResponse:
    raise StateIs.raised("57P01")


urlpatterns = [*urls.urlpatterns, path("failing/", failing), path("api/failing/", failing)]
handler500 = urls.handler500


def told(kind: type[Exception], cause: Exception | None = None) -> Exception:
    error = kind("told so")
    error.__cause__ = cause
    return error


class ClassificationTest(TestCase):
    def test_sqlstates_have_a_retry_time(self) -> None:
        for states, seconds in (
            (("40P01", "40001", "55P03", "57014"), RETRY_SOON),
            (
                ("25006", "25P03", "53100", "53200", "53300", "57P01", "57P02", "57P03", "08006", "58030"),
                RETRY_LATER,
            ),
        ):
            for state in states:
                with self.subTest(state):
                    fault = classify_error(StateIs.raised(state))
                    self.assertIsNotNone(fault)
                    assert fault
                    self.assertEqual((fault.name, fault.retry_after), (state, seconds))

    def test_programming_errors_are_bugs(self) -> None:
        for state in ("23505", "22001", "42P01", "42601", "25P02", "XX000"):
            with self.subTest(state):
                self.assertIsNone(classify_error(StateIs.raised(state)))
        for error in (ZeroDivisionError(), told(ProgrammingError), None):
            self.assertIsNone(classify_error(error))

    def test_lost_connection_is_unavailable(self) -> None:
        for error in (
            told(OperationalError, psycopg2.OperationalError("server closed the connection unexpectedly")),
            told(InterfaceError, psycopg2.InterfaceError("connection already closed")),
            told(DatabaseError, psycopg2.DatabaseError("error with status PGRES_TUPLES_OK")),
        ):
            fault = classify_error(error)
            self.assertEqual(fault and fault.retry_after, RETRY_LATER)

    def test_full_disk_is_unavailable(self) -> None:
        for number in (errno.ENOSPC, errno.EDQUOT):
            fault = classify_error(OSError(number, "full"))
            self.assertEqual(fault and (fault.kind, fault.retry_after), ("File", RETRY_LATER))
        self.assertIsNone(classify_error(OSError(errno.ENOENT, "missing")))
        self.assertIsNone(classify_error(OSError("the bucket can't be used")))

    def test_sqlite_codes_have_a_retry_time(self) -> None:
        for code, seconds in (
            (sqlite3.SQLITE_BUSY, RETRY_SOON),
            (sqlite3.SQLITE_BUSY_SNAPSHOT, RETRY_SOON),
            (sqlite3.SQLITE_LOCKED, RETRY_SOON),
            (sqlite3.SQLITE_READONLY, RETRY_LATER),
            (sqlite3.SQLITE_FULL, RETRY_LATER),
            (sqlite3.SQLITE_IOERR_WRITE, RETRY_LATER),
            (sqlite3.SQLITE_ERROR, None),
            (sqlite3.SQLITE_CONSTRAINT, None),
        ):
            with self.subTest(code):
                cause = sqlite3.OperationalError("told so")
                cause.sqlite_errorcode, cause.sqlite_errorname = code, "NAME"
                fault = classify_error(told(OperationalError, cause))
                self.assertEqual(fault and fault.retry_after, seconds)
        # An error that Python's sqlite3 module raises itself has no code.
        self.assertIsNone(classify_error(told(InterfaceError, sqlite3.InterfaceError("bad parameter"))))


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_db_errors")
class UnavailableResponseTest(RaceTestCase):
    def quiet(self) -> Client:
        return Client(raise_request_exception=False)

    def assert_told(self, answer: Any, *, seconds: str = "5") -> None:
        self.assertEqual((answer.status_code, answer.headers["Retry-After"]), (503, seconds))

    def test_page_shows_503_without_a_query(self) -> None:
        client = self.quiet()
        client.force_login(self.alice)
        logs = self.assertLogs("lori_assignment.db.errors", "WARNING")
        with logs as logged, self.assertNoLogs("django.request"):
            answer = client.get("/failing/")
        self.assert_told(answer)
        self.assertContains(answer, "Temporarily unavailable", status_code=503)
        self.assertNotContains(answer, "Alice", status_code=503)
        self.assertEqual(len(logged.output), 1)
        self.assertIn("Database error (57P01): GET /failing/", logged.output[0])
        with self.assertLogs("lori_assignment.db.errors", "WARNING"):
            answer = client.get("/failing/", headers={"Accept-Language": "de"})
        self.assertContains(answer, "Vorübergehend nicht verfügbar", status_code=503)

    def test_api_answers_503_in_both_formats(self) -> None:
        seen = mock.patch("books.api.views.BookViewSet.get_queryset", side_effect=StateIs.raised("57P01"))
        for address in ("/api/failing/", "/api/v3/books/"):
            with self.subTest(address), self.assertLogs("lori_assignment.db.errors"), seen:
                answer = self.quiet().get(address)
                self.assert_told(answer)
                self.assertEqual(answer.headers["Content-Type"], "application/json")
                self.assertEqual(set(answer.json()), {"detail", "code"})
                self.assertEqual(answer.json()["code"], "unavailable")
                answer = self.quiet().get(address, headers={"Accept": "application/problem+json"})
                self.assert_told(answer)
                self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
                self.assertEqual(
                    (answer.json()["status"], answer.json()["code"], answer.json()["title"]),
                    (503, "unavailable", "Service Unavailable"),
                )

    def test_without_the_check_both_are_500(self) -> None:
        for module in ("rest.exception_handler", "http.error_handlers"):
            patched = mock.patch(f"lori_assignment.{module}.classify_error", return_value=None)
            patched.start()
            self.addCleanup(patched.stop)
        for address in ("/failing/", "/api/failing/"):
            with self.assertLogs("django.request", "ERROR"):
                self.assertEqual(self.quiet().get(address).status_code, 500)

    def test_middleware_errors_are_503(self) -> None:
        client = self.quiet()
        client.force_login(self.alice)
        gone = mock.patch("accounts.session_store.SessionStore.load", side_effect=OperationalError)
        for address in ("/home", "/rentals/"):
            with self.subTest(address), gone, self.assertLogs("lori_assignment.db.errors"):
                self.assert_told(client.get(address))

    def post(self, **headers: str) -> Any:
        client = self.api(self.alice)
        client.raise_request_exception = False
        with self.assertLogs("lori_assignment.db.errors"):
            return client.post("/api/v3/book_rentals/", {"book": self.book.pk}, headers=headers)

    def while_locked(self, call: Callable[[], Any]) -> Any:
        """Return the answer to `call` while another connection holds the lock on alice."""
        self.book = add_book(name="Emma", kind=3)
        holds, over = threading.Event(), threading.Event()

        def hold() -> None:
            with connection.cursor() as cursor:
                cursor.execute("BEGIN IMMEDIATE" if connection.vendor == "sqlite" else "BEGIN")
                cursor.execute("UPDATE accounts_user SET name = 'held' WHERE id = %s", [self.alice.pk])
                holds.set()
                over.wait(timeout=30)
                cursor.execute("ROLLBACK")

        def waiting() -> Any:
            holds.wait(timeout=10)
            try:
                return call()
            finally:
                over.set()

        outcomes = self.run_concurrently(hold, waiting)
        self.assertFalse(Rental.objects.exists())
        return outcomes[1]

    def limited(self, **limits: str) -> Any:
        """Give new connections these limits within the context."""
        facts = {**connection.settings_dict, "OPTIONS": dict(connection.settings_dict["OPTIONS"])}
        with mock.patch("lori_assignment.db.timeouts.TIMEOUTS", limits):
            set_timeouts(facts)
        return mock.patch.dict(connections.settings["default"], {"OPTIONS": facts["OPTIONS"]})

    @has_row_locks
    def test_lock_or_statement_timeout_is_503(self) -> None:
        for name in ("lock_timeout", "statement_timeout"):
            for headers in ({}, {"Idempotency-Key": "one"}):
                with self.subTest(name, headers=headers), self.limited(**{name: "300ms"}):
                    self.assert_told(self.while_locked(lambda sent=headers: self.post(**sent)), seconds="1")

    @skipUnless(connection.vendor == "sqlite", "PostgreSQL locks rows.")
    def test_sqlite_lock_timeout_is_503(self) -> None:
        options = connections.settings["default"]["OPTIONS"]
        with mock.patch.dict(options, {"timeout": 0.2}):
            self.assert_told(self.while_locked(self.post), seconds="1")

    @has_row_locks
    def test_read_only_error_closes_the_connection(self) -> None:
        self.book = add_book(name="Emma", kind=3)
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only TO on")
        self.assert_told(self.post())
        self.assertIsNone(connection.connection)
        self.assertEqual(
            self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.book.pk}).status_code, 201
        )

    @has_row_locks
    def test_terminated_connection_is_503(self) -> None:
        self.book = add_book(name="Emma", kind=3)
        for headers in ({}, {"Idempotency-Key": "one"}):
            with self.subTest(headers), mock.patch("rentals.services.refuse", self.end_connection):
                self.assert_told(self.post(**headers))
            self.assertFalse(Rental.objects.exists())
        now = timezone.now()
        rent_book(member=self.alice, book=self.book, at=now, now=now)

    def end_connection(self, reasons: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    @has_row_locks
    def test_connection_limit_is_503(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            (name,) = cursor.fetchone()
            cursor.execute("CREATE ROLE crowd LOGIN")
            cursor.execute(f'GRANT ALL ON DATABASE "{name}" TO crowd')
            cursor.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
        connection.close()
        try:
            as_crowd = mock.patch.dict(connections.settings["default"], {"USER": "crowd"})
            with as_crowd, self.assertLogs("lori_assignment.db.errors"):
                self.assert_told(self.quiet().get("/api/v3/books/"))
        finally:
            connection.close()
            with connection.cursor() as cursor:
                cursor.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
                cursor.execute(f'REVOKE ALL ON DATABASE "{name}" FROM crowd')
                cursor.execute("DROP ROLE crowd")


class TimeoutTest(TestCase):
    """The server has timeouts; a command has none."""

    def options(self, imported: str, **environment: str) -> str:
        code = (
            "import environ; environ.Env.read_env = lambda *a, **k: None\n"
            f"{imported}\n"
            "from django.db import connections\n"
            "from threading import Thread\n"
            "def tell(): print(connections['default'].get_connection_params().get('options'))\n"
            "thread = Thread(target=tell); thread.start(); thread.join(); tell()\n"
        )
        done = subprocess.run(  # noqa: S603  # Our own interpreter and code.
            [sys.executable, "-c", code],
            cwd=settings.BASE_DIR,
            env={"PATH": os.environ["PATH"]} | PRODUCTION | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stderr, "")
        of_thread, of_main = done.stdout.splitlines()
        self.assertEqual(of_thread, of_main)
        return of_main

    def test_server_connections_have_timeouts(self) -> None:
        said = "-c lock_timeout=5s -c statement_timeout=15s -c idle_in_transaction_session_timeout=30s"
        there = {"DATABASE_URL": "postgres://lori@127.0.0.1/lori"}
        self.assertEqual(self.options("import lori_assignment.wsgi", **there), said)
        there["DATABASE_URL"] += "?options=-c%20lock_timeout=9s"
        self.assertEqual(self.options("import lori_assignment.wsgi", **there), f"{said} -c lock_timeout=9s")
        self.assertEqual(
            self.options("import lori_assignment.wsgi", DATABASE_URL="sqlite:////dev/shm/none"), "None"
        )

    def test_commands_have_no_timeouts(self) -> None:
        loaded = (
            "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'lori_assignment.settings';"
            "django.setup()"
        )
        self.assertEqual(self.options(loaded, DATABASE_URL="postgres://lori@127.0.0.1/lori"), "None")

    @has_row_locks
    def test_postgresql_resets_to_the_timeouts(self) -> None:
        served = connection.copy()
        served.settings_dict["OPTIONS"] = dict(served.settings_dict["OPTIONS"])
        set_timeouts(served.settings_dict)
        self.addCleanup(served.close)
        with served.cursor() as cursor:
            for name, limit in TIMEOUTS.items():
                cursor.execute(f"SET {name} TO '1s'")
                cursor.execute(f"SET {name} TO DEFAULT")
                cursor.execute(f"SHOW {name}")
                self.assertEqual(cursor.fetchone(), (limit,))

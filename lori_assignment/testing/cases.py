"""The cast of the tests: who they are is the same in every one.

Alice rents. Bob rents too, and is the stranger to everything that is Alice's. Carol runs the
counter. Dan runs everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection, connections
from django.test import TestCase, TransactionTestCase
from rest_framework.test import APIClient

from accounts.models import User

PASSWORD = "the-fourth-chapter"


class CastMixin:
    """Mixed into the test cases, which call `create_users`."""

    alice: User
    bob: User
    carol: User
    dan: User

    def api(self, user: User | None = None) -> APIClient:
        """A client of the API, signed in as `user` without the way through a token."""
        client = APIClient()
        if user is not None:
            client.force_authenticate(user)
        return client


def create_users(case: Any) -> None:
    """Make the cast's accounts and put them on a test case or its class."""
    case.alice = User.objects.create_user("alice", "alice@example.org", PASSWORD, name="Alice Moss")
    case.bob = User.objects.create_user("bob", "bob@example.org", PASSWORD, name="Bob Reed")
    case.carol = User.objects.create_user("carol", "carol@example.org", PASSWORD, is_staff=True)
    case.dan = User.objects.create_superuser("dan", "dan@example.org", PASSWORD)


class CastTestCase(CastMixin, TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        create_users(cls)


class CommittedDataMixin(CastMixin):
    """Mixed into the TransactionTestCases: everything is really committed, and other connections see it."""

    # What the migrations filled in (price lists, policy) comes back after each test.
    serialized_rollback = True

    def setUp(self) -> None:
        create_users(self)

    def _fixture_teardown(self) -> None:
        # Emptying the tables is a DELETE on SQLite, which the ledger's trigger refuses, as it should.
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
                triggers = cursor.fetchall()
                for name, _ in triggers:
                    cursor.execute(f"DROP TRIGGER {name}")
            super()._fixture_teardown()  # type: ignore[misc]  # the stubs leave it out
            with connection.cursor() as cursor:
                for _, definition in triggers:
                    cursor.execute(definition)
        else:
            super()._fixture_teardown()  # type: ignore[misc]  # the stubs leave it out


class RaceTestCase(CommittedDataMixin, TransactionTestCase):
    """For what several connections do at once."""

    def run_concurrently(self, *calls: Callable[[], Any]) -> list[Any]:
        """Run `calls` in a thread each, started together; what each returned, or the exception."""
        outcomes: list[Any] = [None] * len(calls)
        line = threading.Barrier(len(calls))

        def run(number: int) -> None:
            try:
                line.wait(timeout=30)
                outcomes[number] = calls[number]()
            except Exception as error:  # noqa: BLE001  # The test looks at what came out.
                outcomes[number] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        return outcomes

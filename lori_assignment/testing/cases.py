"""Base classes for tests, with the same cast in every test.

Alice and Bob are members; Bob has no access to anything of Alice's. Carol is staff. Dan is a superuser.
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
    """Declares the cast. The test cases call `create_users`."""

    alice: User
    bob: User
    carol: User
    dan: User

    def api(self, user: User | None = None) -> APIClient:
        """Return a client of the API, authenticated as `user` without a token."""
        client = APIClient()
        if user is not None:
            client.force_authenticate(user)
        return client


def create_users(case: Any) -> None:
    """Create the cast's accounts as attributes of a test case or its class."""
    case.alice = User.objects.create_user("alice", "alice@example.org", PASSWORD, name="Alice Moss")
    case.bob = User.objects.create_user("bob", "bob@example.org", PASSWORD, name="Bob Reed")
    case.carol = User.objects.create_user("carol", "carol@example.org", PASSWORD, is_staff=True)
    case.dan = User.objects.create_superuser("dan", "dan@example.org", PASSWORD)


class CastTestCase(CastMixin, TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        create_users(cls)


class CommittedDataMixin(CastMixin):
    """For a TransactionTestCase: the data is committed, so that other connections see it."""

    # Restores the data of the migrations (price lists, policy) after each test.
    serialized_rollback = True

    def setUp(self) -> None:
        create_users(self)

    def _fixture_teardown(self) -> None:
        # SQLite's tables are emptied by a DELETE, which the ledger's trigger rightly refuses.
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
    """For tests with several connections at once."""

    def run_concurrently(self, *calls: Callable[[], Any]) -> list[Any]:
        """Run each call in a thread, started together; return what each returned or raised."""
        outcomes: list[Any] = [None] * len(calls)
        line = threading.Barrier(len(calls))

        def run(number: int) -> None:
            try:
                line.wait(timeout=30)
                outcomes[number] = calls[number]()
            except Exception as error:  # noqa: BLE001  # The test checks the outcome.
                outcomes[number] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        return outcomes

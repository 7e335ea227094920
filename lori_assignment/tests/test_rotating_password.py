"""The database's password is read from a secret, and read again when it has changed.

`checks/aws-check` tests this with a real PostgreSQL server and a fake AWS.
"""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

from django.db import OperationalError as DatabaseUnreachable
from django.db import connections
from django.test import SimpleTestCase
from psycopg2 import OperationalError

from lori_assignment.aws.secrets import SecretUnreadable
from lori_assignment.db.backends.rotating_password import base
from lori_assignment.db.backends.rotating_password.base import DatabaseWrapper

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:database-AbCdEf"


class Server:
    """The server's password and the one in the secret, which differ during a rotation."""

    def __init__(self) -> None:
        self.password = self.held = "first"
        self.reads = 0
        self.tries: list[str] = []
        self.down = self.sealed = False
        # Makes all threads that are refused wait for each other.
        self.line: threading.Barrier | None = None

    def rotate(self, password: str) -> None:
        self.password = self.held = password

    def read_secret(self, arn: str) -> dict[str, str]:
        self.reads += 1
        if self.sealed:
            raise SecretUnreadable("AccessDeniedException")
        return {"username": "lori", "password": self.held}

    def connect(self, **given: Any) -> mock.Mock:
        self.tries.append(given["password"])
        if self.down:
            raise OperationalError('connection to server at "10.0.0.9", port 5432 failed: Connection refused')
        if (given["user"], given["password"]) != ("lori", self.password):
            if self.line:
                self.line.wait(timeout=10)
            raise OperationalError('FATAL:  password authentication failed for user "lori"')
        return mock.Mock()


class RotationTest(SimpleTestCase):
    def setUp(self) -> None:
        self.server = Server()
        base.credentials_for.cache_clear()
        self.addCleanup(base.credentials_for.cache_clear)
        connect = mock.patch("django.db.backends.postgresql.base.Database.connect", self.server.connect)
        jsonb = mock.patch("psycopg2.extras.register_default_jsonb")
        for patch in (mock.patch.object(base, "read_secret", self.server.read_secret), connect, jsonb):
            patch.start()
            self.addCleanup(patch.stop)

    def connect(self) -> Any:
        facts = {
            "ENGINE": "lori_assignment.db.backends.rotating_password",
            "NAME": "shop",
            "USER": "",
            "PASSWORD": "",
            "SECRET_ARN": ARN,
        }
        wrapper = DatabaseWrapper(
            {**connections["default"].settings_dict, **facts, "OPTIONS": {}}, "elsewhere"
        )
        with wrapper.wrap_database_errors:
            return wrapper.get_new_connection(wrapper.get_connection_params())

    def test_secret_is_read_once(self) -> None:
        for _ in range(3):
            self.connect()
        self.assertEqual((self.server.reads, self.server.tries), (1, ["first"] * 3))

    def test_refused_password_is_read_again(self) -> None:
        self.connect()
        self.server.rotate("second")
        with self.assertLogs("lori_assignment.db.backends.rotating_password.base", "INFO") as told:
            self.connect()
        self.connect()
        self.assertEqual((self.server.reads, self.server.tries), (2, ["first", "first", "second", "second"]))
        self.assertNotIn("second", "".join(told.output))

    def test_second_refusal_is_raised(self) -> None:
        self.connect()
        self.server.password = "not yet in the secret"
        with self.assertRaises(DatabaseUnreachable):
            self.connect()
        self.assertEqual((self.server.reads, self.server.tries), (2, ["first", "first"]))
        self.server.held = "wrong too"
        with self.assertRaises(DatabaseUnreachable):
            self.connect()
        self.assertEqual((self.server.reads, self.server.tries[2:]), (3, ["first", "wrong too"]))
        # As soon as the secret has the new password, connections succeed.
        self.server.held = self.server.password
        self.connect()

    def test_unreachable_database_reads_no_secret(self) -> None:
        self.connect()
        self.server.down = True
        with self.assertRaises(DatabaseUnreachable):
            self.connect()
        self.assertEqual((self.server.reads, len(self.server.tries)), (1, 2))

    def test_unreadable_secret_means_unreachable(self) -> None:
        self.server.sealed = True
        with self.assertRaisesMessage(DatabaseUnreachable, "DATABASE_SECRET_ARN can't be read: AccessDenied"):
            self.connect()
        self.server.sealed = False
        self.connect()
        with (
            mock.patch.object(base, "read_secret", return_value={"username": "lori"}),
            self.assertRaisesMessage(DatabaseUnreachable, "it has no password"),
        ):
            self.server.rotate("second")
            self.connect()

    def test_concurrent_refusals_read_the_secret_once(self) -> None:
        self.connect()
        self.server.rotate("second")
        self.server.line, failed = threading.Barrier(8), []

        def run() -> None:
            try:
                self.connect()
            except Exception as error:  # noqa: BLE001  # The test looks at what came out.
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        self.assertEqual((failed, self.server.reads), ([], 2))

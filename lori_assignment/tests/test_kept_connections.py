"""A connection that the server has closed is detected without a query."""

from __future__ import annotations

from unittest import mock, skipUnless

from django.db import OperationalError, connection

from accounts.models import User
from lori_assignment.db.backends.postgresql.base import DatabaseWrapper
from lori_assignment.testing.cases import RaceTestCase


@skipUnless(connection.vendor == "postgresql", "SQLite has no server")
class KeptConnectionTest(RaceTestCase):
    def setUp(self) -> None:
        super().setUp()
        connection.ensure_connection()
        connection.health_check_enabled = True
        connection.health_check_done = False
        self.addCleanup(connection.close)

    def end_it(self) -> None:
        other = connection.copy("other")
        self.addCleanup(other.close)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
            # Gives the message that closes the connection time to arrive.
            cursor.execute("SELECT pg_sleep(0.2)")

    def test_healthy_connection_needs_no_query(self) -> None:
        with mock.patch("django.db.backends.postgresql.base.DatabaseWrapper.is_usable") as asked:
            self.assertEqual(User.objects.count(), 4)
        asked.assert_not_called()

    def test_ended_connection_is_reopened_before_a_query(self) -> None:
        self.end_it()
        self.assertEqual(User.objects.count(), 4)

    def test_without_the_check_the_query_fails(self) -> None:
        """Shows that the check is necessary."""
        self.end_it()
        with (
            mock.patch.object(DatabaseWrapper, "is_usable", return_value=True),
            self.assertRaises(OperationalError),
        ):
            User.objects.count()

    def test_connection_with_a_notice_is_checked_and_kept(self) -> None:
        before = connection.connection
        with mock.patch("select.poll") as poll:
            poll.return_value.poll.return_value = [(1, 1)]
            self.assertTrue(connection.is_usable())
        self.assertIs(connection.connection, before)

    def test_closed_connection_is_not_usable(self) -> None:
        connection.connection.close()
        self.assertFalse(connection.is_usable())

"""Several `migrate` commands at once take turns."""

from __future__ import annotations

import io
import threading
import time
from unittest import skipUnless
from unittest.mock import patch

from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from django.db.migrations.recorder import MigrationRecorder

from lori_assignment.management.commands import migrate
from lori_assignment.testing.cases import RaceTestCase


class MigrateTest(RaceTestCase):
    def test_no_migration_changes_nothing(self) -> None:
        call_command("migrate", verbosity=0)
        call_command("migrate", check_unapplied=True, verbosity=0)

    def test_if_needed_takes_no_lock_when_up_to_date(self) -> None:
        told = io.StringIO()
        with patch.object(migrate, "migration_lock", side_effect=AssertionError("It took a turn.")):
            call_command("migrate", if_needed=True, stdout=told)
            call_command("migrate", check_unapplied=True, verbosity=0)
        self.assertEqual(told.getvalue(), "No migrations to apply.\n")

    def test_if_needed_migrates_when_needed(self) -> None:
        last = MigrationRecorder(connection).migration_qs.filter(app="rentals").latest("id")
        last.delete()
        self.addCleanup(MigrationRecorder(connection).record_applied, "rentals", last.name)
        self.assertTrue(migrate.has_unapplied_migrations("default"))
        with (
            patch.object(migrate, "migration_lock", side_effect=CommandError("It took a turn.")),
            self.assertRaisesMessage(CommandError, "It took a turn."),
        ):
            call_command("migrate", if_needed=True, verbosity=0)

    def test_unreachable_database_is_an_error(self) -> None:
        for options in ({}, {"if_needed": True}, {"check_unapplied": True}):
            with (
                self.subTest(options=options),
                patch.object(connection, "ensure_connection", side_effect=OperationalError("no route\n")),
                self.assertRaisesMessage(CommandError, "Can't connect to the database: no route"),
            ):
                call_command("migrate", verbosity=0, **options)

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_second_run_waits_for_the_first(self) -> None:
        inside, seen = threading.Event(), []

        def first() -> None:
            with migrate.migration_lock("default"):
                inside.set()
                time.sleep(0.5)
                seen.append("first")

        def second() -> None:
            inside.wait(timeout=10)
            with migrate.migration_lock("default"):
                seen.append("second")

        self.run_concurrently(first, second)
        self.assertEqual(seen, ["first", "second"])

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_waiting_times_out(self) -> None:
        inside, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with migrate.migration_lock("default"):
                inside.set()
                leave.wait(timeout=10)
            connections.close_all()

        holder = threading.Thread(target=hold)
        holder.start()
        inside.wait(timeout=10)
        self.addCleanup(holder.join)
        self.addCleanup(leave.set)
        patience, migrate.TIMEOUT = migrate.TIMEOUT, "100ms"
        self.addCleanup(setattr, migrate, "TIMEOUT", patience)
        with self.assertRaisesMessage(CommandError, "Another migration has been running"):
            call_command("migrate", verbosity=0)

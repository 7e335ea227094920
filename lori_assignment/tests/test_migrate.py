"""`migrate` by several at once: they take turns."""

from __future__ import annotations

import threading
import time
from unittest import skipUnless

from django.core.management import CommandError, call_command
from django.db import connection, connections

from lori_assignment.cast import RaceTestCase
from lori_assignment.management.commands import migrate


class MigrateTest(RaceTestCase):
    def test_with_nothing_to_do_it_does_nothing(self) -> None:
        call_command("migrate", verbosity=0)
        call_command("migrate", check_unapplied=True, verbosity=0)

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_one_waits_for_the_other(self) -> None:
        inside, seen = threading.Event(), []

        def first() -> None:
            with migrate.turn("default"):
                inside.set()
                time.sleep(0.5)
                seen.append("first")

        def second() -> None:
            inside.wait(timeout=10)
            with migrate.turn("default"):
                seen.append("second")

        self.all_at_once(first, second)
        self.assertEqual(seen, ["first", "second"])

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_it_does_not_wait_forever(self) -> None:
        inside, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with migrate.turn("default"):
                inside.set()
                leave.wait(timeout=10)
            connections.close_all()

        holder = threading.Thread(target=hold)
        holder.start()
        inside.wait(timeout=10)
        self.addCleanup(holder.join)
        self.addCleanup(leave.set)
        patience, migrate.LONGEST_WAIT = migrate.LONGEST_WAIT, "100ms"
        self.addCleanup(setattr, migrate, "LONGEST_WAIT", patience)
        with self.assertRaisesMessage(CommandError, "Another migration has been running"):
            call_command("migrate", verbosity=0)

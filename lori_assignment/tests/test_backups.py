"""`backup` and `restore` restore the whole shop or nothing."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock, skipUnless

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.utils import timezone

from books.models import Book
from books.stock import add_book
from lori_assignment.db import backups
from lori_assignment.testing.cases import RaceTestCase
from rentals import holds, ledger, services
from rentals.models import Hold, LedgerEntry, Policy, Rental

only_postgresql = skipUnless(connection.vendor == "postgresql", "SQLite is written without another's tools.")

# Constraints are compared by name, because a check constraint is written differently after a restore.
OBJECTS = {
    "postgresql": """
        SELECT 'constraint', conname::text, contype::text FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'index', indexname::text, tablename::text FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'trigger', tgname::text, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal
        UNION ALL SELECT 'sequence', sequencename::text, last_value::text FROM pg_sequences
        UNION ALL SELECT 'extension', extname::text, '' FROM pg_extension
    """,
    "sqlite": "SELECT type, name, sql FROM sqlite_master",
}


def contents() -> dict[str, list[str]]:
    """Return every row of every table, and under "" all constraints, indexes, triggers and sequences."""
    with connection.cursor() as cursor:
        cursor.execute(OBJECTS[connection.vendor])
        found = {"": sorted(map(repr, cursor.fetchall()))}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608  # its own name
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


def run(command: str, *words: Any) -> str:
    printed = io.StringIO()
    call_command(command, *map(str, words), stdout=printed)
    return printed.getvalue()


class BackupTestCase(RaceTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="lori-backup-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "shop.backup"

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Switch to an empty database, which is deleted afterwards."""
        settings = connection.settings_dict
        ours = settings["NAME"]
        name = (
            f"{ours}_restored" if connection.vendor == "postgresql" else str(self.folder / "restored.sqlite3")
        )
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {name}")
                cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        settings["NAME"] = name
        try:
            yield
        finally:
            connection.close()
            settings["NAME"] = ours
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"DROP DATABASE {name}")

    def assert_empty(self) -> None:
        self.assertEqual(connection.introspection.table_names(), [])


class RoundTripTest(BackupTestCase):
    def rent(self, book: Book, **facts: Any) -> Rental:
        now = timezone.now()
        return services.rent_book(**{"member": self.alice, "book": book, "at": now, "now": now} | facts)

    def play(self) -> Rental:
        """Create a returned and paid rental, an open one and a hold, with characters of many languages."""
        now = timezone.now()
        emma = add_book(name="Emma — “ünïcode” \N{GRINNING FACE}, line\nbreak, \\N and 'quotes'", kind=3)
        back = self.rent(emma)
        now = timezone.now()
        services.return_rental(rental=back, at=now, actor=self.carol, now=now)
        ledger.take_payment(
            member=self.alice,
            amount=ledger.posted_balance(self.alice),
            method=LedgerEntry.Method.CARD,
            actor=self.carol,
            at=now,
        )
        out = self.rent(emma)
        holds.place_hold(member=self.bob, book=emma, at=now)
        return out

    def test_restored_shop_is_complete(self) -> None:
        out = self.play()
        before = contents()
        self.assertGreater(len(before["rentals_ledgerentry"]), 1)
        self.assertIn("shop.backup", run("backup", self.file))
        with self.elsewhere():
            self.assertIn("check_books", run("restore", self.file))
            self.assertEqual(contents(), before)
            self.assertEqual(run("migrate", "--check", "--verbosity=0"), "")
            self.assertEqual(run("check_books"), "")

            # Sequences continue, constraints hold, and the search finds words.
            last = Rental.objects.latest("ref").ref
            persuasion = add_book(name="Persuasion", kind=3)
            rental = self.rent(persuasion)
            self.assertGreater(rental.ref, last)
            now = timezone.now()
            services.return_rental(rental=out, at=now, actor=self.carol, now=now)
            self.assertIsNotNone(Hold.objects.get().copy)
            self.assertEqual(run("check_books"), "")
            with self.assertRaisesMessage(IntegrityError, "A ledger entry is final"):
                LedgerEntry.objects.update(note="other")
            found = self.api().get("/api/v3/books/", {"search": "persuasion"}).json()["results"]
            self.assertEqual([book["id"] for book in found], [persuasion.pk])
        # None of that has changed the original database.
        self.assertEqual(contents(), before)

    def test_backup_is_readable_by_its_owner_only(self) -> None:
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        run("backup", self.file)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(list(self.folder.iterdir()), [self.file])


class RefusalTest(BackupTestCase):
    def assert_refused(self, words: str, command: str, *arguments: Any) -> None:
        with self.assertRaises(CommandError) as caught:
            run(command, *arguments)
        self.assertIn(words, str(caught.exception))

    def test_existing_backup_is_not_overwritten(self) -> None:
        self.file.write_text("last week's")
        self.assert_refused("already exists", "backup", self.file)
        self.assertEqual(self.file.read_text(), "last week's")

    def test_missing_folder_is_refused(self) -> None:
        self.assert_refused("can't be written: No such file", "backup", self.folder / "none" / "file")

    def test_failed_backup_leaves_no_file(self) -> None:
        def half(part: Any, *_: Any) -> None:
            Path(str(part).removeprefix("--file=")).write_bytes(b"half")
            raise CommandError("No space left.")

        with (
            mock.patch.object(backups, "_copy_sqlite", half),
            mock.patch.object(backups, "_run", lambda *words: half(words[-1])),
        ):
            self.assert_refused("No space left", "backup", self.file)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_restore_needs_an_empty_database(self) -> None:
        run("backup", self.file)
        before = contents()
        self.assert_refused("is not empty", "restore", self.file)
        self.assert_refused("accounts_", "restore", self.file)
        self.assertEqual(contents(), before)

    def cut(self) -> None:
        """Truncate the file after the tables and some of their rows."""
        self.file.write_bytes(self.file.read_bytes()[:-300])

    def test_truncated_backup_is_refused(self) -> None:
        run("backup", self.file)
        self.cut()
        with self.elsewhere():
            words = "is damaged" if connection.vendor == "sqlite" else "pg_restore: error: could not read"
            self.assert_refused(words, "restore", self.file)
            self.assert_empty()

    @skipUnless(connection.vendor == "sqlite", "PostgreSQL's tool looks at its files itself.")
    def test_backup_with_a_damaged_page_is_refused(self) -> None:
        run("backup", self.file)
        whole = bytearray(self.file.read_bytes())
        # After the first page, which identifies the file.
        whole[4096:8192] = bytes(4096)
        self.file.write_bytes(whole)
        with self.elsewhere():
            self.assert_refused("is damaged", "restore", self.file)
            self.assert_empty()

    @only_postgresql
    def test_without_a_transaction_part_is_restored(self) -> None:
        run("backup", self.file)
        self.cut()
        with self.elsewhere(), mock.patch.object(backups, "IN_ONE_TRANSACTION", ("--exit-on-error",)):
            self.assert_refused("pg_restore: error: could not read", "restore", self.file)
            self.assertNotEqual(connection.introspection.table_names(), [])

    def test_file_of_another_kind_is_refused(self) -> None:
        for beginning in (b"", b"PGDMP" if connection.vendor == "sqlite" else b"SQLite format 3\0", b"--\n"):
            self.file.write_bytes(beginning + bytes(100))
            with self.subTest(beginning=beginning), self.elsewhere():
                self.assert_refused("is not a backup of a", "restore", self.file)
                self.assert_empty()

    def test_missing_file_is_refused(self) -> None:
        self.assert_refused("can't be read: No such file", "restore", self.file)


@only_postgresql
class ToolsTest(BackupTestCase):
    def stand_in(self, version: int, words: str = "exit 1") -> None:
        """Make a fake pg_dump of this version the only one on this machine."""
        tool = self.folder / "bin" / "pg_dump"
        tool.parent.mkdir(exist_ok=True)
        named = f"echo 'pg_dump (PostgreSQL) {version}.1'"
        tool.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then {named}; else {words}; fi\n')
        tool.chmod(0o700)

    def only_these(self) -> Any:
        return mock.patch.multiple(
            backups, DEBIAN_TOOLS=self.folder, shutil=mock.Mock(which=lambda _: self.here())
        )

    def here(self) -> str | None:
        tool = self.folder / "bin" / "pg_dump"
        return str(tool) if tool.exists() else None

    def test_missing_tool_names_its_package(self) -> None:
        version = connection.pg_version // 10000
        wanted = f"Install Debian's postgresql-client-{version}"
        with self.only_these():
            with self.assertRaisesMessage(CommandError, wanted):
                run("backup", self.file)
            self.stand_in(version - 1)
            with self.assertRaisesMessage(CommandError, wanted):
                run("backup", self.file)
        self.assertFalse(self.file.exists())

    def test_tool_error_is_shown_without_rows(self) -> None:
        self.stand_in(
            99,
            "echo 'pg_dump: error: could not write' >&2; echo 'CONTEXT: alice@example.org' >&2; exit 1",
        )
        with self.only_these(), self.assertRaises(CommandError) as caught:
            run("backup", self.file)
        self.assertEqual(str(caught.exception), "pg_dump: error: could not write")
        self.assertFalse(self.file.exists())

    def test_password_is_not_on_the_command_line(self) -> None:
        self.stand_in(99, f'echo "$@" >{self.folder}/words; echo "$PGPASSWORD" >{self.folder}/password')
        connection.close()
        self.addCleanup(connection.close)
        with self.only_these(), mock.patch.dict(connection.settings_dict, PASSWORD="between-us"):
            run("backup", self.file)
        self.assertEqual((self.folder / "password").read_text().strip(), "between-us")
        self.assertNotIn("between-us", (self.folder / "words").read_text())


class CommandLineTest(BackupTestCase):
    def test_commands_run_as_a_process(self) -> None:
        """Run them by `manage.py`, with a database without any table."""
        run("backup", self.file)
        with self.elsewhere():
            info = connection.settings_dict
            address = (
                f"postgres://{info['USER']}:{info['PASSWORD']}@{info['HOST']}:{info['PORT']}/{info['NAME']}"
                if connection.vendor == "postgresql"
                else f"sqlite:///{info['NAME']}"
            )
            for command, said in (("restore", "Restored "), ("check_books", "")):
                words = [self.file] if command == "restore" else []
                done = subprocess.run(  # noqa: S603  # ours
                    [sys.executable, "manage.py", command, *words],
                    cwd=settings.BASE_DIR,
                    env=os.environ | {"DATABASE_URL": address, "DEBUG": "on"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(said, done.stdout)
            self.assertIsNotNone(Policy.current())

"""The database's files can be read by their owner only."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from django.db import connections
from django.test import SimpleTestCase, tag

from lori_assignment.db.backends.sqlite.base import DatabaseWrapper, keep_private


@tag("any_database")
class SQLiteFileTest(SimpleTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = self.folder / "shop.sqlite3"
        # As permissive as a server's can be.
        self.addCleanup(os.umask, os.umask(0))

    def connected(self, name: str | Path, mode: str = "WAL") -> DatabaseWrapper:
        facts = {
            **connections["default"].settings_dict,
            "NAME": str(name),
            "OPTIONS": {"init_command": f"PRAGMA journal_mode={mode};"},
        }
        wrapper = DatabaseWrapper(facts, "private")
        wrapper.connect()
        self.addCleanup(wrapper.connection.close)
        return wrapper

    def modes(self) -> dict[str, int]:
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}

    def test_new_files_are_private(self) -> None:
        wrapper = self.connected(self.file)
        wrapper.connection.execute("CREATE TABLE x (y)")
        self.assertEqual(
            self.modes(), {"shop.sqlite3": 0o600, "shop.sqlite3-wal": 0o600, "shop.sqlite3-shm": 0o600}
        )

    def test_existing_files_are_narrowed(self) -> None:
        with closing(sqlite3.connect(self.file)) as earlier:
            earlier.execute("PRAGMA journal_mode=WAL")
            earlier.execute("CREATE TABLE x (y)")
            self.assertEqual(set(self.modes().values()), {0o644})
            self.connected(self.file)
            self.assertEqual(set(self.modes().values()), {0o600})
            self.assertEqual(len(self.modes()), 3)

    def test_other_rights_of_the_owner_stay(self) -> None:
        self.file.touch(mode=0o444)
        keep_private(str(self.file))
        self.assertEqual(self.modes(), {"shop.sqlite3": 0o400})

    def test_folder_and_missing_folder_are_left(self) -> None:
        (self.folder / "a").mkdir()
        for name in (self.folder / "a", self.folder / "no" / "file"):
            keep_private(str(name))
        self.assertEqual(self.modes(), {"a": 0o777})

    def test_database_in_memory_has_no_file(self) -> None:
        self.connected(":memory:", "MEMORY")
        self.assertFalse(Path(":memory:").exists())

    def test_locks_of_other_connections_are_kept(self) -> None:
        """Opening and closing the file once more would release all locks that this process has on it."""
        writer = self.connected(self.file, "DELETE").connection
        writer.execute("CREATE TABLE x (y)")
        writer.execute("BEGIN EXCLUSIVE")
        keep_private(str(self.file))
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        done = subprocess.run(  # noqa: S603  # Our own interpreter and code.
            [sys.executable, "-c", code, self.file], capture_output=True, text=True, check=False
        )
        self.assertIn("database is locked", done.stderr)

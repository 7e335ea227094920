"""A SQLite backend whose file can be read by its owner only."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base

# SQLite gives the files that it creates next to the database the permissions of the database.
COMPANIONS = ("", "-wal", "-shm", "-journal")
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: Any) -> Any:
        name = str(conn_params["database"])
        if name != ":memory:" and not name.startswith("file:"):
            keep_private(name)
        return super().get_new_connection(conn_params)


def keep_private(name: str) -> None:
    """Create the file if it is missing, and take the rights of everybody but its owner away."""
    # Errors are left to SQLite, which reports what it cannot open. Files of somebody else cannot be changed.
    with suppress(OSError):
        # An existing file must not be opened here (O_EXCL): closing it would release the locks that SQLite
        # holds on it for other threads.
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for path in (Path(name + end) for end in COMPANIONS):
        with suppress(OSError):
            mode = path.stat().st_mode
            if stat.S_ISREG(mode) and mode & OTHERS:
                path.chmod(stat.S_IMODE(mode) & ~OTHERS)

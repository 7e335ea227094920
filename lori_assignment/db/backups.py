"""Backs up the whole database to one file and restores it, for `manage.py backup` and `restore`.

PostgreSQL uses pg_dump and pg_restore with their custom format, SQLite the library's own backup. Both take a
consistent snapshot while the shop is in use. Covers are files, or objects in a bucket, and are not included.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management import CommandError
from django.db import DatabaseError, connection
from psycopg2.extensions import make_dsn

# Debian's folder for the tools of each version of PostgreSQL; the first on PATH may be of another version.
DEBIAN_TOOLS = Path("/usr/lib/postgresql")
SIGNATURES = {"postgresql": b"PGDMP", "sqlite": b"SQLite format 3\0"}
# The user who restores a backup owns its objects.
WITHOUT_OWNER = ("--no-owner", "--no-privileges")
IN_ONE_TRANSACTION = ("--single-transaction", "--exit-on-error")
VENDOR_NAMES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def back_up(target: Path) -> None:
    """Write the database to `target`, completely or not at all, readable by its owner only.

    Raises CommandError with the reason, for example if `target` exists.
    """
    if target.exists():
        raise CommandError(f"{target} already exists.")
    try:
        # In the target's folder, so that the move is atomic. From the beginning only its owner may read it.
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as problem:
        raise CommandError(f"{target} can't be written: {problem.strerror}.") from None
    part = Path(name)
    try:
        os.close(handle)
        if connection.vendor == "postgresql":
            _run(
                "pg_dump",
                "--format=custom",
                "--no-owner",
                "--no-privileges",
                "--no-comments",
                f"--file={part}",
            )
        else:
            _copy_sqlite(part)
        _fsync(part)
        part.replace(target)
        _fsync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def restore(source: Path) -> None:
    """Restore a backup to an empty database, completely or not at all.

    Raises CommandError with the reason.
    """
    try:
        with source.open("rb") as file:
            beginning = file.read(16)
    except OSError as problem:
        raise CommandError(f"{source} can't be read: {problem.strerror}.") from None
    if not beginning.startswith(SIGNATURES[connection.vendor]):
        raise CommandError(f"{source} is not a backup of a {VENDOR_NAMES[connection.vendor]} database.")
    _refuse_unless_empty()
    if connection.vendor == "postgresql":
        _run("pg_restore", *IN_ONE_TRANSACTION, *WITHOUT_OWNER, str(source))
        with connection.cursor() as cursor:
            # A backup has no planner statistics, without which the first queries would be slow.
            cursor.execute("ANALYZE")
    else:
        _fill_sqlite(source)


def _refuse_unless_empty() -> None:
    with connection.cursor() as cursor:
        there = sorted(table.name for table in connection.introspection.get_table_list(cursor))
    if there:
        some = ", ".join(there[:5]) + (", …" if there[5:] else "")
        raise CommandError(
            f"The database {connection.settings_dict['NAME']} is not empty, and a backup is never "
            f"restored over data: "
            f"it has {len(there)} tables ({some}). Set DATABASE_URL to an empty database."
        )


def _fsync(path: Path) -> None:
    """Flush `path` to the disk, so that it survives a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _run(tool: str, *arguments: str) -> None:
    """Run a tool of PostgreSQL's on our database, with the password where no list of processes shows it."""
    connection.ensure_connection()
    info = connection.connection.info
    settings = {
        name: value
        for name, value in connection.get_connection_params().items()
        if isinstance(value, (str, int)) and name != "password"
    }
    address = make_dsn(**settings | {"user": info.user})
    password = {"PGPASSWORD": info.password} if info.password else {}
    done = subprocess.run(  # noqa: S603  # a tool of PostgreSQL's, found by its name
        [_tool(tool, connection.connection.server_version // 10000), f"--dbname={address}", *arguments],
        env=os.environ | password,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # Only the tool's own messages: the lines after them may quote rows.
        said = [line for line in done.stderr.splitlines() if line.startswith(f"{tool}: error: ")]
        raise CommandError("\n".join(said) or f"{tool} failed.")


def _tool(name: str, server: int) -> str:
    """Return the path of a tool in the server's version, or else in the next newer one that is installed.

    Raises CommandError if there is none.
    """
    found = {version: path for version, path in _versions(name) if version >= server}
    if not found:
        raise CommandError(
            f"The server runs PostgreSQL {server}, but {name} of that version is not installed here. "
            f"Install Debian's postgresql-client-{server}, or run this command where it is installed."
        )
    return found[min(found)]


def _versions(name: str) -> Iterator[tuple[int, str]]:
    for path in (*sorted(DEBIAN_TOOLS.glob(f"*/bin/{name}")), shutil.which(name)):
        if path:
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603  # as above
            if version := re.search(r"\(PostgreSQL\) (\d+)", told.stdout):
                yield int(version[1]), str(path)


def _copy_sqlite(target: Path) -> None:
    connection.ensure_connection()
    ours: sqlite3.Connection = connection.connection
    with closing(sqlite3.connect(target)) as copy:
        ours.backup(copy)
        # One file, without a write-ahead log next to it.
        copy.execute("PRAGMA journal_mode = DELETE")


def _refuse_unless_whole(source: Path) -> None:
    """Raise CommandError if a file is truncated.

    SQLite treats missing pages at the end as empty, and finds no error if nothing was stored in them.
    """
    with source.open("rb") as file:
        head = file.read(32)
    page, pages = int.from_bytes(head[16:18]), int.from_bytes(head[28:32])
    # 1 stands for 65,536, which does not fit into two bytes.
    if source.stat().st_size != (65_536 if page == 1 else page) * pages:
        raise CommandError(f"{source} is damaged: the file is incomplete.")


def _fill_sqlite(source: Path) -> None:
    _refuse_unless_whole(source)
    ours: Any = connection.connection
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as kept:
            (state,) = kept.execute("PRAGMA integrity_check(1)").fetchone()
            if state != "ok":
                raise CommandError(f"{source} is damaged: {state}.")
            # All pages in one transaction.
            kept.backup(ours)
    except (sqlite3.DatabaseError, DatabaseError) as problem:
        raise CommandError(f"{source} is damaged: {problem}.") from None
    # It still has the state of the empty database; the next connection is opened as in the settings.
    connection.close()

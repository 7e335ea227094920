"""The whole database as one file, and back again: what `manage.py backup` and `restore` do.

On PostgreSQL the server's own tools write and read their custom format, on SQLite the library's backup does.
Either is of one moment, while the shop goes on. Covers are files, or lie in a bucket: they are not in it.
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

# Where Debian has the tools of each version of PostgreSQL; the first on PATH may be of another.
DEBIAN_TOOLS = Path("/usr/lib/postgresql")
SIGNATURES = {"postgresql": b"PGDMP", "sqlite": b"SQLite format 3\0"}
# Whoever restores it owns it.
WITHOUT_OWNER = ("--no-owner", "--no-privileges")
IN_ONE_TRANSACTION = ("--single-transaction", "--exit-on-error")
VENDOR_NAMES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def back_up(target: Path) -> None:
    """Write the database to `target`, which is not there yet: complete, or not at all; for its owner only.

    Raises CommandError, which says in a sentence what is in the way.
    """
    if target.exists():
        raise CommandError(f"{target} is there already.")
    try:
        # Beside the target, so that the move is one step; nobody else may read it, from the beginning.
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as problem:
        raise CommandError(f"{target} cannot be written: {problem.strerror}.") from None
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
    """Fill an empty database with what `back_up` wrote to `source`: all of it, or nothing.

    Raises CommandError, which says in a sentence what is in the way.
    """
    try:
        with source.open("rb") as file:
            beginning = file.read(16)
    except OSError as problem:
        raise CommandError(f"{source} cannot be read: {problem.strerror}.") from None
    if not beginning.startswith(SIGNATURES[connection.vendor]):
        raise CommandError(f"{source} is no backup of a {VENDOR_NAMES[connection.vendor]} database.")
    _refuse_unless_empty()
    if connection.vendor == "postgresql":
        _run("pg_restore", *IN_ONE_TRANSACTION, *WITHOUT_OWNER, str(source))
        with connection.cursor() as cursor:
            # A backup has no statistics, without which the first searches would take long ways.
            cursor.execute("ANALYZE")
    else:
        _fill_sqlite(source)


def _refuse_unless_empty() -> None:
    with connection.cursor() as cursor:
        there = sorted(table.name for table in connection.introspection.get_table_list(cursor))
    if there:
        some = ", ".join(there[:5]) + (", …" if there[5:] else "")
        raise CommandError(
            f"The database {connection.settings_dict['NAME']} is not empty, and nothing is written over: "
            f"it has {len(there)} tables ({some}). Name a new one by DATABASE_URL."
        )


def _fsync(path: Path) -> None:
    """Returns when what was written there survives a failure of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _run(tool: str, *arguments: str) -> None:
    """One of PostgreSQL's tools, led to our database; its password is in no list of processes."""
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
        # Its own sentences; what follows them may be rows, which are nobody's business.
        said = [line for line in done.stderr.splitlines() if line.startswith(f"{tool}: error: ")]
        raise CommandError("\n".join(said) or f"{tool} failed.")


def _tool(name: str, server: int) -> str:
    """The path of a tool that fits the server: of its version, else of the next that is here and newer."""
    found = {version: path for version, path in _versions(name) if version >= server}
    if not found:
        raise CommandError(
            f"The server is PostgreSQL {server}, and no {name} of that version is on this machine: "
            f"install Debian's postgresql-client-{server}, or run this where it is."
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
        # One file, with no write-ahead log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")


def _refuse_unless_whole(source: Path) -> None:
    """SQLite takes what is missing at the end for empty, and finds no fault where nothing stood in it."""
    with source.open("rb") as file:
        head = file.read(32)
    page, pages = int.from_bytes(head[16:18]), int.from_bytes(head[28:32])
    # 65,536, which two bytes cannot say, is 1.
    if source.stat().st_size != (65_536 if page == 1 else page) * pages:
        raise CommandError(f"{source} is damaged: it is not as long as it says.")


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
    # What was known of the empty one; the next opens it as the settings say.
    connection.close()

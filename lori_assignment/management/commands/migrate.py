"""`migrate`, safe to be run by several at once: on PostgreSQL they take turns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

# Only this command takes it; any number that nobody else takes would do.
LOCK = 0x10121B00
LONGEST_WAIT = "5min"


@contextmanager
def turn(database: str) -> Iterator[None]:
    """Alone among those who migrate `database`. Raises CommandError after LONGEST_WAIT."""
    connection = connections[database]
    if connection.vendor != "postgresql":  # SQLite locks the whole database for each migration.
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LONGEST_WAIT])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        except OperationalError:
            raise CommandError(f"Another migration has been running for {LONGEST_WAIT}.") from None
        finally:
            cursor.execute("RESET lock_timeout")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with turn(options["database"]):
            super().handle(*args, **options)

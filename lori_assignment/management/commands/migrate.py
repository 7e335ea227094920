"""Django's `migrate`, which several processes may run at once: on PostgreSQL they take turns.

Afterwards it runs `adopt_currency`: the amounts that migrations create have no currency yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor

# The key of the advisory lock: an arbitrary number, used by this command only.
LOCK = 0x10121B00
TIMEOUT = "5min"


@contextmanager
def migration_lock(database: str) -> Iterator[None]:
    """Hold the lock for migrations of `database`. Raises CommandError if it is not free within TIMEOUT."""
    connection = connections[database]
    if connection.vendor != "postgresql":  # SQLite locks the whole database for each migration.
        yield
        return
    with connection.cursor() as cursor:
        # If the machine of the lock's holder vanishes, its connection ends while the others still wait.
        cursor.execute("SELECT set_config('tcp_keepalives_idle', '30', false)")
        cursor.execute("SELECT set_config('tcp_keepalives_interval', '10', false)")
        cursor.execute("SELECT set_config('tcp_keepalives_count', '3', false)")
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [TIMEOUT])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        except OperationalError:
            raise CommandError(f"Another migration has been running for {TIMEOUT}.") from None
        finally:
            cursor.execute("RESET lock_timeout")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def check_reachable(database: str) -> None:
    """Raise CommandError with the reason unless the database can be reached."""
    try:
        connections[database].ensure_connection()
    except OperationalError as problem:
        raise CommandError(f"Can't connect to the database: {str(problem).strip()}") from None


def has_unapplied_migrations(database: str) -> bool:
    """Whether `database` lacks a migration of this code; migrations newer than the code are ignored."""
    executor = MigrationExecutor(connections[database])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def brings_up_to_date(options: dict[str, Any]) -> bool:
    """Whether all migrations of the shop's database are applied after `migrate` with these options."""
    partly = ("app_label", "check_unapplied", "plan", "fake", "prune")
    return options["database"] == DEFAULT_DB_ALIAS and not any(options[option] for option in partly)


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--if-needed",
            action="store_true",
            help="If every migration is already applied, exit at once without waiting for others.",
        )

    def handle(self, *args: Any, if_needed: bool = False, **options: Any) -> None:
        database = options["database"]
        check_reachable(database)
        if options["check_unapplied"] or options["plan"]:  # Reading needs no lock.
            super().handle(*args, **options)
        elif if_needed and not has_unapplied_migrations(database):
            self.stdout.write("No migrations to apply.")
        else:
            with migration_lock(database):
                super().handle(*args, **options)
        if brings_up_to_date(options):
            call_command("adopt_currency", stdout=self.stdout)

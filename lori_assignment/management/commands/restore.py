"""Restores a backup to an empty database. See `lori_assignment.db.backups`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lori_assignment.db.backups import restore


class Command(BaseCommand):
    help = (
        "Restore a backup into an empty database. Restores everything, or nothing if something goes "
        "wrong. PostgreSQL needs pg_restore in the server's version."
    )
    # There are no tables yet that a check could query.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        restore(file)
        self.stdout.write(f"Restored {file}. Now run migrate to apply newer migrations, then check_books.")

"""Restores a backup to an empty database. See `lori_assignment.db.backups`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lori_assignment.db.backups import restore


class Command(BaseCommand):
    help = (
        "Fill an empty database with what backup wrote to FILE: all of it, or nothing when something is in "
        "the way. On PostgreSQL it wants pg_restore of the server's version."
    )
    # There are no tables yet that a check could query.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        restore(file)
        self.stdout.write(f"{file} is restored. Now run migrate, for what is newer than it, and check_books.")

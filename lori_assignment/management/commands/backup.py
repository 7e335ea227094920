"""Writes the whole database to a file. See `lori_assignment.db.backups`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lori_assignment.db.backups import back_up


class Command(BaseCommand):
    help = (
        "Write the whole database, as it is at this moment, to FILE, which only its owner may read and which "
        "appears when it is complete. On PostgreSQL it wants pg_dump of the server's version."
    )
    # A backup must be possible even if a check fails.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="Not there yet.")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        back_up(file)
        self.stdout.write(f"The database is in {file}, {file.stat().st_size:,} bytes.")

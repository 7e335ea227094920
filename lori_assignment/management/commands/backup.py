"""Writes the whole database to a file. See `lori_assignment.db.backups`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lori_assignment.db.backups import back_up


class Command(BaseCommand):
    help = (
        "Back up the whole database to FILE. Only the owner can read the file, and it appears once it is "
        "complete. PostgreSQL needs pg_dump in the server's version."
    )
    # A backup must be possible even if a check fails.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="A file that doesn't exist yet.")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        back_up(file)
        self.stdout.write(f"Backed up to {file} ({file.stat().st_size:,} bytes).")

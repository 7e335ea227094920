"""Creates and fills the databases to measure; an existing database is used again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg2

from benchmarks.size import Size

ROOT = Path(__file__).resolve().parent.parent


class Renter(NamedTuple):
    """A member without open rentals, and a book whose only copy is free."""

    member: int
    book: int
    copy: int


class Shop:
    """A database that is migrated and filled to `size`; created if it does not exist."""

    def __init__(self, server: str, size: Size, *, environ: dict[str, str], catalogue: str | None) -> None:
        self.size = size
        parts = urlsplit(server)
        self.name = f"shop_{size.books}_{size.rentals}_{size.renters}_{size.many}"
        self.address = parts._replace(path=f"/{self.name}").geturl()
        self.environ = {**environ, "DATABASE_URL": self.address}
        connection = psycopg2.connect(server)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.name])
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {self.name}")
        connection.close()
        self._python("manage.py", "migrate", "--no-input", "--verbosity", "0")
        self.connection = psycopg2.connect(self.address)
        self.connection.autocommit = True
        if not self.ask("SELECT EXISTS (SELECT FROM books_book)")[0][0]:
            begun = time.monotonic()
            print(f"Filling {self.name} …", file=sys.stderr)
            wanted = [f"--{name}={number}" for name, number in size._asdict().items()]
            self._python(
                "-m", "benchmarks.fill", *wanted, *([f"--catalogue={catalogue}"] if catalogue else [])
            )
            print(f"… in {time.monotonic() - begun:.0f} s.", file=sys.stderr)

    def _python(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env={**os.environ, **self.environ},
            check=True,
            text=True,
            capture_output=True,
        )
        return done.stdout

    def collect_static(self) -> None:
        """Collect static files in the STATIC_ROOT of the shop's environment."""
        self._python("manage.py", "collectstatic", "--no-input", "--clear", "--verbosity", "0")

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def tokens(self, *members: int | str) -> dict[int, str]:
        """Return access tokens, valid for five minutes."""
        said = json.loads(self._python("-m", "benchmarks.tokens", *map(str, members)))
        return {int(member): token for member, token in said.items()}

    @property
    def renters(self) -> list[Renter]:
        [[first_copy]] = self.ask(
            "SELECT min(id) FROM books_copy WHERE book_id = %s", self.size.first_book_to_rent
        )
        return [
            Renter(self.size.first_renter + place, self.size.first_book_to_rent + place, first_copy + place)
            for place in range(self.size.renters)
        ]

    def crowded_book(self) -> int:
        """Return a book with 10 to 30 copies, none of them rented."""
        [[book]] = self.ask(
            "SELECT book_id FROM books_copy GROUP BY 1 HAVING NOT bool_or(EXISTS ("
            "  SELECT FROM rentals_rental WHERE copy_id = books_copy.id"
            "  AND returned_at IS NULL AND voided_at IS NULL"
            ")) AND count(*) BETWEEN 10 AND 30 ORDER BY count(*) DESC, 1 LIMIT 1"
        )
        return int(book)

    def open_rentals_since(self, ref: int) -> int:
        [[number]] = self.ask("SELECT count(*) FROM rentals_rental WHERE ref > %s", ref)
        return int(number)

    def last_ref(self) -> int:
        [[ref]] = self.ask("SELECT coalesce(max(ref), 0) FROM rentals_rental")
        return int(ref)

    def delete_rentals_since(self, ref: int) -> None:
        """Delete the rentals made by measuring."""
        self.ask("DELETE FROM rentals_rental WHERE ref > %s", ref)
        self.ask("VACUUM (ANALYZE) rentals_rental")

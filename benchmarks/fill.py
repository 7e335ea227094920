"""Fills an empty shop on PostgreSQL with millions of books and rentals in minutes.

    python -m benchmarks.fill --books 1000000 --rentals 10000000

Deterministic: the same sizes and the same `--at` give the same shop. A few books are rented often and most
hardly ever; a few members make most rentals. A copy is with one member at a time. Every third return is
followed by a payment of the whole balance. The history of the copies is generated here and copied into a
staging table. SQL derives rentals and ledger entries from it, at the prices of `rentals.pricing`.

Foreign keys and triggers work row by row, so they are disabled during the load. This module must therefore
generate only rows that they would accept. `benchmarks.tests` and `manage.py check_books` check the result.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
    django.setup()

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from benchmarks import catalogue
from benchmarks.size import FEW, FEW_RENTALS, FIRST_READER, MANY, MANY_RENTALS, OUT_NOW, PASSWORD, STAFF, Size
from books.models import Kind
from rentals.models import Policy, PriceList
from rentals.pricing import price_of_days

SEED = 1894
DAY = 86_400
# Days that the history goes back.
DAYS = 3 * 365
# The longest rental, in days.
MAX_DAYS = 30
TABLES = ("accounts_user", "books_book", "books_copy", "rentals_rental", "rentals_ledgerentry")


class Shelf:
    """The copies of all books; `of_copy` lists the book of each."""

    def __init__(self, size: Size) -> None:
        chance = Random(SEED)  # noqa: S311  # Not used for security.
        self.of_copy: list[int] = []
        for book in range(1, size.first_book_to_rent):
            self.of_copy += [book] * min(20, int(chance.paretovariate(1.6)))
        self.lent = len(self.of_copy)
        self.of_copy += range(size.first_book_to_rent, size.books + 1)


def fill(size: Size, *, source: list[catalogue.Row], at: datetime) -> None:
    """Fill the shop, which must be empty, and vacuum its tables."""
    begun = time.monotonic()

    def done(what: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {what}", flush=True)

    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'; SET jit = off")
        # Loading a large shop takes longer than the shop's timeouts.
        cursor.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        with transaction.atomic():
            load(cursor, size, source=source, at=at, done=done)
        cursor.execute("VACUUM (FREEZE, ANALYZE)")
    done("vacuumed and analysed")


def load(
    cursor: Any, size: Size, *, source: list[catalogue.Row], at: datetime, done: Callable[[str], None]
) -> None:
    """Load all rows. Must run in a transaction; calls `done` after each step."""
    if 2 * size.renters > size.books:
        raise SystemExit("--books must be at least twice --renters.")
    for table in TABLES[:2]:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")  # Constant names.
        if cursor.fetchone()[0]:
            raise SystemExit(f"{table} is not empty; only an empty shop can be filled.")
    # PostgreSQL can skip the WAL for rows of a table that was truncated in the same transaction.
    cursor.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
    put_back = _without_indexes(cursor)
    _copy(cursor, "books_book", BOOK, _books(size, source, at))
    done(f"{size.books:,} books")
    shelf = Shelf(size)
    cursor.execute("SET LOCAL session_replication_role = replica")
    _copy(cursor, "books_copy", COPY, _copies(shelf, at))
    _copy(cursor, "accounts_user", USER, _users(size, at))
    done(f"{len(shelf.of_copy):,} copies, {size.readers + size.renters:,} members")
    _rentals(cursor, size, shelf, at, done)
    for statement in put_back:
        cursor.execute(statement)
    done(f"{len(put_back)} indexes")
    for table in TABLES:
        key = "ref" if table == "rentals_rental" else "id"
        number_on = "SELECT setval(pg_get_serial_sequence(%s, %s), (SELECT max({}) FROM {}))"
        cursor.execute(number_on.format(key, table), [table, key])
    cursor.execute("SET LOCAL session_replication_role = origin")


BOOK = "id, name, author, isbn, description, kind, published, language, cover, added_at"
COPY = "id, book_id, barcode, condition, status, added_at"
USER = (
    "id, password, is_superuser, is_staff, is_active, date_joined, username, email, name, phone, address,"
    " language"
)


def _without_indexes(cursor: Any) -> list[str]:
    """Drop unique and exclusion constraints and all indexes but primary keys; return the statements that
    restore them."""
    cursor.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype IN ('u', 'x') AND conrelid::regclass::text = ANY(%s) ORDER BY 1, 2",
        [list(TABLES)],
    )
    constraints = cursor.fetchall()
    put_back = []
    for table, name, definition in constraints:
        cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        put_back.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    cursor.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid::regclass::text = ANY(%s) AND NOT indisprimary ORDER BY 1",
        [list(TABLES)],
    )
    for name, definition in cursor.fetchall():
        cursor.execute(f"DROP INDEX {name}")
        put_back.append(definition)
    return put_back


class _Stream(io.RawIOBase):
    """Presents lines as a file for COPY."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = iter(lines)
        self.rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, length = [self.rest], len(self.rest)
        while length < size:
            line = next(self.lines, None)
            if line is None:
                break
            parts.append(encoded := line.encode())
            length += len(encoded)
        joined = b"".join(parts)
        self.rest = joined[size:]
        return joined[:size]


def _copy(cursor: Any, table: str, columns: str, lines: Iterable[str]) -> None:
    cursor.cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", _Stream(lines), size=1 << 18)


def _kind(book: int) -> int:
    return (Kind.REGULAR, Kind.REGULAR, Kind.FICTION, Kind.NOVEL)[book * 7 % 11 % 4].value


def _books(size: Size, source: list[catalogue.Row], at: datetime) -> Iterator[str]:
    for book, row in enumerate(catalogue.multiply_books(source, size.books), start=1):
        story = (
            ""
            if book % 2
            else f"What became of {row.name}, told by somebody who was there and should have known better."
        )
        published = r"\N" if row.published is None else row.published
        yield (
            f"{book}\t{row.name}\t{row.author}\t{catalogue.isbn(book)}\t{story}\t{_kind(book)}"
            f"\t{published}\t{row.language}\t\t{at}\n"
        )


def _copies(shelf: Shelf, at: datetime) -> Iterator[str]:
    for copy, book in enumerate(shelf.of_copy, start=1):
        condition = ("good", "good", "new", "worn")[copy % 4]
        yield f"{copy}\t{book}\tLB{copy:08d}\t{condition}\tin_service\t{at}\n"


def _users(size: Size, at: datetime) -> Iterator[str]:
    password = make_password(PASSWORD)
    names = {STAFF: "staff", FEW: "few", MANY: "many"}
    for user in range(1, size.first_renter + size.renters):
        name = names.get(user, f"member{user}")
        staff = "t" if user == STAFF else "f"
        yield f"{user}\t{password}\tf\t{staff}\tt\t{at}\t{name}\t{name}@example.org\t{name.title()}\t\t\t\n"


class _History:
    """Generates the rentals: lines of copy, member, kind, start in seconds ago, and duration in seconds.

    The duration of an open rental is `\\N`.
    """

    def __init__(self, size: Size, shelf: Shelf) -> None:
        self.size = size
        self.shelf = shelf
        self.chance = Random(SEED)  # noqa: S311  # Not used for security.

    def lines(self) -> Iterator[str]:
        yield from self._special()
        size, chance, of_copy = self.size, self.chance, self.shelf.of_copy
        readers, random, closed = size.readers, chance.random, DAYS * DAY
        number_of = self._numbers()
        is_out = 0
        for copy in range(self._first, self.shelf.lent + 1):
            kind = _kind(of_copy[copy - 1])
            number = number_of[copy - self._first]
            if number and copy % 23 == 0:
                # Spread over all members, so that none exceeds the limit of open rentals.
                number -= 1
                is_out += 1
                reader = FIRST_READER + is_out * 7 % readers
                yield f"{copy}\t{reader}\t{kind}\t{3600 + int(random() * 20 * DAY)}\t\\N\n"
            if not number:
                continue
            slot = (closed - MAX_DAYS * DAY) // number
            longest = min(MAX_DAYS * DAY, slot * 2 // 3)
            for place in range(number):
                # Most copies come back within two weeks, and a few members make most rentals.
                lasted = 3600 + int(longest * 0.9 * random() ** 2)
                ago = closed - place * slot - int(random() * slot * 0.25)
                reader = FIRST_READER + int(readers * random() ** 3)
                yield f"{copy}\t{reader}\t{kind}\t{ago}\t{lasted}\n"

    def _special(self) -> Iterator[str]:
        """Generate the rentals of the members FEW and MANY, of copies that no other member has rented."""
        copy = 1
        # Rentals of one hour in sequence, up to 1,000 of each copy.
        for member, number in ((FEW, FEW_RENTALS), (MANY, self.size.many)):
            for place in range(number):
                copy += place > 0 and place % 1000 == 0
                ago = (DAYS - 31) * DAY - place % 1000 * 90_000
                yield f"{copy}\t{member}\t{self._kind_of(copy)}\t{ago}\t3600\n"
            copy += 1
            for _ in range(OUT_NOW):
                yield f"{copy}\t{member}\t{self._kind_of(copy)}\t{5 * DAY}\t\\N\n"
                copy += 1
        self._first = copy

    def _kind_of(self, copy: int) -> int:
        return _kind(self.shelf.of_copy[copy - 1])

    def _numbers(self) -> list[int]:
        """Return how often each copy is rented: a few very often, `size.rentals` in total."""
        copies = self.shelf.lent - self._first + 1
        # Spread the ranks, so that the popularity of a copy does not depend on its number.
        step = next(step for step in range(copies * 5 // 8 | 1, 2 * copies + 2, 2) if _coprime(step, copies))
        most = DAYS // 4
        low, high = 0.0, float(self.size.rentals + most)

        def numbers(share: float) -> list[int]:
            return [min(most, int(share / (rank + 10) ** 0.6)) for rank in range(copies)]

        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(numbers(middle)) <= self.size.rentals else (low, middle)
        by_rank = numbers(low)
        left = self.size.rentals - sum(by_rank)
        for rank in range(copies):
            if not left:
                break
            more = min(most - by_rank[rank], 1 + left // copies, left)
            by_rank[rank] += more
            left -= more
        if left:
            raise SystemExit("Too many rentals for this number of books.")
        return [by_rank[copy * step % copies] for copy in range(copies)]


def _coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


def _prices() -> Iterator[str]:
    """Generate the price of each kind for each number of days under the price list in force."""
    price_list = PriceList.objects.order_by("in_force_from").last()
    if price_list is None:
        raise SystemExit("The shop has no price list.")
    rental_days = Policy.current().rental_days
    for rate in price_list.rates.all():
        for days in range(1, MAX_DAYS + 2):
            price = price_of_days(rate, days, late_days=max(0, days - rental_days))
            working = {"price_list": price_list.name, "kind": Kind(rate.kind).name.lower(), **price.as_json()}
            yield f"{rate.kind}\t{days}\t{rate.pk}\t{price.total}\t{json.dumps(working)}\n"


def _rentals(cursor: Any, size: Size, shelf: Shelf, at: datetime, done: Callable[[str], None]) -> None:
    cursor.execute(
        "CREATE TEMPORARY TABLE price"
        " (kind int, days int, rate_id bigint, total numeric(12,2), working jsonb,"
        " PRIMARY KEY (kind, days)) ON COMMIT DROP;"
        "CREATE TEMPORARY TABLE history (copy_id bigint, user_id bigint, kind int, ago int, lasted int)"
        " ON COMMIT DROP"
    )
    # A list, because computing the prices needs the connection that COPY uses.
    _copy(cursor, "price", "kind, days, rate_id, total, working", list(_prices()))
    _copy(cursor, "history", "copy_id, user_id, kind, ago, lasted", _History(size, shelf).lines())
    done("history of the copies")
    moment = {"at": at, "due": Policy.current().rental_days, "staff": STAFF}
    cursor.execute(ORDERED, moment)
    cursor.execute(RETURNED)
    done("history sorted and numbered")
    cursor.execute("ANALYZE returned; ANALYZE ordered; ANALYZE price")
    cursor.execute(RENTALS, moment)
    done(f"{cursor.rowcount:,} rentals")
    cursor.execute(RENTS, moment)
    done(f"{cursor.rowcount:,} charges")
    cursor.execute(PAYMENTS, moment)
    done(f"{cursor.rowcount:,} payments")


ORDERED = """
CREATE TEMPORARY TABLE ordered ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY ago DESC, copy_id) AS ref, copy_id, user_id, kind,
    %(at)s::timestamptz - ago * interval '1 second' AS rented_at,
    %(at)s::timestamptz - (ago - lasted) * interval '1 second' AS returned_at,
    (lasted + 86399) / 86400 AS days
FROM history
"""

# `turn` numbers the returns of the shop, `visit` those of a member. A payment follows every third visit.
RETURNED = """
CREATE TEMPORARY TABLE returned ON COMMIT DROP AS
SELECT ref, user_id, rented_at, returned_at, kind, days, total, turn, visit,
    sum(total) OVER (PARTITION BY user_id, (visit - 1) / 3 ORDER BY visit) AS owed
FROM (
    SELECT ref, user_id, rented_at, returned_at, ordered.kind, days, total,
        row_number() OVER (ORDER BY returned_at, ref) AS turn,
        row_number() OVER (PARTITION BY user_id ORDER BY returned_at, ref) AS visit
    FROM ordered JOIN price USING (kind, days)
) AS numbered
"""

RENTALS = """
INSERT INTO rentals_rental (ref, user_id, copy_id, rate_id, rented_at, due_at, returned_at, renewals,
    due_before, rent_entry_id)
SELECT ordered.ref, ordered.user_id, copy_id, rate_id, ordered.rented_at,
    ordered.rented_at + %(due)s * interval '1 day', ordered.returned_at, 0, '[]', turn * 2
FROM ordered JOIN price ON price.kind = ordered.kind AND price.days = 1 LEFT JOIN returned USING (ref)
ORDER BY ordered.ref
"""

RENTS = """
INSERT INTO rentals_ledgerentry (id, user_id, number, kind, amount, balance, rental_id, method, note, working,
    actor_id, posted_at)
SELECT turn * 2, user_id, visit + (visit - 1) / 3, 'rent', total, owed, ref, '', '',
    working || jsonb_build_object(
        'rented_at', to_char(rented_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'),
        'returned_at', to_char(returned_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"')
    ), %(staff)s, returned_at
FROM returned JOIN (SELECT kind, days, working FROM price) AS price USING (kind, days)
ORDER BY turn
"""

PAYMENTS = """
INSERT INTO rentals_ledgerentry (id, user_id, number, kind, amount, balance, method, note, actor_id,
    posted_at)
SELECT turn * 2 + 1, user_id, visit + visit / 3, 'payment', -owed, 0,
    CASE WHEN turn %% 2 = 0 THEN 'card' ELSE 'cash' END, '', %(staff)s, returned_at
FROM returned WHERE visit %% 3 = 0
ORDER BY turn
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill the empty shop in DATABASE_URL, on PostgreSQL.")
    parser.add_argument("--books", type=int, default=10_000)
    parser.add_argument("--rentals", type=int, default=10_000)
    parser.add_argument(
        "--renters", type=int, default=4_000, help="members without rentals, and free books for them"
    )
    parser.add_argument(
        "--many", type=int, default=MANY_RENTALS, help="rentals of the member with a long history"
    )
    parser.add_argument(
        "--catalogue", type=Path, help="a CSV file of goodbooks-10k (default: generated books)"
    )
    parser.add_argument(
        "--at", type=datetime.fromisoformat, help="the end of the history (default: the last midnight in UTC)"
    )
    asked = parser.parse_args()
    if connection.vendor != "postgresql":
        raise SystemExit("DATABASE_URL must name a PostgreSQL database.")
    at = asked.at or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    source = catalogue.from_csv(asked.catalogue) if asked.catalogue else catalogue.generate_books(10_000)
    fill(Size(asked.books, asked.rentals, asked.renters, asked.many), source=source, at=at)


if __name__ == "__main__":
    sys.exit(main())

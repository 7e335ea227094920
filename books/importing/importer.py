"""Writes imported rows to the database in batches, each in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from books.errors import BarcodeTaken
from books.importing.matching import BookMatcher, MatchedBook, SettledBooks
from books.importing.rows import NewBooks, Row, RowError, read_row
from books.importing.table import Record, Table
from books.models import Book, Copy
from books.stock import add_copy, first_copies

# Below 999, the maximum number of variables in a statement in older versions of SQLite.
BATCH_SIZE = 900
# The key of the advisory lock of imports; arbitrary, but used for nothing else.
_LOCK_OF_IMPORTS = 0x1B00C5


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about the record that starts at `line`; `raw` is the record's text if it was refused."""

    line: int
    sentence: str
    raw: str = ""


@dataclass(slots=True)
class Outcome:
    """The result of a batch: each of the `read` records was created, updated, left unchanged or refused."""

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)

    def count_row(self, row: Row, result: str, warnings: list[str]) -> None:
        setattr(self, result, getattr(self, result) + 1)
        self.warnings += [Remark(row.line, sentence) for sentence in [*row.warnings, *warnings]]


def import_books(
    *,
    table: Table,
    columns: Mapping[str, int],
    new: NewBooks,
    dry_run: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Generator[Outcome]:
    """Import the books of `table`, and yield the outcome of each batch of `batch_size` records.

    Each outcome is committed before it is yielded. An interrupted import can be repeated with the same file
    without duplicating books. With `dry_run` the whole import runs in one transaction that is rolled back at
    the end. Concurrent imports wait for each other.
    """
    settled = SettledBooks()
    with transaction.atomic() if dry_run else nullcontext():
        records = table.records()
        while some := list(islice(records, batch_size)):
            yield _import_records(some, table.header, columns, new, settled)
        if dry_run:
            transaction.set_rollback(True)


def _import_records(
    records: Sequence[Record],
    header: Sequence[str],
    columns: Mapping[str, int],
    new: NewBooks,
    settled: SettledBooks,
) -> Outcome:
    rows: list[Row] = []
    refused: list[Remark] = []
    for record in records:
        try:
            rows.append(read_row(record, header=header, columns=columns, new=new))
        except RowError as refusal:
            refused.append(Remark(record.line, str(refusal), record.raw))
    outcome = _write_rows(rows, settled)
    outcome.read = len(records)
    outcome.refused = sorted([*refused, *outcome.refused], key=lambda remark: remark.line)
    return outcome


def _write_rows(rows: Sequence[Row], settled: SettledBooks) -> Outcome:
    """Write all rows in one transaction; retry once after a conflict, then write them one by one."""
    for _attempt in range(2):
        try:
            return _write_in_one_transaction(rows, settled)
        except IntegrityError:
            continue
    outcome = Outcome()
    with transaction.atomic():
        # The lock is held for all rows: if it were released between two of them, this import and another
        # could deadlock.
        _wait_for_other_imports()
        for row in rows:
            try:
                one = _write_in_one_transaction([row], settled, alone=True)
            except (IntegrityError, BarcodeTaken):
                sentence = _("Someone else has just used this ISBN or these barcodes. Import the row again.")
                outcome.refused.append(Remark(row.line, sentence, row.raw))
            else:
                outcome.created += one.created
                outcome.updated += one.updated
                outcome.unchanged += one.unchanged
                outcome.warnings += one.warnings
    return outcome


def _write_in_one_transaction(rows: Sequence[Row], settled: SettledBooks, *, alone: bool = False) -> Outcome:
    outcome = Outcome()
    with transaction.atomic():
        _wait_for_other_imports()
        matcher = BookMatcher(rows, settled)
        for row in rows:
            outcome.count_row(row, *matcher.apply(row))
        _create(matcher.new, barcodes_may_be_taken=alone)
        _update([held for held in matcher.old if held.changed])
    settled.claimed |= matcher.claimed
    for held in (*matcher.old, *matcher.new):
        if held.line:
            settled.settle(held.book.pk, held.line)
    return outcome


def _wait_for_other_imports() -> None:
    """Keep other imports from reading and writing until the transaction ends.

    Nothing else prevents two imports from adding the same book without ISBN. SQLite needs no lock, because a
    transaction is the only writer from its start.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_OF_IMPORTS])


def _create(new: Sequence[MatchedBook], *, barcodes_may_be_taken: bool) -> None:
    Book.objects.bulk_create([held.book for held in new])
    if barcodes_may_be_taken:
        for held in new:
            for _number in range(held.copies):
                add_copy(book=held.book)
        return
    of_count: defaultdict[int, list[Book]] = defaultdict(list)
    for held in new:
        of_count[held.copies].append(held.book)
    Copy.objects.bulk_create(
        copy for count, books in of_count.items() for copy in first_copies(books, count=count)
    )


def _update(changed: Sequence[MatchedBook]) -> None:
    # Only changed fields are written, so that concurrent changes by staff are not overwritten.
    of_fields: defaultdict[frozenset[str], list[Book]] = defaultdict(list)
    for held in _lock_existing(changed):
        of_fields[frozenset(held.changed)].append(held.book)
    for fields, books in of_fields.items():
        # An upsert that never inserts: several times as fast as the CASE ... WHEN of bulk_update.
        Book.objects.bulk_create(
            books, update_conflicts=True, unique_fields=["id"], update_fields=sorted(fields)
        )


def _lock_existing(changed: Sequence[MatchedBook]) -> list[MatchedBook]:
    """Lock the books to be changed until the transaction ends; leave out those deleted in the meantime."""
    keys = [held.book.pk for held in changed]
    locked = Book.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk")
    there = set(locked.values_list("pk", flat=True))
    return [held for held in changed if held.book.pk in there]

"""Rows into the database, some hundred at a time, each time in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from books.errors import BarcodeTaken
from books.importing.rows import NewBooks, Row, RowError, read_row
from books.importing.shelf import Held, Memory, Shelf
from books.importing.table import Record, Table
from books.models import Book, Copy
from books.stock import add_copy, first_copies

# Below the 999 variables that an old SQLite takes in one statement.
RECORDS_AT_A_TIME = 900
# Only imports take this lock; any number that nobody else takes would do.
_LOCK_OF_IMPORTS = 0x1B00C5


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about the record that starts in `line`; `raw` is its text, where it was refused."""

    line: int
    sentence: str
    raw: str = ""


@dataclass(slots=True)
class Outcome:
    """What came of some records: each that was read was created, updated, unchanged or refused."""

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)

    def note(self, row: Row, result: str, warnings: list[str]) -> None:
        setattr(self, result, getattr(self, result) + 1)
        self.warnings += [Remark(row.line, sentence) for sentence in [*row.warnings, *warnings]]


def import_books(
    *,
    table: Table,
    columns: Mapping[str, int],
    new: NewBooks,
    dry_run: bool = False,
    at_a_time: int = RECORDS_AT_A_TIME,
) -> Generator[Outcome]:
    """Put the books of `table` into the shop; yields what came of each `at_a_time` records.

    What was yielded is committed, and nothing else is: whoever stops in between and starts again with
    the same table doubles no book. With `dry_run` everything is done in one transaction, which is
    rolled back at the end. Several may import at once; they take turns.
    """
    memory = Memory()
    with transaction.atomic() if dry_run else nullcontext():
        records = table.records()
        while some := list(islice(records, at_a_time)):
            yield _import_records(some, table.header, columns, new, memory)
        if dry_run:
            transaction.set_rollback(True)


def _import_records(
    records: Sequence[Record],
    header: Sequence[str],
    columns: Mapping[str, int],
    new: NewBooks,
    memory: Memory,
) -> Outcome:
    rows: list[Row] = []
    refused: list[Remark] = []
    for record in records:
        try:
            rows.append(read_row(record, header=header, columns=columns, new=new))
        except RowError as refusal:
            refused.append(Remark(record.line, str(refusal), record.raw))
    outcome = _written(rows, memory)
    outcome.read = len(records)
    outcome.refused = sorted([*refused, *outcome.refused], key=lambda remark: remark.line)
    return outcome


def _written(rows: Sequence[Row], memory: Memory) -> Outcome:
    """All rows in one transaction: together, once again if somebody came between, else one by one."""
    for _attempt in range(2):
        try:
            return _written_together(rows, memory)
        except IntegrityError:
            continue
    outcome = Outcome()
    with transaction.atomic():
        # Held throughout: between two rows another import could wait for this one, and this for that.
        _wait_for_other_imports()
        for row in rows:
            try:
                one = _written_together([row], memory, alone=True)
            except (IntegrityError, BarcodeTaken):
                sentence = _("Somebody else has just taken its ISBN or the barcodes of its copies.")
                outcome.refused.append(Remark(row.line, sentence, row.raw))
            else:
                outcome.created += one.created
                outcome.updated += one.updated
                outcome.unchanged += one.unchanged
                outcome.warnings += one.warnings
    return outcome


def _written_together(rows: Sequence[Row], memory: Memory, *, alone: bool = False) -> Outcome:
    outcome = Outcome()
    with transaction.atomic():
        _wait_for_other_imports()
        shelf = Shelf(rows, memory)
        for row in rows:
            outcome.note(row, *shelf.place(row))
        _create(shelf.new, barcodes_may_be_taken=alone)
        _update([held for held in shelf.old if held.changed])
    memory.claimed |= shelf.claimed
    for held in (*shelf.old, *shelf.new):
        if held.line:
            memory.settle(held.book.pk, held.line)
    return outcome


def _wait_for_other_imports() -> None:
    """Until the transaction ends no other import reads or writes: nothing else keeps two of them from
    adding the same book without ISBN. On SQLite a transaction is the only writer from its start."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_OF_IMPORTS])


def _create(new: Sequence[Held], *, barcodes_may_be_taken: bool) -> None:
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


def _update(changed: Sequence[Held]) -> None:
    # Only what changes is written, so that nothing is undone that staff change at the same time.
    of_fields: defaultdict[frozenset[str], list[Book]] = defaultdict(list)
    for held in _still_there(changed):
        of_fields[frozenset(held.changed)].append(held.book)
    for fields, books in of_fields.items():
        # An upsert that never inserts: several times as fast as the CASE ... WHEN of bulk_update.
        Book.objects.bulk_create(
            books, update_conflicts=True, unique_fields=["id"], update_fields=sorted(fields)
        )


def _still_there(changed: Sequence[Held]) -> list[Held]:
    """Those that nobody has deleted meanwhile; they stay until the transaction ends."""
    keys = [held.book.pk for held in changed]
    locked = Book.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk")
    there = set(locked.values_list("pk", flat=True))
    return [held for held in changed if held.book.pk in there]

"""Runs imports for tests: text in, report out."""

from __future__ import annotations

import io
from collections.abc import Iterator

from books.importing.columns import columns_in
from books.importing.importer import import_books
from books.importing.report import ImportReport
from books.importing.rows import NewBooks
from books.importing.table import Table

# Valid ISBNs, as they are stored.
DUNE = "9780441013593"
EMMA = "9780141439587"
ODYSSEY = "9780140268867"


def import_text(
    text: str | io.TextIOBase,
    *,
    batch_size: int = 1000,
    new: NewBooks | None = None,
    dry_run: bool = False,
    report: ImportReport | None = None,
    **chosen: str,
) -> ImportReport:
    table = Table(io.StringIO(text, newline="") if isinstance(text, str) else text)
    columns = columns_in(table.header, chosen=chosen)
    report = report or ImportReport(most_remarks=None)
    for outcome in import_books(
        table=table, columns=columns, new=new or NewBooks(), dry_run=dry_run, batch_size=batch_size
    ):
        report.add(outcome)
    return report


def report_counts(report: ImportReport) -> tuple[int, int, int, int]:
    """(created, updated, unchanged, refused)"""
    return report.created, report.updated, report.unchanged, report.refused.count


def report_sentences(report: ImportReport) -> list[str]:
    return [remark.sentence for remark in (*report.warnings.first, *report.refused.first)]


class InterruptedStream(io.TextIOBase):
    """A stream that raises KeyboardInterrupt after `lines` lines."""

    def __init__(self, text: str, *, lines: int) -> None:
        self._lines = iter(text.splitlines(keepends=True)[:lines])

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # a text, not bytes
        for line in self._lines:
            return line
        raise KeyboardInterrupt


def csv_lines(number: int, *, with_isbn: int = 0) -> Iterator[str]:
    """Yield a header and `number` lines of books, the first `with_isbn` of them with an ISBN."""
    yield "name,author,isbn\n"
    for at in range(number):
        yield f"Book {at},Author {at},{isbn_number(at) if at < with_isbn else ''}\n"


def isbn_number(number: int) -> str:
    digits = f"978{number:09}"
    check = sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(digits))
    return f"{digits}{-check % 10}"

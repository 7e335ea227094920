"""Command that imports books from a CSV file."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from books.importing.columns import COLUMN_NAMES, columns_in
from books.importing.importer import import_books
from books.importing.rejects import RejectsFile
from books.importing.report import ImportReport, Remarks
from books.importing.rows import NewBooks
from books.importing.table import ImportFileError, Table, displayable
from books.models import Kind
from books.stock import MAX_COPIES_AT_ONCE

REMARKS_SHOWN = 20
SECONDS_BETWEEN_LINES = 3
INTERRUPTED = 130

HELP = """\
Import books from a CSV file. The same file can be imported again: existing books are updated where
the file differs, empty cells leave values unchanged, and no book is created twice.

Books are matched by ISBN, or by name and author if there is none. If a file contains a book twice,
the first row wins. If two books share an ISBN, the second is imported without one. ISBNs
that lost their leading zeros are repaired; a wrong check digit causes a warning and an empty ISBN.
Rows that can't be imported are refused; all others are imported. The exit code is 0 even if rows
were refused.
"""


class Command(BaseCommand):
    help = HELP
    requires_migrations_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", help="UTF-8 CSV file with a header; - reads standard input."
        )
        parser.add_argument("--delimiter", type=_delimiter, help="One character or “tab”. Default: detected.")
        for field in COLUMN_NAMES:
            parser.add_argument(
                f"--{field}-column",
                metavar="HEADER",
                help=f"The column for “{field}”. Default: detected. Leave empty for none.",
            )
        parser.add_argument(
            "--kind",
            type=str.lower,
            choices=[kind.name.lower() for kind in Kind],
            default="regular",
            help="Category of new books if no column gives it (default: regular).",
        )
        parser.add_argument(
            "--copies",
            type=_copies,
            default=1,
            metavar="N",
            help="Copies of each new book if no column gives them (default: 1).",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Import everything, then roll back. REJECTS is still written.",
        )
        parser.add_argument(
            "--rejects",
            type=Path,
            metavar="REJECTS",
            help="Write refused rows to this file with their line number and the reason. Correct them there "
            "and import that file. An earlier file is replaced, or removed if no rows are refused.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        everything = options["verbosity"] >= 2
        report = ImportReport(most_remarks=None if everything else REMARKS_SHOWN)
        started = time.monotonic()
        try:
            with _opened(options["file"]) as binary:
                self._import(binary, report, options)
        except ImportFileError as problem:
            raise CommandError(str(problem)) from None
        except KeyboardInterrupt:
            self._summarise(report, time.monotonic() - started, options)
            # A dry run has been rolled back as a whole, so there is nothing to continue from.
            rest = (
                ""
                if options["dry_run"]
                else " The rows counted are saved; run the command again to continue."
            )
            raise CommandError(f"Interrupted.{rest}", returncode=INTERRUPTED) from None
        self._summarise(report, time.monotonic() - started, options)

    def _import(self, binary: BinaryIO, report: ImportReport, options: dict[str, Any]) -> None:
        stream = TextIOWrapper(binary, encoding="utf-8", errors="surrogateescape", newline="")
        table = Table(stream, delimiter=options["delimiter"])
        chosen = {field: options[f"{field}_column"] for field in COLUMN_NAMES}
        columns = columns_in(table.header, chosen=chosen)
        new = NewBooks(kind=Kind[options["kind"].upper()], copies=options["copies"])
        self._say_columns(table, columns, options)
        outcomes = import_books(table=table, columns=columns, new=new, dry_run=options["dry_run"])
        rejects = self._rejects(table, options)
        with rejects or nullcontext(), self._progress(binary, report, options) as advance, closing(outcomes):
            for outcome in outcomes:
                report.add(outcome)
                if rejects:
                    rejects.add(outcome.refused)
                advance()

    def _rejects(self, table: Table, options: dict[str, Any]) -> RejectsFile | None:
        path: Path | None = options["rejects"]
        if path is None:
            return None
        if options["file"] != "-" and path.exists() and path.samefile(options["file"]):
            raise CommandError(
                "The refused rows can't be written to the file being imported. Choose another name."
            )
        return RejectsFile(path, table)

    @contextmanager
    def _progress(
        self, binary: BinaryIO, report: ImportReport, options: dict[str, Any]
    ) -> Iterator[Callable[[], None]]:
        """Yield a function to call after each batch; it shows the progress as a bar, or as lines."""
        if options["verbosity"] == 0:
            yield lambda: None
        elif self.stderr.isatty():
            # A terminal inside a container may report a size of 0, with which tqdm would show nothing.
            size = get_terminal_size()
            with tqdm(
                total=_size(binary),
                unit="B",
                unit_scale=True,
                mininterval=0,
                leave=False,
                file=sys.stderr,
                ncols=size.columns,
                nrows=size.lines,
            ) as bar:

                def move() -> None:
                    bar.set_postfix_str(f"{report.read:,} rows", refresh=False)
                    bar.update((binary.tell() if binary.seekable() else bar.n) - bar.n)

                yield move
        else:
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES

            def tell() -> None:
                nonlocal next_line
                if time.monotonic() >= next_line:
                    next_line = time.monotonic() + SECONDS_BETWEEN_LINES
                    self.stderr.write(f"… {report.read:,} rows", ending="\n")

            yield tell

    def _say_columns(self, table: Table, columns: dict[str, int], options: dict[str, Any]) -> None:
        if options["verbosity"] == 0:
            return
        used = ", ".join(
            f"{field} = “{displayable(table.header[place])}”" for field, place in columns.items()
        )
        self.stdout.write(f"Columns: {used}.")
        self.stdout.write(
            f"New books: {options['kind']}, copies: {options['copies']}, unless a column says otherwise."
        )
        if options["dry_run"]:
            self.stdout.write("Dry run: nothing will be changed.")

    def _summarise(self, report: ImportReport, seconds: float, options: dict[str, Any]) -> None:
        if options["verbosity"] > 0:
            self._list("Warnings", report.warnings)
            self._list("Refused rows", report.refused)
        rate = report.read / max(seconds, 0.001)
        self.stdout.write(
            f"{report.read:,} rows read: {report.created:,} created, {report.updated:,} updated, "
            f"{report.unchanged:,} unchanged, {report.refused.count:,} refused, "
            f"warnings: {report.warnings.count:,}; {seconds:.1f} s, {rate:,.0f} rows/s."
        )
        if options["dry_run"]:
            self.stdout.write("Dry run: nothing was changed.")

    def _list(self, title: str, remarks: Remarks) -> None:
        if not remarks.count:
            return
        self.stdout.write(f"{title}:")
        for remark in remarks.first:
            self.stdout.write(f"  line {remark.line}: {remark.sentence}")
        if more := remarks.count - len(remarks.first):
            self.stdout.write(f"  and {more:,} more")


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as closing_it:
        try:
            binary = closing_it.enter_context(Path(file).open("rb"))
        except OSError as error:
            raise CommandError(f"{file} can't be read: {error.strerror}.") from None
        yield binary


def _size(binary: BinaryIO) -> int | None:
    """Return the size in bytes, or None where it is unknown, as for a pipe."""
    return os.fstat(binary.fileno()).st_size if binary.seekable() else None


def _delimiter(text: str) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\r\n':
        raise ArgumentTypeError("one character, or “tab”")
    return text


def _copies(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_COPIES_AT_ONCE):
        raise ArgumentTypeError(f"a whole number from 0 to {MAX_COPIES_AT_ONCE:,}")
    return int(text)

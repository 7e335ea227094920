"""Reads a file of delimiter-separated values. An unreadable record does not affect the others."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from django.utils.translation import gettext as _

DELIMITERS = (",", ";", "\t", "|")
# The limit of the csv module for one cell, far beyond any real record. Without a limit, an unclosed quotation
# mark or a binary file would be read into memory whole.
MAX_RECORD_LENGTH = 128 * 1024
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class ImportFileError(Exception):
    """The file as a whole cannot be imported, and nothing was; the message is a sentence that says why."""


class _RecordTooLong(csv.Error):
    """A record is longer than MAX_RECORD_LENGTH."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the file; `line` is the line where it starts, counted from 1.

    `raw` is its text in the file, line ending included. `problem` says why its cells cannot be told apart; if
    it is empty, there is one cell per column.
    """

    line: int
    raw: str
    cells: list[str]
    problem: str = ""


class Table:
    """The table in `stream`, which must be open as UTF-8 with `surrogateescape` and `newline=""`.

    The header is read at once, the records lazily, so memory does not grow with the file. Without
    `delimiter`, one of DELIMITERS is guessed from the header. Raises ImportFileError when no header can be
    read.
    """

    def __init__(self, stream: TextIO, *, delimiter: str | None = None) -> None:
        self._lines = _Lines(stream)
        self.delimiter = delimiter or _delimiter_in(self._lines.peek())
        self._reader = csv.reader(self._lines, delimiter=self.delimiter, strict=True)
        self.header, self.raw_header = self._read_header()

    @property
    def has_byte_order_mark(self) -> bool:
        return self._lines.has_byte_order_mark

    def records(self) -> Iterator[Record]:
        """Yield the records below the header, except those without any text."""
        while True:
            self._lines.start_record()
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._unreadable(error)
                continue
            if any(map(str.strip, cells)):
                problem = _wrong_number(cells, self.header) if len(cells) != len(self.header) else ""
                yield Record(self._lines.first, "".join(self._lines.taken), cells, problem)

    def _read_header(self) -> tuple[list[str], str]:
        cells: list[str] = []
        while not any(map(str.strip, cells)):
            self._lines.start_record()
            try:
                cells = next(self._reader)
            except StopIteration:
                raise ImportFileError(_("The file is empty.")) from None
            except csv.Error:
                raise ImportFileError(
                    _("The first line of the file must be a header with column names.")
                ) from None
        raw = "".join(self._lines.taken)
        if is_not_utf8(raw) or "\0" in raw:
            raise ImportFileError(_("The file isn't encoded in UTF-8. Save it as UTF-8 CSV and try again."))
        return [cell.strip() for cell in cells], raw

    def _unreadable(self, error: csv.Error) -> Record:
        """Return the record that caused `error`, and give back the whole records that it swallowed.

        An unclosed quotation mark swallows the following lines up to the next quotation mark.
        """
        first, taken = self._lines.first, self._lines.taken
        if isinstance(error, _RecordTooLong) and len(taken) == 1:
            problem = _("The row is longer than {most} characters.")
            return Record(first, taken[0], [], problem.format(most=f"{MAX_RECORD_LENGTH:,}"))
        end = next((at for at in range(1, len(taken)) if self._is_record(taken[at])), len(taken))
        raw = "".join(taken[:end])
        self._lines.give_back(taken[end:])
        problem = _("A quotation mark is not closed, or a quotation mark inside a cell isn't doubled.")
        return Record(first, raw, [], problem)

    def _is_record(self, line: str) -> bool:
        try:
            return len(next(csv.reader([line], delimiter=self.delimiter, strict=True))) == len(self.header)
        except csv.Error:
            return False


class _Lines:
    """Iterates over the lines of a stream, counts them, and remembers those of the current record."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        first = self._read()
        self.has_byte_order_mark = first.startswith("\ufeff")
        self._waiting = deque([first.removeprefix("\ufeff")])
        self._number = 0
        self._size = 0
        self.taken: list[str] = []

    @property
    def first(self) -> int:
        """The number of the line where the current record starts."""
        return self._number - len(self.taken) + 1

    def start_record(self) -> None:
        self.taken = []
        self._size = 0

    def peek(self) -> str:
        """Return the first line that is not blank, or an empty string, without consuming any."""
        while self._waiting[-1] and not self._waiting[-1].strip():
            self._waiting.append(self._read())
        return self._waiting[-1]

    def give_back(self, lines: list[str]) -> None:
        self._waiting.extendleft(reversed(lines))
        self._number -= len(lines)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._read()
        if not line:
            raise StopIteration
        self._number += 1
        self.taken.append(line)
        self._size += len(line)
        if self._size > MAX_RECORD_LENGTH:
            raise _RecordTooLong
        return line

    def _read(self) -> str:
        limit = MAX_RECORD_LENGTH + 1
        line = part = self._stream.readline(limit)
        while len(part) == limit and not part.endswith(("\n", "\r")):
            part = self._stream.readline(limit)
        return line


def is_not_utf8(text: str) -> bool:
    """Return whether `text`, decoded with `surrogateescape`, had bytes that are not UTF-8."""
    return not text.isascii() and bool(_NOT_UTF8.search(text))


def _delimiter_in(header: str) -> str:
    outside_quotes = re.sub(r'"[^"]*"?', "", header)
    return max(DELIMITERS, key=outside_quotes.count)


def _wrong_number(cells: list[str], header: list[str]) -> str:
    if len(cells) < len(header):
        text = _("The row has {cells} of {columns} cells; the first missing one is “{column}”.")
        return text.format(cells=len(cells), columns=len(header), column=header[len(cells)])
    text = _("The row has {cells} cells for {columns} columns; the first extra one is “{cell}”.")
    return text.format(cells=len(cells), columns=len(header), cell=displayable(cells[len(header)]))


def displayable(text: str) -> str:
    """Return `text` in a form fit for a sentence: short, on one line, printable characters only."""
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text.strip())
    return printable if len(printable) <= 60 else f"{printable[:59]}…"

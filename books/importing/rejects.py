"""Writes the refused rows of an import, byte for byte, to a file with their lines and reasons.

The two extra columns come first, because a row may be refused for having too many or too few cells. An import
ignores them, so the file can be corrected and imported as it is.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from django.utils.translation import gettext as _

from books.importing.importer import Remark
from books.importing.table import ImportFileError, Table

LINE, REASON = "reject_line", "reject_reason"


class RejectsFile:
    """A context manager that writes the refused rows of one import to the file `path`.

    The file is put in place on exit, even after an interruption, and only if rows were refused. A file from
    an earlier import is replaced, or removed if nothing was refused. Raises ImportFileError on entry if
    `path` cannot be written or holds anything but refused rows of an earlier import.
    """

    def __init__(self, path: Path, table: Table) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.{os.getpid()}.part")
        self._table = table
        self._any = False
        quoted = rf'(?:"(?:[^"]|"")*"|[^"{re.escape(table.delimiter)}]*){re.escape(table.delimiter)}'
        # The imported table can itself be such a file; its two extra columns are not repeated.
        self._earlier = re.compile(quoted * 2) if table.header[:2] == [LINE, REASON] else None

    def __enter__(self) -> RejectsFile:
        try:
            with self._path.open("rb") as earlier:
                if LINE.encode() not in earlier.readline(1000):
                    sentence = _(
                        "{path} was not written by an import, so it won't be overwritten. Choose "
                        "another name."
                    )
                    raise ImportFileError(sentence.format(path=self._path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._unwritable(error) from None
        encoding = "utf-8-sig" if self._table.has_byte_order_mark else "utf-8"
        try:
            self._file = self._part.open("w", encoding=encoding, errors="surrogateescape", newline="")
        except OSError as error:
            raise self._unwritable(error) from None
        self._write([LINE, REASON], self._table.raw_header)
        return self

    def add(self, refused: Sequence[Remark]) -> None:
        for remark in refused:
            self._any = True
            self._write([str(remark.line), remark.sentence], remark.raw)

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        if self._any:
            self._part.replace(self._path)
        else:
            self._part.unlink()
            self._path.unlink(missing_ok=True)

    def _write(self, cells: list[str], raw: str) -> None:
        front = io.StringIO()
        csv.writer(front, delimiter=self._table.delimiter, lineterminator="").writerow([*cells, ""])
        if self._earlier:
            raw = self._earlier.sub("", raw, count=1) if self._earlier.match(raw) else raw
        self._file.write(front.getvalue() + raw + ("" if raw.endswith(("\n", "\r")) else "\n"))

    def _unwritable(self, error: OSError) -> ImportFileError:
        return ImportFileError(
            _("{path} can't be written: {why}.").format(path=self._path, why=error.strerror)
        )

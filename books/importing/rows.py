"""Parses one record into the fields of a book. A doubtful value is left out with a warning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from django.db.models import CharField, TextField
from django.utils.translation import gettext as _

from books.importing.table import Record, displayable, is_not_utf8
from books.isbn import looks_like_isbn, normalize_repaired_isbn
from books.languages import language_code
from books.models import EARLIEST_YEAR, LATEST_YEAR, Book, Kind
from books.stock import MAX_COPIES_AT_ONCE

# Control characters except white space (tab, line feed and the like), which counts as space.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_YEAR = re.compile(r"([+-]?[0-9]{1,6})(?:\.0*)?|([0-9]{4})-[0-9]{2}(?:-[0-9]{2})?")
_COUNT = re.compile(r"([0-9]{1,6})(?:\.0*)?")
_KINDS = {kind.name.casefold(): kind for kind in Kind} | {str(kind.value): kind for kind in Kind}
_TEXTS: Mapping[str, CharField[str, str] | TextField[str, str]] = {
    "name": Book.name.field,
    "author": Book.author.field,
    "description": Book.description.field,
}


class RowError(Exception):
    """The row cannot become a book; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class NewBooks:
    """Defaults for a new book whose row does not set them."""

    kind: int = Kind.REGULAR
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """The values of one row: `said` maps fields of Book to values, and never holds an empty value.

    `kind` and `copies` apply to a new book only; `said` has a kind only if the row itself sets it.
    """

    line: int
    raw: str
    isbn: str
    said: dict[str, Any]
    kind: int
    copies: int
    warnings: list[str] = dataclass_field(default_factory=list)

    @property
    def name(self) -> str:
        return self.said["name"]

    @property
    def key(self) -> tuple[str, str]:
        """The name and author, which identify a book without an ISBN."""
        return self.name, self.said.get("author", "")


def read_row(record: Record, *, header: Sequence[str], columns: Mapping[str, int], new: NewBooks) -> Row:
    """Parse `record`. Raises RowError when it cannot become a book."""
    if is_not_utf8(record.raw):
        bad = (name for name, cell in zip(header, record.cells, strict=False) if is_not_utf8(cell))
        if name := next(bad, ""):
            raise RowError(_("“{column}” isn't encoded in UTF-8.").format(column=displayable(name)))
        raise RowError(_("The row isn't encoded in UTF-8."))
    if record.problem:
        raise RowError(record.problem)
    cells = {name: _without_control(record.cells[place], header[place]) for name, place in columns.items()}
    warnings: list[str] = []
    kind = _kind(cells.get("kind", ""))
    said = {
        "name": _text(cells, "name"),
        "author": _text(cells, "author"),
        "description": _description(cells),
        "published": _year(cells.get("published", ""), warnings),
        "language": _language(cells.get("language", ""), warnings),
        "kind": kind,
    }
    if not said["name"]:
        raise RowError(_("The book has no name."))
    return Row(
        line=record.line,
        raw=record.raw,
        isbn=_isbn(cells.get("isbn", ""), warnings),
        said={name: value for name, value in said.items() if value not in ("", None)},
        kind=new.kind if kind is None else kind,
        copies=_copies(cells.get("copies", ""), new.copies),
        warnings=warnings,
    )


def _without_control(cell: str, column: str) -> str:
    if _CONTROL.search(cell):
        raise RowError(_("“{column}” contains a control character.").format(column=displayable(column)))
    return cell if cell.isascii() else unicodedata.normalize("NFC", cell)


def _fitting(text: str, name: str) -> str:
    field, most = _TEXTS[name], _TEXTS[name].max_length or 0
    if len(text) > most:
        sentence = _("The {field} has {characters} characters; the limit is {most}.")
        raise RowError(
            sentence.format(field=field.verbose_name, characters=f"{len(text):,}", most=f"{most:,}")
        )
    return text


def _text(cells: Mapping[str, str], name: str) -> str:
    return _fitting(" ".join(cells.get(name, "").split()), name)


def _description(cells: Mapping[str, str]) -> str:
    # Line breaks are preserved.
    lines = (" ".join(line.split()) for line in cells.get("description", "").splitlines())
    return _fitting("\n".join(lines).strip(), "description")


def _isbn(cell: str, warnings: list[str]) -> str:
    # An empty cell may also hold a spreadsheet's formula for an empty text, `=""`.
    if not cell.strip(' ="'):
        return ""
    if isbn := normalize_repaired_isbn(cell):
        return isbn
    if looks_like_isbn(cell):
        sentence = _("The ISBN “{cell}” has a wrong check digit; the book was imported without an ISBN.")
    else:
        sentence = _("“{cell}” is not an ISBN; the book was imported without one.")
    warnings.append(sentence.format(cell=displayable(cell)))
    return ""


def _year(cell: str, warnings: list[str]) -> int | None:
    if not (text := cell.strip().replace("\N{MINUS SIGN}", "-")):
        return None
    match = _YEAR.fullmatch(text)
    if match and EARLIEST_YEAR <= (year := int(match[1] or match[2])) <= LATEST_YEAR:
        return year
    sentence = _("“{cell}” is not a year from {first} to {last}; the field was left empty.")
    warnings.append(sentence.format(cell=displayable(cell), first=EARLIEST_YEAR, last=LATEST_YEAR))
    return None


def _language(cell: str, warnings: list[str]) -> str:
    language = language_code(cell)
    if language is None:
        warnings.append(
            _("“{cell}” is not a language code; the field was left empty.").format(cell=displayable(cell))
        )
    return language or ""


def _kind(cell: str) -> int | None:
    if not (text := cell.strip().casefold().removesuffix(".0")):
        return None
    if text not in _KINDS:
        sentence = _("“{cell}” is not a category. Use regular, fiction or novel, or 1, 2 or 3.")
        raise RowError(sentence.format(cell=displayable(cell)))
    return _KINDS[text]


def _copies(cell: str, otherwise: int) -> int:
    if not (text := cell.strip()):
        return otherwise
    match = _COUNT.fullmatch(text)
    if not match or int(match[1]) > MAX_COPIES_AT_ONCE:
        sentence = _("“{cell}” is not a number of copies. Use 0 to {most}.")
        raise RowError(sentence.format(cell=displayable(cell), most=f"{MAX_COPIES_AT_ONCE:,}"))
    return int(match[1])

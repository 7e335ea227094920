"""Decides which book a row is about, and what it changes there.

A row with an ISBN is about the book with that ISBN; failing that, about a book of the same name and authors
without an ISBN, which then gets it. A row without an ISBN is about a book of the same name and authors,
preferably one without an ISBN. If there is no such book, a new one is created.

Within one file the first row about a book wins. Later rows only fill fields that are still empty, and a
warning lists the fields that they contradict. When a later row gives the same ISBN to a book with a different
name, one of the two must be wrong. The later book is then imported without the ISBN, so that neither is lost.

Importing the same file a second time must change nothing. After any change to these rules, run
`test_import_again`, which generates files to check that.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from books.importing.rows import Row
from books.importing.table import displayable
from books.models import Book

# Beyond every primary key, so that existing books sort before new ones.
_NEW = 1 << 62


class SettledBooks:
    """State carried from one batch to the next. Takes a few bytes per book, however long its texts are."""

    _PAGE = 4096

    def __init__(self) -> None:
        self._lines: dict[int, array[int]] = {}
        # Hashes of the (name, author) pairs by which a row without an ISBN matched a book with one.
        self.claimed: set[int] = set()

    def line_of(self, pk: int) -> int:
        """Return the line of the first row about this book, or 0."""
        page = self._lines.get(pk // self._PAGE)
        return page[pk % self._PAGE] if page else 0

    def settle(self, pk: int, line: int) -> None:
        page = self._lines.setdefault(pk // self._PAGE, array("I", [0]) * self._PAGE)
        page[pk % self._PAGE] = line


@dataclass(slots=True, eq=False)
class MatchedBook:
    """A book, existing or new. `line` is the line of the first row about it, 0 if there was none yet."""

    book: Book
    order: int
    line: int
    copies: int = 0
    changed: set[str] = field(default_factory=set)

    @property
    def key(self) -> tuple[str, str]:
        return self.book.name, self.book.author


class BookMatcher:
    """Matches a batch of rows to books, and applies the rows to those books in memory."""

    def __init__(self, rows: Sequence[Row], settled: SettledBooks) -> None:
        self._settled = settled
        self._by_isbn: dict[str, MatchedBook] = {}
        self._by_key: defaultdict[tuple[str, str], list[MatchedBook]] = defaultdict(list)
        self.claimed: set[int] = set()
        self.new: list[MatchedBook] = []
        self.old: list[MatchedBook] = [
            MatchedBook(book, book.pk, settled.line_of(book.pk)) for book in _books_for(rows)
        ]
        for held in self.old:
            self._put(held)

    def apply(self, row: Row) -> tuple[str, list[str]]:
        """Apply `row`, and return its result ("created", "updated" or "unchanged") and the warnings."""
        warnings: list[str] = []
        isbn = row.isbn
        held = self._by_isbn.get(isbn) if isbn else None
        if held and held.line and _are_different(held.book.name, row.name):
            sentence = _(
                "Line {line} has the same ISBN for “{name}”; this book was imported without an ISBN."
            )
            warnings.append(sentence.format(line=held.line, name=displayable(held.book.name)))
            isbn, held = "", None
        held = held or self._find_by_name(row, isbn)
        if held is None:
            self._add(row, isbn)
            return "created", warnings
        if held.line:
            changes = _missing_values(held, row, warnings)
        else:
            changes = self._changes(held, row, isbn, warnings)
            held.line = row.line
        self._change(held, changes)
        return ("updated" if changes else "unchanged"), warnings

    def _find_by_name(self, row: Row, isbn: str) -> MatchedBook | None:
        same = self._by_key.get(row.key, [])
        without = [held for held in same if not held.book.isbn]
        if isbn:
            without = [held for held in without if not held.line]
        elif same and not without:
            self.claimed.add(hash(row.key))
            without = same
        return min(without, key=lambda held: held.order, default=None)

    def _changes(self, held: MatchedBook, row: Row, isbn: str, warnings: list[str]) -> dict[str, Any]:
        said = row.said | ({"isbn": isbn} if isbn else {})
        changes = {name: value for name, value in said.items() if getattr(held.book, name) != value}
        key = changes.get("name", held.book.name), changes.get("author", held.book.author)
        # An earlier row matched another book by this name and author. If two books had them, the next import
        # of the file could match the wrong one.
        if key != held.key and (hash(key) in self.claimed or hash(key) in self._settled.claimed):
            sentence = _("Another book in this file has this name; “{name}” was not renamed.")
            warnings.append(sentence.format(name=displayable(held.book.name)))
            return {name: value for name, value in changes.items() if name not in ("name", "author")}
        return changes

    def _change(self, held: MatchedBook, changes: dict[str, Any]) -> None:
        if not changes:
            return
        self._by_key[held.key].remove(held)
        for name, value in changes.items():
            setattr(held.book, name, value)
        held.changed.update(changes)
        self._put(held)

    def _add(self, row: Row, isbn: str) -> None:
        book = Book(isbn=isbn, **(row.said | {"kind": row.kind}))
        held = MatchedBook(book, _NEW + len(self.new), row.line, row.copies)
        self.new.append(held)
        self._put(held)

    def _put(self, held: MatchedBook) -> None:
        self._by_key[held.key].append(held)
        if held.book.isbn:
            self._by_isbn[held.book.isbn] = held


def _books_for(rows: Sequence[Row]) -> list[Book]:
    isbns = Counter(row.isbn for row in rows if row.isbn)
    found = {book.isbn: book for book in Book.objects.filter(isbn__in=list(isbns))} if isbns else {}
    # A row that is alone with its ISBN, and whose ISBN and name fit an existing book, cannot mean another
    # book.
    names = {
        row.name
        for row in rows
        if isbns[row.isbn] != 1 or row.isbn not in found or found[row.isbn].name != row.name
    }
    books = {book.pk: book for book in Book.objects.filter(name__in=names)} if names else {}
    books |= {book.pk: book for book in found.values()}
    return list(books.values())


def _missing_values(held: MatchedBook, row: Row, warnings: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    contradicted: list[str] = []
    for name, value in row.said.items():
        present = getattr(held.book, name)
        # A book without an ISBN is identified by name and authors together, so the author stays.
        if present in ("", None) and name != "author":
            changes[name] = value
        elif present != value:
            contradicted.append(str(getattr(Book, name).field.verbose_name))
    if contradicted:
        sentence = _("Line {line} is about the same book and differs ({fields}); its values were kept.")
        warnings.append(sentence.format(line=held.line, fields=", ".join(contradicted)))
    return changes


def _are_different(name: str, other: str) -> bool:
    return _letters(name) != _letters(other)


def _letters(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum()) or name

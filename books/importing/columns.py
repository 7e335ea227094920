"""Maps the columns of a file to the fields of a book, by the header or by the caller's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext as _

from books.importing.table import ImportFileError, displayable

# Names of each field in other catalogues, the most likely first, in lower case without spaces and
# punctuation. `columns_in` returns these keys, and the options of the command are named after them.
COLUMN_NAMES: Mapping[str, Sequence[str]] = {
    "name": ("name", "title", "booktitle", "bookname", "fulltitle", "originaltitle"),
    "author": ("author", "authors", "bookauthor", "bookauthors", "authorname", "writer", "creator"),
    "isbn": ("isbn", "isbn13", "isbn10", "ean", "ean13"),
    "published": (
        "published",
        "year",
        "originalpublicationyear",
        "publicationyear",
        "yearofpublication",
        "yearpublished",
        "publishedyear",
        "firstpublished",
        "publicationdate",
        "datepublished",
    ),
    "language": ("language", "languagecode", "lang"),
    "description": ("description", "summary", "blurb", "synopsis"),
    "kind": ("kind", "booktype", "bookkind"),
    "copies": ("copies", "numberofcopies", "copycount", "quantity"),
}


def columns_in(header: Sequence[str], *, chosen: Mapping[str, str | None]) -> dict[str, int]:
    """Return the position of the column of each field that has one in `header`.

    `chosen` names the column of a field; an empty string means that the file has none, and None means to
    guess. Case and punctuation are ignored. A guess never takes a column that is chosen for another field.
    Raises ImportFileError when a chosen column does not exist or no column holds the name.
    """
    found = {field: _chosen(header, name) for field, name in chosen.items() if name}
    plain = [_plain(column) for column in header]
    for field, names in COLUMN_NAMES.items():
        if chosen.get(field) is None:
            places = (plain.index(name) for name in names if name in plain)
            free = next((place for place in places if place not in found.values()), None)
            if free is not None:
                found[field] = free
    if "name" not in found:
        sentence = _("No column looks like the book's name. Say which one it is. The columns are: {columns}.")
        raise ImportFileError(sentence.format(columns=_listed(header)))
    return found


def _chosen(header: Sequence[str], name: str) -> int:
    if name in header:
        return list(header).index(name)
    plain = [_plain(column) for column in header]
    if _plain(name) not in plain:
        sentence = _("There is no column “{name}”. The columns are: {columns}.")
        raise ImportFileError(sentence.format(name=displayable(name), columns=_listed(header)))
    return plain.index(_plain(name))


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _listed(header: Sequence[str]) -> str:
    return ", ".join(displayable(column) for column in header)

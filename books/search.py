"""Finding books by what somebody types: the one address of it, for the API and the pages.

Every word must occur in the title or the authors, the last one at least as the beginning of a word, so
that results come while it is typed. Accents, case and punctuation do not count. A number that can be
an ISBN, or the first five digits of one or more, also finds the books that have it.

On PostgreSQL the words of each book are a stored column with an index, so a search takes milliseconds
in a million books, and a word that no book has is taken for those that come near. On SQLite every book
is read, and words must be spelt right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Case, F, Func, IntegerField, Q, QuerySet, TextField, When
from django.db.models.expressions import Col

from books.isbn import isbn_of
from books.models import Book
from books.spelling import respelt
from books.words import words_of

# More is cut off: no title that anybody types is longer.
LONGEST_TEXT = 200
# A text that means more books than so many says too little to list all that is of them.
MOST_MEANT = 100
# So many are put into an order of their own; more would have to be read before the first is known.
MOST_RANKED = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: `number` books, or `more` than that.

    `books` are ordered best first where they are not more, else by their key: the order can be
    changed. `near` says that no book had the words, and these have some that come near.
    """

    books: QuerySet[Book]
    number: int
    more: bool = False
    near: bool = False


def find(books: QuerySet[Book], text: str) -> Found:
    """Those of `books` that `text` means; an ISBN in any spelling means one. Takes up to three queries.

    Best is the whole title, then one that begins with the text, then one that has all the words.
    """
    text = text[:LONGEST_TEXT]
    if isbn := isbn_of(text):
        return _ranked(books.filter(isbn=isbn), [])
    words = words_of(text).split(" ")
    if words == [""]:
        return Found(books.none().order_by("id"), 0)
    found = _ranked(books.filter(_has([[word] for word in words]) | _has_isbn_begun_by(text)), words)
    if found.number or connection.vendor != "postgresql":
        return found
    instead = respelt(words, begun=_is_begun(words[-1]))
    if instead is None:
        return found
    found = _ranked(books.filter(_has(instead)), words)
    return Found(found.books, found.number, found.more, near=found.number > 0)


def meant_by(text: str, *, most: int) -> list[int]:
    """The keys of at most so many books that `text` means as it is spelt, best first."""
    found = find(Book.objects.all(), text)
    return [] if found.near else [book.pk for book in found.books.only("pk")[:most]]


def _ranked(books: QuerySet[Book], words: Sequence[str]) -> Found:
    hits = list(books.order_by().values_list("pk", "name")[: MOST_RANKED + 1])
    if len(hits) > MOST_RANKED:
        return Found(books.order_by("id"), MOST_RANKED, more=True)
    of_rank: list[list[int]] = [[], [], []]
    for pk, name in hits:
        rank = _rank(words_of(name), words)
        if rank < len(of_rank):
            of_rank[rank].append(pk)
    # By their keys, whatever the database thinks of how many the words will find.
    these = books.filter(pk__in=[pk for pk, _name in hits]).annotate(
        rank=Case(
            *(When(pk__in=keys, then=rank) for rank, keys in enumerate(of_rank) if keys),
            default=len(of_rank),
            output_field=IntegerField(),
        )
    )
    return Found(these.order_by("rank", "id"), len(hits))


def _rank(title: str, words: Sequence[str]) -> int:
    asked = " ".join(words)
    if title == asked:
        return 0
    if title.startswith(asked):
        return 1
    return 2 if _matches(title, asked) else 3


def _is_begun(word: str) -> bool:
    """Whether the last word typed may be the beginning of one; of a single letter too many are."""
    return len(word) > 1


def _matches(have: str, asked: str) -> bool:
    """Whether all the words of `asked`, the last perhaps only begun, are among those of `have`."""
    *whole, last = asked.split(" ")
    there = have.split(" ")
    if not all(word in there for word in whole):
        return False
    return last in there or (_is_begun(last) and any(word.startswith(last) for word in there))


def _has(words: Sequence[Sequence[str]]) -> Q:
    """The books that have one of each of `words`, of the last perhaps only the beginning."""
    return Q(_HasWords(_Words("pk"), "name", "author", words=words))


def _has_isbn_begun_by(text: str) -> Q:
    digits = re.sub("[ -]", "", text)
    if not re.fullmatch("[0-9]{5,13}", digits):
        return Q()
    begun = Q(isbn__range=(digits, digits.ljust(13, "9")))
    if not digits.startswith(("978", "979")):
        # The beginning of an ISBN-10.
        begun |= Q(isbn__range=(f"978{digits[:9]}", f"978{digits[:9]}".ljust(13, "9")))
    return begun & ~Q(isbn="")


_STORED = TextField()
_STORED.set_attributes_from_name("words")


class _Words(F):
    """The column `words`, which only PostgreSQL has and no model names, so that nobody fetches it."""

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Col:
        key: Any = super().resolve_expression(*args, **kwargs)
        return Col(key.alias, _STORED)


class _HasWords(Func):
    output_field = BooleanField()

    def __init__(self, *columns: Any, words: Sequence[Sequence[str]], **extra: Any) -> None:
        self.words = words
        super().__init__(*columns, **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        stored, parameters = compiler.compile(self.source_expressions[0])
        # Words have no quotes and no backslashes: those are separators.
        asked = [[f"'{word}'" for word in alternatives] for alternatives in self.words]
        asked[-1] = [f"{word}:*" if len(word) > len("'a'") else word for word in asked[-1]]
        query = " & ".join(f"({' | '.join(alternatives)})" for alternatives in asked)
        return f"{stored} @@ %s::tsquery", [*parameters, query]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        connection.ensure_connection()
        connection.connection.create_function("book_has_words", 3, _book_has_words, deterministic=True)
        (name, of_name), (author, of_author) = map(compiler.compile, self.source_expressions[1:])
        asked = " ".join(word for [word] in self.words)
        return f"book_has_words({name}, {author}, %s)", [*of_name, *of_author, asked]


def _book_has_words(name: str, author: str, asked: str) -> bool:
    return _matches(words_of(f"{name} {author}"), asked)

"""Full-text search for books, shared by the API and the pages.

Every word must occur in the title or the authors; the last one may be the beginning of a word, so that
results appear while the user types. Accents, case and punctuation are ignored. Five to thirteen digits also
find the books whose ISBN begins with them.

On PostgreSQL the words of each book are in a stored, indexed column, so a search among a million books takes
milliseconds, and a word that no book has is replaced by similar ones. On SQLite a search reads every book,
and words must be spelled correctly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Case, F, Func, IntegerField, Q, QuerySet, TextField, When
from django.db.models.expressions import Col

from books.isbn import normalize_isbn
from books.models import Book
from books.search_terms import fold_search_terms
from books.spelling import correct_spelling
from lori_assignment.db.word_search import MAX_LENGTH, MAX_WORDS

# A text that matches more books than this is too vague to list everything related to them.
MAX_MATCHES = 100
# Up to this many results are ranked; ranking more would mean reading them all before the first is known.
MAX_RANKED = 1000
# If PostgreSQL estimates at least this many results, there are certainly more than MAX_RANKED. Fetching
# MAX_RANKED of them through the index on words would visit every match, which takes a tenth of a second among
# a million books.
SURELY_MORE = 3 * MAX_RANKED


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search: `number` books, or more than that if `more` is true.

    `books` are ordered best first, or by primary key if `more` is true; callers may reorder them.
    `is_corrected` means that no book has the words searched for, and `books` have similar ones.
    """

    books: QuerySet[Book]
    number: int
    more: bool = False
    is_corrected: bool = False


def find(books: QuerySet[Book], text: str) -> SearchResult:
    """Return those of `books` that match `text`; an ISBN in any spelling matches one book.

    Ranks an exact title first, then titles that begin with the text, then titles that contain all words, then
    all others.

    Takes one query on SQLite. On PostgreSQL it takes two, the first an EXPLAIN, and up to three more when no
    book has the words.
    """
    text = text[:MAX_LENGTH]
    if isbn := normalize_isbn(text):
        return _ranked(books, Q(isbn=isbn), [])
    words = fold_search_terms(text).split(" ")[:MAX_WORDS]
    if words == [""]:
        return SearchResult(books.none().order_by("id"), 0)
    found = _ranked(books, _with_words([[word] for word in words]) | _isbn_starts_with(text), words)
    if found.number or connection.vendor != "postgresql":
        return found
    instead = correct_spelling(words, begun=_may_be_prefix(words[-1]))
    if instead is None:
        return found
    found = _ranked(books, _with_words(instead), words)
    return SearchResult(found.books, found.number, found.more, is_corrected=found.number > 0)


def matching_ids(text: str, *, most: int) -> list[int]:
    """Return the primary keys of up to `most` books that match `text` as it is spelled, best first."""
    found = find(Book.objects.all(), text)
    return [] if found.is_corrected else [book.pk for book in found.books.only("pk")[:most]]


def _ranked(books: QuerySet[Book], condition: Q, words: Sequence[str]) -> SearchResult:
    """Return those of `books` that meet `condition`, ranked by `words`."""
    found = books.filter(condition)
    if _expected(found) >= SURELY_MORE:
        return SearchResult(found.order_by("id"), MAX_RANKED, more=True)
    hits = list(found.order_by().values_list("pk", "name")[: MAX_RANKED + 1])
    if len(hits) > MAX_RANKED:
        return SearchResult(found.order_by("id"), MAX_RANKED, more=True)
    if not hits:
        return SearchResult(books.none().order_by("id"), 0)
    by_rank: dict[int, list[int]] = {rank: [] for rank in range(4)}
    for pk, name in hits:
        by_rank[_rank(fold_search_terms(name), words)].append(pk)
    # Most books have the same rank: it is the default, so their keys need not be listed.
    usual = max(by_rank, key=lambda rank: len(by_rank[rank]))
    # Filtered by primary key, so that the plan does not depend on the estimate for the words.
    these = books.filter(_AmongKeys("pk", keys=[pk for pk, _name in hits])).annotate(
        rank=Case(
            *(When(pk__in=keys, then=rank) for rank, keys in by_rank.items() if keys and rank != usual),
            default=usual,
            output_field=IntegerField(),
        )
    )
    return SearchResult(these.order_by("rank", "id"), len(hits))


def _expected(books: QuerySet[Book]) -> int:
    """Return the planner's estimate of the number of rows on PostgreSQL, else 0."""
    if connection.vendor != "postgresql":
        return 0
    [plan] = json.loads(books.order_by().explain(format="json"))
    return int(plan["Plan"]["Plan Rows"])


def _rank(title: str, words: Sequence[str]) -> int:
    """Return 0 for an exact title, 1 for its beginning, 2 for a title with all words, 3 for all others."""
    asked = " ".join(words)
    if title.startswith(asked):
        return 0 if title == asked else 1
    return 2 if _matches(title, words) else 3


def _may_be_prefix(word: str) -> bool:
    """Return whether the last word may be a prefix; a single letter would match too many words."""
    return len(word) > 1


def _matches(have: str, asked: Sequence[str]) -> bool:
    """Return whether all words of `asked`, the last possibly as a prefix, are among those of `have`."""
    *whole, last = asked
    have = f" {have} "
    end = "" if _may_be_prefix(last) else " "
    return f" {last}{end}" in have and all(f" {word} " in have for word in whole)


def _with_words(words: Sequence[Sequence[str]]) -> Q:
    """Match books that have a word of each group in `words`; those of the last group may be prefixes."""
    return Q(_HasWords(_Words("pk"), "name", "author", words=words))


def _isbn_starts_with(text: str) -> Q:
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
    """The column `words`. It exists only on PostgreSQL and is no model field, so it is never fetched."""

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Col:
        key: Any = super().resolve_expression(*args, **kwargs)
        return Col(key.alias, _STORED)


class _AmongKeys(Func):
    """Tests for a key in `keys`, passed as one parameter; `IN` takes milliseconds for a thousand keys."""

    output_field = BooleanField()

    def __init__(self, key: str, *, keys: list[int], **extra: Any) -> None:
        self.keys = keys
        super().__init__(key, **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        key, parameters = compiler.compile(self.source_expressions[0])
        return f"{key} = ANY(%s)", [*parameters, self.keys]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        key, parameters = compiler.compile(self.source_expressions[0])
        return f"{key} IN (SELECT value FROM json_each(%s))", [*parameters, json.dumps(self.keys)]  # noqa: S608  # nosec B608  # a column


class _HasWords(Func):
    output_field = BooleanField()

    def __init__(self, *columns: Any, words: Sequence[Sequence[str]], **extra: Any) -> None:
        self.words = words
        super().__init__(*columns, **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        stored, parameters = compiler.compile(self.source_expressions[0])
        # Quotes and backslashes are separators, so words contain none.
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
    return _matches(fold_search_terms(f"{name} {author}"), asked.split(" "))

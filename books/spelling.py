"""Corrects search words that no book has, on PostgreSQL only.

The table `books_word` holds the words of all titles and authors; a trigger fills it (see migration 0003). It
may hold a word twice, and keeps words after their last book is deleted.
"""

from __future__ import annotations

import string
from typing import Any

from django.db import connection

# Shorter words are similar to too many others; longer ones are not worth a lookup.
MIN_LENGTH = 3
MAX_LENGTH = 24
# Each lookup takes some milliseconds.
MAX_WORDS = 6
MAX_SUGGESTIONS = 5

_WHOLE = "word = %s"
# The column has the C collation, and no UTF-8 character sorts after U+10FFFF.
_PREFIX = "word >= %s AND word < %s"
_ITSELF = "SELECT %s::int AS position, 0 AS way, %s AS word, 1.0 AS likeness"
_KNOWN = f"{_ITSELF} WHERE EXISTS (SELECT FROM books_word WHERE {{known}})"  # nosec B608  # constants
# One edit (a letter added, missing or wrong, or two swapped) ranks before trigram similarity, which is low
# for short words.
_NEAR = """
SELECT %s::int, near.* FROM (
    SELECT CASE WHEN word = ANY(%s) THEN 1 ELSE 2 END AS way, word, similarity(word, %s) AS likeness
    FROM books_word
    WHERE (word = ANY(%s) OR word %% %s) AND NOT EXISTS (SELECT FROM books_word WHERE {known})
    GROUP BY word ORDER BY way, likeness DESC, word LIMIT %s
) AS near WHERE way = 1 OR likeness >= 0.4
"""


def correct_spelling(words: list[str], *, begun: bool) -> list[list[str]] | None:
    """Return for each of `words` the known words to search for instead; a known word stands for itself.

    With `begun` the last word may be a prefix. Returns None if all words are known, if one has no similar
    word, or if there are more than MAX_WORDS.
    """
    if len(words) > MAX_WORDS:
        return None
    selects: list[str] = []
    values: list[Any] = []
    for position, word in enumerate(words):
        if not MIN_LENGTH <= len(word) <= MAX_LENGTH:
            selects.append(_ITSELF)
            values += [position, word]
            continue
        known, told = _WHOLE, [word]
        if begun and position == len(words) - 1:
            known, told = _PREFIX, [word, f"{word}\U0010ffff"]
        slips = _one_edit_away(word)
        selects += [_KNOWN.format(known=known), _NEAR.format(known=known)]
        values += [position, word, *told, position, slips, word, slips, word, *told, MAX_SUGGESTIONS]
    with connection.cursor() as cursor:
        parts = " UNION ALL ".join(f"({select})" for select in selects)
        cursor.execute(f"{parts} ORDER BY position, way, likeness DESC, word", values)
        found = cursor.fetchall()
    instead: list[list[str]] = []
    for position in range(len(words)):
        ways = [(way, word) for place, way, word, _likeness in found if place == position]
        # Words one edit away make merely similar words unnecessary.
        instead.append([word for way, word in ways if way == ways[0][0]])
    return instead if all(instead) and instead != [[word] for word in words] else None


def _one_edit_away(word: str) -> list[str]:
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    letters = set(string.ascii_lowercase) | set(word)
    slips = {before + after[1:] for before, after in cuts if after}
    slips |= {before + after[1] + after[0] + after[2:] for before, after in cuts if len(after) > 1}
    slips |= {before + letter + after[1:] for before, after in cuts if after for letter in letters}
    slips |= {before + letter + after for before, after in cuts for letter in letters}
    return sorted(slips - {word})

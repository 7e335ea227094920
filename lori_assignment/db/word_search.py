"""The limits of a search, and its condition by words; the catalogue has its own, in `books.search`."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

# More words narrow no search, but each is a condition on every row.
MAX_WORDS = 12
# Characters of a search; no title is longer.
MAX_LENGTH = 200


def contains_words(text: str, fields: Sequence[str]) -> Q:
    """Return the condition that each of the first MAX_WORDS words of `text` is in one of `fields`.

    Ignores case. Without words it matches nothing.
    """
    words = text.replace("\x00", "").split()[:MAX_WORDS]
    condition = Q() if words else Q(pk__in=[])
    for word in words:
        condition &= Q.create([(f"{field}__icontains", word) for field in fields], Q.OR)
    return condition

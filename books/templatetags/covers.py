"""The picture of a book: its cover, or the one that is drawn for it."""

from __future__ import annotations

from typing import Any

from django import template

from books.drawn_covers import drawn_cover
from books.models import Book

register = template.Library()


@register.inclusion_tag("books/cover.html")
def cover(book: Book, *, lazy: bool = True) -> dict[str, Any]:
    """For a place where title and author stand beside it: screen readers pass it over.

    `lazy` is False for a cover that is seen at once.
    """
    return {"book": book, "lazy": lazy, "drawn": None if book.cover else drawn_cover(book)}

"""The parts of the catalogue's page that many see alike; see `lori_assignment.kept_parts`."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from books.models import Book
from lori_assignment.kept_parts import part

register = template.Library()

# What the template of a result reads of a book.
SHOWN = ("pk", "name", "author", "kind", "cover", "available", "copies_in_service")


@register.simple_tag
def result(book: Book, price: dict[str, Any] | None, *, lazy: bool = True) -> SafeString:
    """One book of a list; `lazy` is False for one that is seen at once."""
    seen = (*(str(getattr(book, name)) for name in SHOWN), *(price or {}).values())
    return part("books/result.html", (lazy, *seen), {"book": book, "price": price, "lazy": lazy})


@register.simple_tag
def catalogue_form(form: Any) -> SafeString:
    """The form of `books.forms`, with what was asked."""
    asked = tuple(sorted((name, str(value)) for name, value in form.data.items()))
    facets = (tuple(form.facets.languages), tuple(form.facets.decades))
    return part("books/form.html", (asked, facets), {"form": form})

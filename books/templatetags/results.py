"""The parts of the catalogue's page that many see alike, written once for each different one.

Each is kept under all that it shows, and under nothing else: whoever's page it is put into, whatever is
new in it makes another. So a page costs the parts that nobody has had yet.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from django import template
from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from books.models import Book

register = template.Library()

# Of three thousand letters each.
MOST = 2048
# What the template of a result reads of a book.
SHOWN = ("pk", "name", "author", "kind", "cover", "available", "copies_in_service")

_written: dict[Hashable, SafeString] = {}


@register.simple_tag
def result(book: Book, price: dict[str, Any] | None, *, lazy: bool = True) -> SafeString:
    """One book of a list; `lazy` is False for one that is seen at once."""
    seen = (*(str(getattr(book, name)) for name in SHOWN), *(price or {}).values())
    return _kept(
        (get_language(), lazy, *seen), "books/result.html", {"book": book, "price": price, "lazy": lazy}
    )


@register.simple_tag
def catalogue_form(form: Any) -> SafeString:
    """The form of `books.forms`, with what was asked."""
    asked = tuple(sorted((name, str(value)) for name, value in form.data.items()))
    facets = (tuple(form.facets.languages), tuple(form.facets.decades))
    return _kept((get_language(), asked, facets), "books/form.html", {"form": form})


def _kept(key: Hashable, name: str, facts: dict[str, Any]) -> SafeString:
    key = (name, key)
    written = _written.get(key)
    if written is None:
        if len(_written) >= MOST:
            _written.clear()
        written = _written[key] = mark_safe(get_template(name).render(facts))  # noqa: S308  # nosec B308 B703  # Escaped there.
    return written

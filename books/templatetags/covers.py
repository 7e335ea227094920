"""Template tags for a book's cover, its availability and the list of results.

They build HTML in Python, because included templates take ten times as long for 24 books.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from books.drawn_covers import drawn_cover, svg
from books.models import Book, Kind
from lori_assignment.money import format_money
from lori_assignment.templatetags.shop import icon
from rentals.models import Rate
from rentals.pricing import price_of_days

register = template.Library()

# The number of covers on the first screen; the others are loaded lazily.
COVERS_AT_ONCE = 4


@register.simple_tag
def cover(book: Book, *, lazy: bool = True) -> SafeString:
    """Return the cover image, or a drawn cover; screen readers skip it, since title and author follow.

    `lazy` is False for a cover on the first screen.
    """
    if not book.cover:
        return svg(drawn_cover(book))
    return format_html(
        '<img class="cover" src="{}" alt="" width="200" height="300"{} decoding="async">',
        book.cover.url,
        mark_safe(' loading="lazy"') if lazy else "",  # nosec B308 B703  # A constant.
    )


@register.simple_tag
def results(books: Sequence[Any], rates: dict[int, Rate]) -> SafeString:
    """Render a list of books with their counts and, for kinds in `rates`, their prices."""
    kinds = {kind.value: escape(capfirst(str(kind.label))) for kind in Kind}
    prices = {kind: _price_a_day(rate) for kind, rate in rates.items()}
    items = []
    for number, book in enumerate(books):
        author = f'<p class="by">{escape(book.author)}</p>' if book.author else ""
        items.append(
            f"<li>{cover(book, lazy=number >= COVERS_AT_ONCE)}"
            f'<div><h2><a href="{reverse("book", args=[book.pk])}">{escape(book.name)}</a></h2>{author}'
            f'<p class="facts-line">{availability(book)}<span class="kind">{kinds[book.kind]}</span></p>'
            f'<p class="cost">{prices.get(book.kind, "")}</p></div></li>'
        )
    return mark_safe("".join(items))  # noqa: S308  # nosec B308 B703  # Every text is escaped above.


def _price_a_day(rate: Rate) -> SafeString:
    """Return the price of a day, and the minimum price of a rental if that is higher."""
    daily = _("%(daily)s a day") % {"daily": format_money(rate.daily_rate)}
    price = format_html('<span class="price">{}</span>', daily)
    least = price_of_days(rate, 1).total
    if least <= rate.daily_rate:
        return price
    at_least = _("minimum %(least)s") % {"least": format_money(least)}
    return format_html('{} <span class="faint small">{}</span>', price, at_least)


@register.simple_tag
def availability(book: Any) -> SafeString:
    """Render how many copies of a book are free; the book must have its copy counts set."""
    if book.available:
        only = book.available == book.copies_in_service == 1
        free = {"free": book.available, "all": book.copies_in_service}
        text = _("Available") if only else _("%(free)s of %(all)s available") % free
        return _badge("badge good", "circle-check", text)
    if book.copies_in_service:
        return _badge("badge warn", "hourglass", _("All rented out"))
    return _badge("badge", "circle-slash", _("Unavailable"))


def _badge(css_class: str, icon_name: str, text: str) -> SafeString:
    return mark_safe(f'<span class="{css_class}">{icon(icon_name)}{escape(text)}</span>')  # noqa: S308  # nosec B308 B703  # Escaped.

"""The picture of a book, and whether it can be rented now: what each book of a list shows.

Tags in Python and not included templates, which take ten times as long for each of 24 books.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from books.drawn_covers import drawn_cover, svg
from books.models import Book
from lori_assignment.templatetags.shop import icon

register = template.Library()


@register.simple_tag
def cover(book: Book, *, lazy: bool = True) -> SafeString:
    """The cover, or one that is drawn, next to title and author: screen readers pass it over.

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
def result(book: Any, price: SafeString, *, lazy: bool = True) -> SafeString:
    """One book of a list, with its counts."""
    author = format_html('<p class="by">{}</p>', book.author) if book.author else ""
    return format_html(
        '<li>{}<div><h2><a href="{}">{}</a></h2>{}'
        '<p class="facts-line">{}<span class="kind">{}</span></p><p class="cost">{}</p></div></li>',
        cover(book, lazy=lazy),
        reverse("book", args=[book.pk]),
        book.name,
        author,
        availability(book),
        capfirst(book.get_kind_display()),
        price,
    )


@register.simple_tag
def availability(book: Any) -> SafeString:
    """How many copies of a book with counts are free."""
    if book.available:
        only = book.available == book.copies_in_service == 1
        free = {"free": book.available, "all": book.copies_in_service}
        text = _("Free") if only else _("%(free)s of %(all)s free") % free
        return _badge("badge good", "circle-check", text)
    if book.copies_in_service:
        return _badge("badge warn", "hourglass", _("All out"))
    return _badge("badge", "circle-slash", _("Not for rent now"))


def _badge(css_class: str, icon_name: str, text: str) -> SafeString:
    return format_html('<span class="{}">{}{}</span>', css_class, icon(icon_name), text)

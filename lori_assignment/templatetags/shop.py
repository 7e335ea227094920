"""What every page of the shop is written with."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from babel.numbers import format_decimal
from django import template
from django.conf import settings
from django.template import Context
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, to_locale
from lucide.templatetags.lucide import lucide

from lori_assignment.money import shown

register = template.Library()


@register.filter
def money(amount: Decimal | None) -> str:
    """An amount in the shop's currency; nothing for None."""
    return "" if amount is None else shown(amount)


@register.filter
def number(count: int) -> str:
    """A count with the language's separators. For people; an address takes the bare number."""
    return format_decimal(count, locale=to_locale(get_language() or settings.LANGUAGE_CODE))


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str, size: int = 20) -> SafeString:
    """A picture beside a word that says the same, so screen readers pass it over. Names: lucide.dev."""
    # The package draws anew each time; templates name a few dozen icons.
    facts = {"class": "icon", "aria-hidden": "true", "focusable": "false"}
    return mark_safe(lucide(Context(), name, size=size, **facts))  # noqa: S308  # The package's own drawing.

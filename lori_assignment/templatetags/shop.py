"""What every page of the shop is written with."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel.numbers import format_decimal
from django import template
from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.template import Context
from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, to_locale
from lucide.templatetags.lucide import lucide

from lori_assignment.money import format_money

register = template.Library()


@register.filter
def money(amount: Decimal | None) -> str:
    """An amount in the shop's currency; nothing for None."""
    return "" if amount is None else format_money(amount)


@register.simple_tag
def integrity(name: str) -> SafeString:
    """The attribute by which a browser knows a script of ours, and runs no other in its place."""
    digest = _digest.__wrapped__(name) if settings.DEBUG else _digest(name)
    return mark_safe(f'integrity="sha384-{digest}"')  # noqa: S308  # nosec B308 B703  # Base64.


@register.simple_tag
def asset(name: str) -> str:
    """As Django's `static`, which puts the address together anew each time."""
    if settings.DEBUG:
        return static(name)
    return _asset(name, settings.STORAGES["staticfiles"]["BACKEND"], settings.STATIC_URL)


@lru_cache
def _asset(name: str, _storage: str, _place: str) -> str:
    return static(name)


@lru_cache
def _digest(name: str) -> str:
    storage: Any = staticfiles_storage
    # Not by its type, which is that of a stand-in.
    if isinstance(storage, ManifestStaticFilesStorage):
        # As it was named and perhaps rewritten by collectstatic; where it came from is not in the image.
        content = Path(storage.path(storage.stored_name(name))).read_bytes()
    else:
        content = Path(str(finders.find(name))).read_bytes()
    return base64.b64encode(hashlib.sha384(content).digest()).decode()


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
    return mark_safe(lucide(Context(), name, size=size, **facts))  # noqa: S308  # nosec B308 B703  # The package's own.

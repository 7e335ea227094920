"""Template tags and filters for all pages."""

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
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, to_locale
from lucide.templatetags.lucide import lucide

from lori_assignment.http.member_pages import FORM_OWNER, UNSENT, carried_unsent, sign_form_owner
from lori_assignment.money import format_money

register = template.Library()


@register.filter
def money(amount: Decimal | None) -> str:
    """Format an amount in the shop's currency; None gives an empty string."""
    return "" if amount is None else format_money(amount)


@register.simple_tag(takes_context=True)
def unsent_field(context: Context) -> SafeString:
    """Return the hidden field that carries an unsent form through the sign-in (`member_form`)."""
    unsent = carried_unsent(context["request"])
    if not unsent:
        return SafeString()
    return format_html('<input type="hidden" name="{}" value="{}">', UNSENT, unsent)


@register.simple_tag(takes_context=True)
def form_owner(context: Context) -> SafeString:
    """Return the hidden field that says for which member a form was made (`member_form`)."""
    owner = sign_form_owner(context["request"].user)
    return format_html('<input type="hidden" name="{}" value="{}">', FORM_OWNER, owner)


@register.simple_tag
def integrity(name: str) -> SafeString:
    """Return the `integrity` attribute (Subresource Integrity) for one of our scripts."""
    digest = _digest.__wrapped__(name) if settings.DEBUG else _digest(name)
    return mark_safe(f'integrity="sha384-{digest}"')  # noqa: S308  # nosec B308 B703  # Base64.


@register.simple_tag
def asset(name: str) -> str:
    """Like Django's `static`, but cached outside DEBUG."""
    if settings.DEBUG:
        return static(name)
    return _asset(name, settings.STORAGES["staticfiles"]["BACKEND"], settings.STATIC_URL)


@lru_cache
def _asset(name: str, _storage: str, _place: str) -> str:
    return static(name)


@lru_cache
def _digest(name: str) -> str:
    storage: Any = staticfiles_storage
    # isinstance() and not type(): `staticfiles_storage` is a lazy object.
    if isinstance(storage, ManifestStaticFilesStorage):
        # The copy that collectstatic wrote and may have rewritten; the image does not contain the source.
        content = Path(storage.path(storage.stored_name(name))).read_bytes()
    else:
        content = Path(str(finders.find(name))).read_bytes()
    return base64.b64encode(hashlib.sha384(content).digest()).decode()


@register.filter
def number(count: int) -> str:
    """Format a count with the language's separators. For display only: a URL needs the bare number."""
    return format_decimal(count, locale=to_locale(get_language() or settings.LANGUAGE_CODE))


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str, size: int = 20) -> SafeString:
    """Render a decorative icon (lucide.dev), which screen readers skip: the text next to it says the same."""
    # Cached, because the package renders an icon on every call; templates use a few dozen.
    facts = {"class": "icon", "aria-hidden": "true", "focusable": "false"}
    return mark_safe(lucide(Context(), name, size=size, **facts))  # noqa: S308  # nosec B308 B703  # The package's own.

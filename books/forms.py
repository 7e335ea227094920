"""The search and filter form of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from books.catalogue import ORDERS, YEARS_A_DECADE, Facets
from books.languages import language_names
from books.models import Kind
from lori_assignment.db.word_search import MAX_LENGTH

KINDS = {kind.name.lower(): kind for kind in Kind}
# The order of arrival has a readable name, because it appears in URLs.
NEWEST = "newest"
ORDER_NAMES = {
    "": gettext_lazy("Best match"),
    NEWEST: gettext_lazy("Newest arrivals"),
    "name": gettext_lazy("Title, A to Z"),
    "-name": gettext_lazy("Title, Z to A"),
    "author": gettext_lazy("Author, A to Z"),
    "-author": gettext_lazy("Author, Z to A"),
    "-published": gettext_lazy("Publication year, newest first"),
    "published": gettext_lazy("Publication year, oldest first"),
}


NO_SUCH_CHOICE = gettext_lazy("This isn't one of the choices, so it was ignored.")


class OptionsSelect(forms.Select):
    """A select without optgroups that renders all options at once.

    Django renders two templates for each option, and the catalogue has about fifty.
    """

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        chosen = self.format_value(value)
        options = []
        for key, label in self.choices:
            selected = " selected" if str(key) in chosen else ""
            options.append(f'<option value="{escape(str(key))}"{selected}>{escape(str(label))}</option>')
        all_attrs = flatatt({**self.attrs, **(attrs or {}), "name": name})
        return mark_safe(f"<select{all_attrs}>{''.join(options)}</select>")  # noqa: S308  # nosec B308 B703  # Every text is escaped above.


class OrderField(forms.ChoiceField):
    """Offers the orders that have a name, and accepts the API's others too."""

    def valid_value(self, value: str) -> bool:
        return value in ORDER_NAMES or value in ORDERS


class CatalogueForm(forms.Form):
    """The catalogue's query string.

    Every field is optional. The valid fields apply even when others are invalid.
    """

    search = forms.CharField(
        label=gettext_lazy("Title, author or ISBN"), required=False, max_length=MAX_LENGTH
    )
    kind = forms.ChoiceField(label=gettext_lazy("Category"), required=False, widget=OptionsSelect)
    language = forms.ChoiceField(label=gettext_lazy("Language"), required=False, widget=OptionsSelect)
    decade = forms.TypedChoiceField(
        label=gettext_lazy("Published"),
        required=False,
        coerce=int,
        empty_value=None,
        widget=OptionsSelect,
    )
    ordering = OrderField(
        label=gettext_lazy("Sort by"),
        required=False,
        choices=[*ORDER_NAMES.items()],
        error_messages={"invalid_choice": NO_SUCH_CHOICE},
        widget=OptionsSelect,
    )
    available = forms.BooleanField(label=gettext_lazy("Available now"), required=False)

    def __init__(self, *args: Any, facets: Facets, **options: Any) -> None:
        super().__init__(*args, **options)
        self.facets = facets
        names = language_names(get_language() or "en")
        languages = sorted((capfirst(names.get(code, code)), code) for code in facets.languages)
        choices: dict[str, list[tuple[Any, Any]]] = {
            "kind": [("", _("Any")), *((name, capfirst(kind.label)) for name, kind in KINDS.items())],
            "language": [("", _("Any")), *((code, name) for name, code in languages)],
            "decade": [
                ("", _("Any year")),
                *decade_choices(reversed(facets.decades)),
            ],
        }
        for name, those in choices.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101  # for the type checker
            field.choices = those
            field.error_messages["invalid_choice"] = NO_SUCH_CHOICE

    def selects(self) -> list[forms.BoundField]:
        return [self[name] for name in ("kind", "language", "decade", "ordering")]


def decade_choices(decades: Iterable[int]) -> list[tuple[int, str]]:
    name, name_before_christ = _("%(decade)ds"), _("%(from)d–%(to)d BC")
    return [
        (decade, name % {"decade": decade})
        if decade >= 0
        else (decade, name_before_christ % {"from": -decade, "to": -decade - YEARS_A_DECADE + 1})
        for decade in decades
    ]


def year_name(year: int) -> str:
    return str(year) if year > 0 else _("%(year)d BC") % {"year": -year}

"""Language codes of books, stored as the shortest code of the language alone: `en` for `eng` or `en-GB`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from babel import Locale

# Enough for every code of a catalogue; bounded, because the values are user input.
_CODES_REMEMBERED = 1024


@lru_cache(maxsize=_CODES_REMEMBERED)
def language_code(text: str) -> str | None:
    """Return the shortest code of the language that `text` names, or None if there is none.

    Accepts ISO 639-1, both three-letter sets of ISO 639-2 (`fre` and `fra`), ISO 639-3 and whole language
    tags (`en-US`, `pt_BR`). Returns an empty string for `und` (undetermined) and for an empty text.
    """
    # Imported here, because its tables take 50 ms to load.
    from langcodes import Language, standardize_tag
    from langcodes.tag_parser import LanguageTagError

    text = text.strip()
    if text.casefold() in {"", "und"}:
        return ""
    try:
        found = Language.get(standardize_tag(text))
    except LanguageTagError:
        return None
    if not found.language or not re.fullmatch("[a-z]{2,3}", found.language):
        return None
    return found.language if Language.get(found.language).is_valid() else None


def language_name(code: str, *, in_language: str) -> str:
    """Return the name of a language in the language `in_language`: `French`, `Französisch`."""
    return language_names(in_language).get(code, code)


def language_names(in_language: str) -> Mapping[str, str]:
    """Return the names of languages by code, in the language `in_language`."""
    names: Mapping[str, str] = Locale.parse(in_language, sep="-").languages
    return names

"""Normalizes words for searching: without accents, case and punctuation.

On PostgreSQL the SQL function `book_words`, created in migration 0003, does the same for the stored column,
and a test compares the two. Change both together, and fill the stored column again.
"""

from __future__ import annotations

import re
import unicodedata

# Combining accents after decomposition, and invisible characters.
_MARKS = re.compile("[\u0300-\u036f\u00ad\u200b-\u200f\u2060\u3099\u309a\ufeff]")
_ASCII_SEPARATORS = "".join(chr(code) for code in range(128) if not chr(code).isalnum())
_SPACED = str.maketrans(dict.fromkeys(_ASCII_SEPARATORS, " "))
_SEPARATORS = _ASCII_SEPARATORS + "¡§«¶·»¿‐‒–—―‘’‚‛“”„‟†‡•′″‹›※⁄、。〈〉《》「」『』【】〔〕・"
_LETTERS = dict(zip("ςøłđðıħŧ", "σolddiht", strict=True)) | {"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
_REPLACED = str.maketrans(dict.fromkeys(_SEPARATORS, " ") | _LETTERS)
# Scripts without spaces: every character counts as a word.
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u9fff])")
# PostgreSQL rejects words of more than two thousand bytes.
_ENDLESS = re.compile("([^ ]{200})")


def fold_search_terms(text: str) -> str:
    """Return the words of `text`, separated by single spaces; empty if there are none."""
    if text.isascii():
        return " ".join(text.lower().translate(_SPACED).split())
    text = _MARKS.sub("", unicodedata.normalize("NFKD", text)).lower().translate(_REPLACED)
    text = _ENDLESS.sub(r"\1 ", _UNSPACED.sub(r" \1 ", text))
    return re.sub(" +", " ", text).strip(" ")

"""Normalizes and validates ISBNs, which are stored as thirteen digits."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from stdnum import isbn as standard
from stdnum.exceptions import ValidationError as StandardError
from stdnum.util import clean

# Exports for spreadsheets use ="0439023483" to keep the zeros; some catalogues write "ISBN-13: …".
_FORMULA = re.compile(r'\A="?([^"]*)"?\Z')
_LABEL = re.compile(r"\Aisbn(?:[- ]?1[03](?=[: ]))?[: ]*", re.IGNORECASE)
_FRACTION = re.compile(r"\.0+\Z")
_SHORTENED = re.compile(r"[0-9]{6,8}[0-9X]")
_SHAPE = re.compile(r"[0-9]{9}[0-9X]|97[89][0-9]{10}")


def normalize_isbn(text: str) -> str | None:
    """Return the thirteen digits of the ISBN in `text`, or None if it is not a valid ISBN.

    Accepts ISBN-10 and ISBN-13, with or without hyphens and spaces.
    """
    text = clean(text, " -").upper()
    # Checked first, because stdnum misses a trailing line feed and then fails on it.
    if not re.fullmatch(r"[0-9]{9}[0-9X]|[0-9]{13}", text):
        return None
    try:
        digits = standard.to_isbn13(standard.validate(text)).replace("-", "")
    except StandardError:
        return None
    # 979-0 is an ISMN (printed music), which has the same length and check digit but is no ISBN.
    return None if digits.startswith("9790") else digits


def normalize_repaired_isbn(text: str) -> str | None:
    """Normalize an ISBN after repairing what spreadsheets and catalogues do to it.

    Drops a trailing `.0`, a leading `ISBN` and the formula `="…"`, and restores the leading zeros of an
    ISBN-10 of seven to nine characters. Returns None if the check digit does not confirm the repair.
    """
    return normalize_isbn(_spelt_out(text))


def looks_like_isbn(text: str) -> bool:
    """Return whether `text`, repaired, has the shape of an ISBN. If it is not valid, a digit is wrong."""
    return bool(_SHAPE.fullmatch(_spelt_out(text)))


def _spelt_out(text: str) -> str:
    text = _LABEL.sub("", _FORMULA.sub(r"\1", text.strip()), count=1)
    text = clean(_FRACTION.sub("", text), " -").upper()
    return text.zfill(10) if _SHORTENED.fullmatch(text) else text


def validate_isbn(value: str) -> None:
    """Raise ValidationError unless `value` is the thirteen digits of a valid ISBN."""
    if normalize_isbn(value) != value:
        raise ValidationError(_("Enter a valid ISBN-13: 13 digits with a correct check digit."))

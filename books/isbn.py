"""ISBNs: every one is stored as its thirteen digits, or not at all."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from stdnum import isbn as standard
from stdnum.exceptions import ValidationError as StandardError
from stdnum.util import clean

# Spreadsheets are told by ="0439023483" to keep the zeros; some catalogues write "ISBN-13: …".
_FORMULA = re.compile(r'\A="?([^"]*)"?\Z')
_LABEL = re.compile(r"\Aisbn(?:[- ]?1[03](?=[: ]))?[: ]*", re.IGNORECASE)
_FRACTION = re.compile(r"\.0+\Z")
_SHORTENED = re.compile(r"[0-9]{6,8}[0-9X]")
_SHAPE = re.compile(r"[0-9]{9}[0-9X]|97[89][0-9]{10}")


def normalize_isbn(text: str) -> str | None:
    """The thirteen digits that `text` stands for; None when it is no valid ISBN.

    Accepts ISBN-10 and ISBN-13, with or without hyphens and spaces.
    """
    text = clean(text, " -").upper()
    # Asked first, because stdnum overlooks a line feed at the end and then trips over it.
    if not re.fullmatch(r"[0-9]{9}[0-9X]|[0-9]{13}", text):
        return None
    try:
        digits = standard.to_isbn13(standard.validate(text)).replace("-", "")
    except StandardError:
        return None
    # 979-0 is printed music: an ISMN has the same length and check digit, and is no ISBN.
    return None if digits.startswith("9790") else digits


def normalize_repaired_isbn(text: str) -> str | None:
    """As `normalize_isbn`, for what spreadsheets and catalogues make of an ISBN.

    A trailing `.0`, a leading `ISBN` and the formula `="…"` are dropped, and an ISBN-10 of seven to
    nine characters gets its leading zeros back. The check digit then tells whether that is what it
    was; if not, the answer is None.
    """
    return normalize_isbn(_spelt_out(text))


def looks_like_isbn(text: str) -> bool:
    """True when `text`, repaired, has the digits of an ISBN: if it is none, a digit of it is wrong."""
    return bool(_SHAPE.fullmatch(_spelt_out(text)))


def _spelt_out(text: str) -> str:
    text = _LABEL.sub("", _FORMULA.sub(r"\1", text.strip()), count=1)
    text = clean(_FRACTION.sub("", text), " -").upper()
    return text.zfill(10) if _SHORTENED.fullmatch(text) else text


def validate_isbn(value: str) -> None:
    """Refuse what is not the thirteen digits of a valid ISBN."""
    if normalize_isbn(value) != value:
        raise ValidationError(_("This is not a valid ISBN-13: thirteen digits, the last a check digit."))

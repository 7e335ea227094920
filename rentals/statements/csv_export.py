"""Exports a statement as CSV for spreadsheets: ISO 8601 times, amounts with a decimal point."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from lori_assignment.money import plain_amount
from rentals.statements.monthly import Statement, shop_zone
from rentals.statements.wording import note_of, title_of

# Without it, Excel does not recognise UTF-8.
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
# A spreadsheet treats a cell that begins like this as a formula, and may run it.
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
CHUNK_SIZE = 500


class _Echo:
    """A file-like object that returns what is written to it."""

    def write(self, line: str) -> str:
        return line


def escape_formula(text: str) -> str:
    """Return `text` as a cell that no spreadsheet treats as a formula."""
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text


def csv_lines(statement: Statement) -> Iterator[str]:
    """Yield the file line by line, so that a long month takes no more memory than a short one."""
    write: Any = csv.writer(_Echo()).writerow
    yield BYTE_ORDER_MARK + write(
        [
            *(_("No."), _("Time"), _("Type"), _("Description"), _("Note"), _("Rental no.")),
            *(_("Amount"), _("Posted balance"), _("Currency")),
        ]
    )
    zone = shop_zone()
    currency = settings.CURRENCY
    opens = statement.month.start.isoformat(timespec="seconds")
    yield write(
        [
            "",
            opens,
            "opening",
            _("Posted balance before"),
            "",
            "",
            "",
            plain_amount(statement.opening),
            currency,
        ]
    )
    for entry in statement.entries().iterator(chunk_size=CHUNK_SIZE):
        yield write(
            [
                entry.number,
                entry.posted_at.astimezone(zone).isoformat(timespec="seconds"),
                entry.kind,
                escape_formula(title_of(entry)),
                escape_formula(note_of(entry)),
                entry.rental_id or "",
                plain_amount(entry.amount),
                plain_amount(entry.balance),
                currency,
            ]
        )

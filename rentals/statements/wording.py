"""Describes ledger entries, and how amounts were computed, in the current language.

The ledger stores names and numbers that depend on no language. Pages, PDF and CSV share these descriptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from books.models import Kind
from lori_assignment.money import format_money
from rentals.models import ZERO, LedgerEntry, Rental
from rentals.pricing import Price, PriceLine


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a working: the reason and the amount."""

    words: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Working:
    """How the amount of a rental was computed; the steps add up to `total`."""

    price_list: str
    kind: str
    rented_at: datetime
    # The time of the return, or the time at which an open rental is priced.
    until: datetime
    days: int
    late_days: int
    steps: tuple[Step, ...]
    total: Decimal


def title_of(entry: LedgerEntry) -> str:
    """Return a title such as "Rental: Emma" or "Payment, cash". Reads what `with_relations` fetches."""
    kind = LedgerEntry.Kind(entry.kind)
    if kind == LedgerEntry.Kind.REVERSAL and entry.reverses is not None:
        return _("Reversal of no. %(number)d") % {"number": entry.reverses.number}
    if entry.rental is not None and kind in (LedgerEntry.Kind.RENT, LedgerEntry.Kind.LOST_BOOK):
        book = entry.rental.book.name
        if kind == LedgerEntry.Kind.RENT:
            return _("Rental: %(book)s") % {"book": book}
        return _("Lost book: %(book)s") % {"book": book}
    if entry.method:
        method = entry.get_method_display()
        if kind == LedgerEntry.Kind.REFUND:
            return _("Refund, %(method)s") % {"method": method}
        return _("Payment, %(method)s") % {"method": method}
    return {
        LedgerEntry.Kind.LOST_BOOK: _("Lost book"),
        LedgerEntry.Kind.WAIVER: _("Waived"),
    }.get(kind, str(kind.label))


def note_of(entry: LedgerEntry) -> str:
    """Return the entry's note; for a reversal without a note, the usual reason."""
    if entry.note or entry.reverses is None:
        return entry.note
    if entry.reverses.kind == LedgerEntry.Kind.RENT:
        return _("The rental was entered by mistake and is void.")
    return _("The transaction was entered by mistake.")


def balance_in_words(balance: Decimal) -> str:
    """Return a sentence to the member that says who owes whom, all in all."""
    if balance > 0:
        return _("You owe %(amount)s.") % {"amount": format_money(balance)}
    if balance < 0:
        return _("You have %(amount)s in credit.") % {"amount": format_money(-balance)}
    return _("You don't owe anything.")


def posted_in_words(posted: Decimal) -> str:
    """Like `balance_in_words`, for the ledger alone."""
    if posted > 0:
        return _("You owe %(amount)s, not counting books on loan.") % {"amount": format_money(posted)}
    if posted < 0:
        return _("You have %(amount)s in credit, not counting books on loan.") % {
            "amount": format_money(-posted)
        }
    return _("You don't owe anything, not counting books on loan.")


def working_of(entry: LedgerEntry) -> Working | None:
    """Return how the amount of a rent entry was computed; None for other entries."""
    kept = entry.working
    if not kept:
        return None
    lines = [
        PriceLine(
            line["what"],
            Decimal(line["amount"]),
            line.get("days"),
            Decimal(line["rate"]) if "rate" in line else None,
        )
        for line in kept["lines"]
    ]
    return Working(
        price_list=kept["price_list"],
        kind=kind_named(kept["kind"]),
        rented_at=datetime.fromisoformat(kept["rented_at"]),
        until=datetime.fromisoformat(kept["returned_at"]),
        days=kept["days"],
        late_days=kept["late_days"],
        steps=_steps(lines),
        total=entry.amount,
    )


def working_so_far(rental: Rental, price: Price, *, until: datetime) -> Working:
    """Return how the running cost of an open rental is computed; `price` is its price at `until`."""
    return Working(
        price_list=rental.price_list.name,
        kind=str(Kind(rental.rate.kind).label),
        rented_at=rental.rented_at,
        until=until,
        days=price.days,
        late_days=price.late_days,
        steps=_steps(price.lines),
        total=price.total,
    )


def kind_named(name: str) -> str:
    """Return the label of a kind that the ledger stores as "regular", "fiction" or "novel"."""
    known = {kind.name.lower(): kind for kind in Kind}
    return str(known[name].label) if name in known else name


def _steps(lines: Sequence[PriceLine]) -> tuple[Step, ...]:
    return tuple(Step(_describe_line(line), line.amount) for line in lines)


def _describe_line(line: PriceLine) -> str:
    if line.what == "minimum":
        return _("Minimum charge for this category")
    if line.what == "cap":
        return _("Capped at the price of the book")
    days = line.days or 0
    facts = {"days": days, "rate": format_money(line.rate or ZERO)}
    if line.what == "first_days":
        words = ngettext("First day at %(rate)s", "First %(days)d days at %(rate)s", days)
    elif line.what == "late_fee":
        words = ngettext("Late fee: %(days)d day at %(rate)s", "Late fee: %(days)d days at %(rate)s", days)
    else:
        words = ngettext("%(days)d day at %(rate)s", "%(days)d days at %(rate)s", days)
    return words % facts

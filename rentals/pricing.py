"""Computes what a rental costs, without database, clock or settings.

Guarantees, each checked by a property test:

- A rental is charged for its elapsed time, in started periods of 24 hours, at least one. Time zones and clock
  changes have no effect.
- A longer rental never costs less, and the cost rises only when a new period starts.
- The lines add up to the total, and every amount is exact: rates have the currency's places and are
  multiplied by whole days, so nothing is rounded here.
- Rent and late fee together never exceed the replacement price, if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

DAY = timedelta(days=1)
NOTHING = Decimal(0)


class Terms(Protocol):
    """What one kind of book costs; the model Rate implements it. Amounts have the currency's places."""

    first_days: int
    first_days_rate: Decimal
    daily_rate: Decimal
    minimum: Decimal
    late_fee: Decimal


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One line of the working. `what` is first_days, daily, minimum, late_fee or cap."""

    what: str
    amount: Decimal
    days: int | None = None
    rate: Decimal | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the line as the ledger stores it and the API shows it; amounts are strings."""
        data: dict[str, Any] = {"what": self.what}
        if self.days is not None:
            data |= {"days": self.days, "rate": str(self.rate)}
        return data | {"amount": str(self.amount)}


@dataclass(frozen=True, slots=True)
class Price:
    """A total and the lines that add up to it."""

    days: int
    late_days: int
    lines: tuple[PriceLine, ...]

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), NOTHING)

    def as_json(self) -> dict[str, Any]:
        return {
            "days": self.days,
            "late_days": self.late_days,
            "lines": [line.as_json() for line in self.lines],
        }


@dataclass(frozen=True, slots=True)
class Renewal:
    """A renewal at `at` of a rental that was due at `due_before` until then."""

    at: datetime
    due_before: datetime


def started_days(start: datetime, end: datetime) -> int:
    """Return how many periods of 24 hours have started between two aware datetimes; 0 if none has.

    Exactly 24 hours is one, a microsecond more is two.
    """
    # Python subtracts two datetimes in the same time zone by wall-clock time, which is off by an hour across
    # a clock change. UTC has no clock changes.
    elapsed = end.astimezone(UTC) - start.astimezone(UTC)
    return max(0, -(-elapsed // DAY))


def price_of_days(terms: Terms, days: int, *, late_days: int = 0, cap: Decimal | None = None) -> Price:
    """Return the price of `days` started days, `late_days` of them past the due date.

    `cap` is the replacement price of the copy; None if none is set.
    """
    first = min(days, terms.first_days)
    after = days - first
    lines = []
    if first:
        lines.append(PriceLine("first_days", first * terms.first_days_rate, first, terms.first_days_rate))
    if after:
        lines.append(PriceLine("daily", after * terms.daily_rate, after, terms.daily_rate))
    rent = sum((line.amount for line in lines), NOTHING)
    if rent < terms.minimum:
        lines.append(PriceLine("minimum", terms.minimum - rent))
    if late_days and terms.late_fee:
        lines.append(PriceLine("late_fee", late_days * terms.late_fee, late_days, terms.late_fee))
    total = sum((line.amount for line in lines), NOTHING)
    if cap is not None and total > cap:
        lines.append(PriceLine("cap", cap - total))
    return Price(days=days, late_days=late_days, lines=tuple(lines))


def price(
    terms: Terms,
    *,
    rented_at: datetime,
    due_at: datetime,
    until: datetime,
    renewals: Iterable[Renewal] = (),
    cap: Decimal | None = None,
) -> Price:
    """Return the price of a rental from `rented_at` until `until`; all datetimes are aware.

    Days that were late before one of the `renewals` moved the due date stay late.
    """
    late_days = started_days(due_at, until)
    for renewal in renewals:
        late_days += started_days(renewal.due_before, min(renewal.at, until))
    return price_of_days(
        terms,
        max(1, started_days(rented_at, until)),
        late_days=late_days,
        cap=cap,
    )

"""The shop's rental rules for the baselines, independent of their ORM."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rentals.pricing import Renewal, price


def owed_for(rental: Any, now: datetime) -> Decimal:
    """Return what an open rental would cost if the copy were returned now."""
    return price(
        rental.rate,
        rented_at=rental.rented_at,
        due_at=rental.due_at,
        until=now,
        renewals=[
            Renewal(datetime.fromisoformat(at), datetime.fromisoformat(due)) for at, due in rental.due_before
        ],
        cap=rental.replacement_price,
    ).total


def refusals(
    member: Any, book: Any, policy: Any, open_rentals: Sequence[Any], posted: Decimal | None, now: datetime
) -> list[str]:
    """Return why the member may not rent the book. The caller checks for a free copy and a rate."""
    reasons = []
    if not member.is_active:
        reasons.append("member_inactive")
    if any(rental.copy.book_id == book.id for rental in open_rentals):
        reasons.append("already_rented")
    if len(open_rentals) >= policy.max_open_rentals:
        reasons.append("rental_limit")
    if (posted or Decimal(0)) + sum(owed_for(rental, now) for rental in open_rentals) > policy.debt_limit:
        reasons.append("debt_limit")
    return reasons

"""Selects a member's ledger entries and balances for a monthly statement, in the shop's time zone.

A month is a range of entry numbers. So the opening balance, the month's entries and the closing balance
always add up, and the opening balance is read from one entry, however long the history is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q, Sum

from accounts.models import User
from rentals.models import ZERO, LedgerEntry, LedgerEntryQuerySet

# Requests read the clock before they wait for the member's lock, so the times of entries may be out of order.
# But not over as many entries as this: so many requests would have had to wait at once.
MAX_OUT_OF_ORDER = 20


def shop_zone() -> ZoneInfo:
    return ZoneInfo(settings.TIME_ZONE)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    year: int
    number: int

    @classmethod
    def of(cls, at: datetime) -> Self:
        """Return the month of `at` in the shop's time zone."""
        local = at.astimezone(shop_zone())
        return cls(local.year, local.month)

    @property
    def first_day(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=shop_zone())

    @property
    def next(self) -> Month:
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def before(self) -> Month:
        return Month(self.year, self.number - 1) if self.number > 1 else Month(self.year - 1, 12)

    def __str__(self) -> str:
        """Return the month as in URLs: 2026-11."""
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One member's account in one month: `opening` and the entries add up to `closing`."""

    member: User
    month: Month
    opening: Decimal
    closing: Decimal
    # The numbers of the last entry before the month and of the last entry in it.
    after: int
    last: int
    # None in the first month and in the current one, respectively.
    previous: Month | None
    following: Month | None
    # Whether entries may still be added.
    is_running: bool

    def entries(self) -> LedgerEntryQuerySet:
        entries: LedgerEntryQuerySet = LedgerEntry.objects.filter(
            user=self.member, number__gt=self.after, number__lte=self.last
        )
        return entries.with_relations().order_by("number")

    def totals(self) -> tuple[Decimal, Decimal]:
        """Return the sums charged and credited in the month; both are positive or zero."""
        sums = (
            self.entries()
            .order_by()
            .aggregate(
                charged=Sum("amount", filter=Q(amount__gt=0)), credited=Sum("amount", filter=Q(amount__lt=0))
            )
        )
        return sums["charged"] or ZERO, -(sums["credited"] or ZERO)


def months_of(member: User, *, at: datetime) -> list[Month]:
    """Return the months from the first entry to `at`, the latest first; each has a statement."""
    return list(_months_descending(first_month(member, at=at), Month.of(at)))


def first_month(member: User, *, at: datetime) -> Month:
    """Return the month of the account's first entry, or of `at` if there is none."""
    entries = LedgerEntry.objects.filter(user=member).order_by("number")
    posted_at = entries.values_list("posted_at", flat=True).first()
    return min(Month.of(posted_at or at), Month.of(at))


def _months_descending(first: Month, last: Month) -> Iterator[Month]:
    month = last
    while month >= first:
        yield month
        month = month.before


def statement(member: User, month: Month, *, at: datetime) -> Statement | None:
    """Return the statement of `month`; None if it is before the first entry or after `at`."""
    first, latest = first_month(member, at=at), Month.of(at)
    if not first <= month <= latest:
        return None
    after, opening = _entry_before(member, month.start)
    last, closing = _entry_before(member, month.next.start)
    return Statement(
        member=member,
        month=month,
        opening=opening,
        closing=closing,
        after=after,
        last=last,
        previous=month.before if month > first else None,
        following=month.next if month < latest else None,
        is_running=month == latest,
    )


def _entry_before(member: User, at: datetime) -> tuple[int, Decimal]:
    """Return the number and the balance of the last entry that was posted before `at`."""
    latest = (
        LedgerEntry.objects.filter(user=member, posted_at__lt=at)
        # By number too, because many entries may have the same time.
        .order_by("-posted_at", "-number")
        .values_list("number", "balance")[:MAX_OUT_OF_ORDER]
    )
    return max(latest, default=(0, ZERO))

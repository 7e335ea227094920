"""Statements: a member's account month by month, in the shop's time zone.

A month is a run of the account's numbers. So the opening balance, the month's entries and the closing
balance always add up, and the opening balance is one row, however long the history is.
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

# Two doors read their clocks before one of them waits for the other, so times may run back within an
# account. Never over so many entries as this: they would all have had to wait at once.
MAX_OUT_OF_ORDER = 20


def shop_zone() -> ZoneInfo:
    return ZoneInfo(settings.TIME_ZONE)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    year: int
    number: int

    @classmethod
    def of(cls, at: datetime) -> Self:
        """The month in which `at` is in the shop."""
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
        """As in an address: 2026-11."""
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One member's account in one month: `opening` and the entries add up to `closing`."""

    member: User
    month: Month
    opening: Decimal
    closing: Decimal
    # The number of the last entry before the month, and of the last in it.
    after: int
    last: int
    # None in the first month, and in the one that `at` is in.
    previous: Month | None
    following: Month | None
    # Whether entries may still come.
    is_running: bool

    def entries(self) -> LedgerEntryQuerySet:
        entries: LedgerEntryQuerySet = LedgerEntry.objects.filter(
            user=self.member, number__gt=self.after, number__lte=self.last
        )
        return entries.with_relations().order_by("number")

    def totals(self) -> tuple[Decimal, Decimal]:
        """What was charged in the month, and what was credited; both positive or zero."""
        sums = (
            self.entries()
            .order_by()
            .aggregate(
                charged=Sum("amount", filter=Q(amount__gt=0)), credited=Sum("amount", filter=Q(amount__lt=0))
            )
        )
        return sums["charged"] or ZERO, -(sums["credited"] or ZERO)


def months_of(member: User, *, at: datetime) -> list[Month]:
    """The months that have a statement, the latest first: from the first entry to the month of `at`."""
    return list(_months_descending(first_month(member, at=at), Month.of(at)))


def first_month(member: User, *, at: datetime) -> Month:
    """The month of the account's first entry, or of `at` where there is none."""
    entries = LedgerEntry.objects.filter(user=member).order_by("number")
    posted_at = entries.values_list("posted_at", flat=True).first()
    return min(Month.of(posted_at or at), Month.of(at))


def _months_descending(first: Month, last: Month) -> Iterator[Month]:
    month = last
    while month >= first:
        yield month
        month = month.before


def statement(member: User, month: Month, *, at: datetime) -> Statement | None:
    """The account in `month`; None where there is none: before the first entry, or after `at`."""
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
    """The number of the last entry that was posted before `at`, and the balance with it."""
    latest = (
        LedgerEntry.objects.filter(user=member, posted_at__lt=at)
        # By number too: of many entries of one moment any could come first.
        .order_by("-posted_at", "-number")
        .values_list("number", "balance")[:MAX_OUT_OF_ORDER]
    )
    return max(latest, default=(0, ZERO))

"""Counts the desk's figures, at most once a minute for all processes together.

Open rentals and live holds are counted by partial indexes on them, so a long history costs nothing. What
members owe is a running sum in the cache: each ledger entry carries the member's balance, so it shows how
much it changed the sum, and old entries are read only once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django.db.models import F, IntegerField, Q, QuerySet, Sum, Value
from django.db.models.functions import Greatest

from books.models import Copy
from lori_assignment.db.errors import TIMED_OUT, sqlstate
from lori_assignment.money import AmountField
from rentals.models import ZERO, Hold, LedgerEntry, Rental

MAX_AGE = timedelta(minutes=1)
# After a count that is incomplete, or whose process was killed.
RETRY_AFTER = timedelta(seconds=5)
# Seconds for all counts together: the page never waits longer.
TIMEOUT = 1.0
# No transaction lasts this long, so no older entry can still be committed.
SETTLED_AFTER = timedelta(hours=1)
BATCH_SIZE = 50_000

# Cache keys. During a deployment two versions read the values of the first and the last: change the key with
# the shape of its value.
FIGURES, COUNTING, RUNNING_SUM = "dashboard-counts-1", "dashboard-counting", "dashboard-owed-1"

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class DashboardCounts:
    """The figures at `at`; None if a figure could not be counted in time."""

    at: datetime
    out: int | None
    overdue: int | None
    waiting: int | None
    ready: int | None
    in_service: int | None
    # The sum of all positive ledger balances, without the running cost of open rentals.
    owed: Decimal | None

    @property
    def max_age(self) -> timedelta:
        facts = (self.out, self.overdue, self.waiting, self.ready, self.in_service, self.owed)
        return RETRY_AFTER if None in facts else MAX_AGE


def dashboard_counts(*, at: datetime) -> DashboardCounts | None:
    """Return figures of at most a minute before `at`.

    While another process is counting, return the previous figures, or None if there are none.
    """
    kept: DashboardCounts | None = cache.get(FIGURES)
    if kept and kept.at > at - kept.max_age:
        return kept
    if not cache.add(COUNTING, 1, timeout=RETRY_AFTER.total_seconds()):
        return kept
    counted = count_now(at=at)
    cache.set(FIGURES, counted, timeout=None)
    return counted


def count_now(*, at: datetime) -> DashboardCounts:
    """Count all figures within TIMEOUT, ignoring the cached ones."""
    end = time.monotonic() + TIMEOUT

    def number(rows: QuerySet[Any]) -> int | None:
        return _within_deadline(end, rows.count)

    return DashboardCounts(
        at=at,
        out=number(Rental.objects.open()),
        overdue=number(Rental.objects.overdue(at)),
        waiting=number(Hold.objects.waiting()),
        ready=number(Hold.objects.ready()),
        owed=_sum_owed(end, at=at),
        # Counted last, because it grows with the stock.
        in_service=number(Copy.objects.in_service()),
    )


def _within_deadline(end: float, ask: Callable[[], _Answer]) -> _Answer | None:
    """Return the result of `ask`; None if the database does not answer by `end`."""
    left = int((end - time.monotonic()) * 1000)
    if left <= 0:
        return None
    try:
        with transaction.atomic(), _statement_timeout(left):
            return ask()
    except DatabaseError as error:
        if sqlstate(error) not in TIMED_OUT:
            raise
        return None


@contextmanager
def _statement_timeout(milliseconds: int) -> Iterator[None]:
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
        yield
        # Restores the timeout for the rest of the caller's transaction.
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")


class _RunningSum(NamedTuple):
    """What members owe by the entries up to `key`; `last` is the last of them, to detect another ledger."""

    key: int
    last: tuple[int, datetime] | None
    owed: Decimal


_NONE = Value(0, output_field=IntegerField())
_AMOUNT = AmountField(max_digits=17)
_OWED_CHANGE = Sum(
    Greatest(F("balance"), _NONE, output_field=_AMOUNT)
    - Greatest(F("balance") - F("amount"), _NONE, output_field=_AMOUNT),
    output_field=_AMOUNT,
)


def _sum_owed(end: float, *, at: datetime) -> Decimal | None:
    """Return the sum of all positive balances; None while it is incomplete."""
    entries = LedgerEntry.objects.order_by("-pk").values_list("pk", "posted_at")
    settled = LedgerEntry.objects.filter(posted_at__lt=at - SETTLED_AFTER).order_by("-posted_at", "-pk")
    until = _within_deadline(end, settled.values_list("pk", flat=True).first) or 0
    done: _RunningSum | None = cache.get(RUNNING_SUM)
    if done is None or _within_deadline(end, entries.filter(pk__lte=done.key).first) != done.last:
        # Nothing is summed yet, or the ledger is another one, such as a restored backup.
        done = _RunningSum(0, None, ZERO)
    begun = done
    while done.key < until:
        key = min(done.key + BATCH_SIZE, until)
        more = _sum_owed_change(end, Q(pk__gt=done.key, pk__lte=key))
        if more is None:
            break
        done = _RunningSum(key, None, done.owed + more)
    if done != begun:
        cache.set(RUNNING_SUM, done._replace(last=entries.filter(pk__lte=done.key).first()), timeout=None)
    if done.key < until:
        return None
    rest = _sum_owed_change(end, Q(pk__gt=done.key))
    return None if rest is None else done.owed + rest


def _sum_owed_change(end: float, which: Q) -> Decimal | None:
    found = _within_deadline(end, lambda: LedgerEntry.objects.filter(which).aggregate(more=_OWED_CHANGE))
    return None if found is None else found["more"] or ZERO

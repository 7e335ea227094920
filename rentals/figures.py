"""The shop in a few figures, for the desk: counted at most once a minute, whoever asks on whichever machine.

What is out and who waits is counted in indexes of nothing else, however long the history. What is owed is
added up from where it was left: a ledger entry says by itself how much more is owed with it than before, so
none is read twice.
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
from django.db.models import DecimalField, F, IntegerField, Q, QuerySet, Sum, Value
from django.db.models.functions import Greatest

from books.models import Copy
from lori_assignment.faults import WAITED_TOO_LONG, state_of
from rentals.ledger import CENT
from rentals.models import ZERO, Hold, LedgerEntry, Rental

KEPT = timedelta(minutes=1)
# Where not all could be counted, and where whoever was counting has gone.
TRIED_AGAIN = timedelta(seconds=5)
# In all: nobody waits longer for the page.
SECONDS = 1.0
# No transaction lasts as long, so no entry from before this will still come in.
SETTLED = timedelta(hours=1)
ENTRIES_AT_A_TIME = 50_000

# The names in the cache. What is kept under the first and the last is read by whichever version runs beside
# this one, so another shape of it is of another name.
FIGURES, COUNTING, ADDED_UP = "figures-1", "figures-counting", "figures-added-up-1"

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Figures:
    """The shop at `at`. None is what could not be counted in time."""

    at: datetime
    out: int | None
    overdue: int | None
    waiting: int | None
    ready: int | None
    in_service: int | None
    # By the ledger, of all members who owe: what is out costs more each day, and is not in it.
    owed: Decimal | None

    @property
    def kept_for(self) -> timedelta:
        facts = (self.out, self.overdue, self.waiting, self.ready, self.in_service, self.owed)
        return TRIED_AGAIN if None in facts else KEPT


def figures(*, at: datetime) -> Figures | None:
    """Those of at most a minute before `at`; while somebody else is counting, the last ones, or none yet."""
    kept: Figures | None = cache.get(FIGURES)
    if kept and kept.at > at - kept.kept_for:
        return kept
    if not cache.add(COUNTING, 1, timeout=TRIED_AGAIN.total_seconds()):
        return kept
    counted = count(at=at)
    cache.set(FIGURES, counted, timeout=None)
    return counted


def count(*, at: datetime) -> Figures:
    """Count all anew, within SECONDS."""
    end = time.monotonic() + SECONDS

    def number(rows: QuerySet[Any]) -> int | None:
        return _in_time(end, rows.count)

    return Figures(
        at=at,
        out=number(Rental.objects.open()),
        overdue=number(Rental.objects.overdue(at)),
        waiting=number(Hold.objects.waiting()),
        ready=number(Hold.objects.ready()),
        owed=_owed(end, at=at),
        # The last, since it is the one that grows with the shop.
        in_service=number(Copy.objects.in_service()),
    )


def _in_time(end: float, ask: Callable[[], _Answer]) -> _Answer | None:
    """What is asked; None where the database has not said it by `end`."""
    left = int((end - time.monotonic()) * 1000)
    if left <= 0:
        return None
    try:
        with transaction.atomic(), _at_most(left):
            return ask()
    except DatabaseError as error:
        if state_of(error) not in WAITED_TOO_LONG:
            raise
        return None


@contextmanager
def _at_most(milliseconds: int) -> Iterator[None]:
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
        yield
        # What follows in a transaction of the caller's has the time that it had before.
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")


class _AddedUp(NamedTuple):
    """What is owed by all entries up to the one called `key`, and which one that is."""

    key: int
    last: tuple[int, datetime] | None
    owed: Decimal


_NONE = Value(0, output_field=IntegerField())
_AMOUNT: DecimalField[Any, Any] = DecimalField(max_digits=14, decimal_places=2)
_MORE_OWED = Sum(
    Greatest(F("balance"), _NONE, output_field=_AMOUNT)
    - Greatest(F("balance") - F("amount"), _NONE, output_field=_AMOUNT),
    output_field=_AMOUNT,
)


def _owed(end: float, *, at: datetime) -> Decimal | None:
    """The sum of the balances of the members who owe; None while it is being added up."""
    entries = LedgerEntry.objects.order_by("-pk").values_list("pk", "posted_at")
    settled = LedgerEntry.objects.filter(posted_at__lt=at - SETTLED).order_by("-posted_at", "-pk")
    until = _in_time(end, settled.values_list("pk", flat=True).first) or 0
    done: _AddedUp | None = cache.get(ADDED_UP)
    if done is None or _in_time(end, entries.filter(pk__lte=done.key).first) != done.last:
        # Never counted, or in another ledger: one that was restored, say.
        done = _AddedUp(0, None, ZERO)
    begun = done
    while done.key < until:
        key = min(done.key + ENTRIES_AT_A_TIME, until)
        more = _more_owed(end, Q(pk__gt=done.key, pk__lte=key))
        if more is None:
            break
        done = _AddedUp(key, None, done.owed + more)
    if done != begun:
        cache.set(ADDED_UP, done._replace(last=entries.filter(pk__lte=done.key).first()), timeout=None)
    if done.key < until:
        return None
    rest = _more_owed(end, Q(pk__gt=done.key))
    return None if rest is None else done.owed + rest


def _more_owed(end: float, which: Q) -> Decimal | None:
    found = _in_time(end, lambda: LedgerEntry.objects.filter(which).aggregate(more=_MORE_OWED))
    return None if found is None else (found["more"] or ZERO).quantize(CENT)

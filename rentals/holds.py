"""Places, allocates, cancels and expires holds. Only this module writes Hold.

First come, first served. A book's lock protects all holds on it. A copy that becomes free is set aside for
the first waiting member, in the transaction that frees it; until the pick-up deadline no other member gets
it. Locks are taken in the order member, book, copy. The copy's own lock is not needed here, because every
change of a copy locks its book first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext, ngettext

from accounts.mail import mail_member
from accounts.models import User
from books.models import Book, Copy
from lori_assignment import clock
from lori_assignment.db.transactions import atomic_with_retry, lock
from lori_assignment.errors import Refusal, refuse
from rentals import errors
from rentals.availability import free_copies
from rentals.models import Hold, Policy, Rental

# For each member in 24 hours: joining and leaving a queue again and again writes rows and mails.
MAX_HOLDS_A_DAY = 100


@atomic_with_retry
def place_hold(*, member: User, book: Book, at: datetime) -> Hold:
    """Give the member the last place in the queue for `book`.

    Raises a Refusal that carries those that apply: MemberInactive, AlreadyRented, AlreadyWaiting,
    BookAvailable, NoCopies, HoldLimit.
    """
    member = lock(member)
    book = lock(book)
    line = allocate_copies(book, at=at)
    policy = Policy.current()
    reasons: list[Refusal] = []

    if not member.is_active:
        reasons.append(errors.MemberInactive())
    if Rental.objects.open().filter(user=member, copy__book=book).exists():
        reasons.append(errors.AlreadyRented())
    if any(hold.user_id == member.pk for hold in line):
        reasons.append(errors.AlreadyWaiting())
    # Waiting members got their copies above, so a copy that is still free is available.
    if free_copies().filter(book=book).exists():
        reasons.append(errors.BookAvailable())
    if not Copy.objects.in_service().filter(book=book).exists():
        reasons.append(errors.NoCopies())
    if not policy.max_holds:
        reasons.append(errors.HoldLimit(gettext("This shop doesn't take holds.")))
    elif Hold.objects.live().filter(user=member).count() >= policy.max_holds:
        reasons.append(
            errors.HoldLimit(
                ngettext(
                    "The limit is %(limit)d hold at a time. Cancel it to place another.",
                    "The limit is %(limit)d holds at a time. Cancel one to place another.",
                    policy.max_holds,
                )
                % {"limit": policy.max_holds}
            )
        )
    if Hold.objects.filter(user=member, placed_at__gt=clock.add_days(at, -1)).count() >= MAX_HOLDS_A_DAY:
        said = gettext("The limit is %(limit)d holds in 24 hours. Wait a day to place another.")
        reasons.append(errors.HoldLimit(said % {"limit": MAX_HOLDS_A_DAY}))
    refuse(reasons)
    return Hold.objects.create(user=member, book=book, placed_at=at)


@atomic_with_retry
def cancel_hold(*, hold: Hold, at: datetime) -> Hold:
    """Cancel the hold; a copy that was set aside goes to the next member. Raises HoldEnded."""
    book = lock(hold.book)
    hold = Hold.objects.select_related("user", "book").get(pk=hold.pk)
    if not hold.is_live:
        raise errors.HoldEnded
    _end(hold, Hold.Status.CANCELLED, at=at)
    allocate_copies(book, at=at)
    return hold


@atomic_with_retry
def cancel_holds_of(*, member: User, at: datetime) -> None:
    """Cancel every live hold of a member whose account is being closed."""
    member = lock(member)
    # Ordered by book, so that transactions that lock several books never deadlock.
    for hold in Hold.objects.live().filter(user=member).select_related("book").order_by("book"):
        # The hold may end while this waits for the book's lock.
        with suppress(errors.HoldEnded):
            cancel_hold(hold=hold, at=at)


def allocate_copies(book: Book, *, at: datetime, taken: Copy | None = None) -> list[Hold]:
    """Put the free copies of `book` aside for the first waiting members; return the live holds in order.

    The caller holds the book's lock. If nobody waits, nothing is written. A hold whose copy was taken out of
    service, or has left the shop with another member (`taken`), gets another copy at once, or waits again in
    its old place. Holds of closed accounts are cancelled.
    """
    line = []
    # Prefetched, not joined: usually there is no hold, and then these queries are not sent.
    for hold in Hold.objects.live().filter(book=book).prefetch_related("user", "copy").order_by("pk"):
        if hold.user.is_active:
            line.append(hold)
        else:
            _end(hold, Hold.Status.CANCELLED, at=at)
    without = [
        hold
        for hold in line
        if hold.copy is None or hold.copy == taken or hold.copy.status != Copy.Status.IN_SERVICE
    ]
    if not without:
        return line
    free = list(free_copies().filter(book=book).order_by("pk")[: len(without)])
    pick_up_by = clock.add_days(at, Policy.current().pick_up_days)
    for hold, copy in zip(without, free, strict=False):
        _assign_copy(hold, copy, ready_at=at, pick_up_by=pick_up_by)
    for hold in without[len(free) :]:
        if hold.copy is not None:
            _return_to_waiting(hold)
    return line


def _assign_copy(hold: Hold, copy: Copy, *, ready_at: datetime, pick_up_by: datetime) -> None:
    # If the copy only replaces another one, the member has already been notified and keeps the deadline.
    if hold.copy is None:
        hold.ready_at, hold.pick_up_by = ready_at, pick_up_by
        _notify(hold, "hold_ready", while_status=Hold.Status.READY)
    hold.copy = copy
    hold.save(update_fields=["copy", "ready_at", "pick_up_by"])


def _return_to_waiting(hold: Hold) -> None:
    hold.copy = hold.ready_at = hold.pick_up_by = None
    hold.save(update_fields=["copy", "ready_at", "pick_up_by"])
    _notify(hold, "hold_put_back", while_status=Hold.Status.WAITING)


def pick_up(hold: Hold, *, rental: Rental, at: datetime) -> None:
    """End the hold that `rental` fulfils. The caller holds the book's lock."""
    hold.rental = rental
    # The desk may have handed over another copy. That copy was free, so no member is waiting for the one put
    # aside.
    hold.copy = rental.copy
    if hold.pick_up_by is None:
        # It was still waiting when a past rental was recorded.
        hold.ready_at = hold.pick_up_by = at
    _end(hold, Hold.Status.PICKED_UP, at=at)


def _end(hold: Hold, outcome: Hold.Status, *, at: datetime) -> None:
    hold.ended_at = at
    hold.outcome = outcome
    hold.save(update_fields=["ended_at", "outcome", "rental", "copy", "ready_at", "pick_up_by"])


@dataclass(frozen=True, slots=True)
class ExpiryResult:
    """How many holds `expire_holds` ended, and how many it made ready."""

    expired: int = 0
    ready: int = 0

    def __add__(self, other: ExpiryResult) -> ExpiryResult:
        return ExpiryResult(self.expired + other.expired, self.ready + other.ready)


def expire_holds(*, at: datetime) -> ExpiryResult:
    """End the holds that were not picked up in time, and allocate free copies to all queues.

    Each book has its own transaction. A concurrent run waits for the book's lock, and then finds nothing left
    to do.
    """
    copy_gone = Q(copy__isnull=False) & ~Q(copy__status=Copy.Status.IN_SERVICE)
    could_be_served = Q(copy=None) & Exists(free_copies().filter(book=OuterRef("book")))
    to_do = Hold.objects.live().filter(
        Q(pick_up_by__lt=at) | copy_gone | could_be_served | Q(user__is_active=False)
    )
    books = Book.objects.filter(pk__in=to_do.values("book")).order_by("pk")
    return sum((_expire_holds_of(book, at) for book in books), ExpiryResult())


@atomic_with_retry
def _expire_holds_of(book: Book, at: datetime) -> ExpiryResult:
    book = lock(book)
    ready_before = set(Hold.objects.ready().filter(book=book).values_list("pk", flat=True))
    expired = 0
    for hold in Hold.objects.past_pick_up(at).filter(book=book).select_related("user", "book"):
        _end(hold, Hold.Status.EXPIRED, at=at)
        _notify(hold, "hold_expired", while_status=Hold.Status.EXPIRED)
        expired += 1
    ready_now = {hold.pk for hold in allocate_copies(book, at=at) if hold.status == Hold.Status.READY}
    return ExpiryResult(expired, len(ready_now - ready_before))


def _notify(hold: Hold, template: str, *, while_status: Hold.Status) -> None:
    """Mail the member after the commit, if the hold still has `while_status` by then."""
    # Robust: if the mail fails, the return or rental that caused it still succeeds.
    transaction.on_commit(partial(_send_if_unchanged, hold.pk, template, while_status), robust=True)


def _send_if_unchanged(pk: int, template: str, while_status: Hold.Status) -> None:
    hold = Hold.objects.select_related("user", "book").get(pk=pk)
    if hold.status == while_status:
        mail_member(
            hold.user,
            template,
            book=hold.book.name,
            pick_up_by=hold.pick_up_by,
            link=settings.SITE_URL + reverse("my-rentals"),
        )

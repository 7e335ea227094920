"""Rents books, takes them back, and renews and voids rentals. Only this module writes Rental.

Each function is one transaction: it locks member, book, copy and rate in this order, reads them again, checks
every rule and writes. Views and commands pass the time and the actor. Refusals are in `rentals.errors`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.models import User
from books.models import Book, Copy
from lori_assignment import clock
from lori_assignment.db.transactions import atomic_with_retry, lock, lock_first
from lori_assignment.errors import Refusal, refuse
from rentals import errors, holds, ledger
from rentals.models import Policy, Rental
from rentals.offers import Offer, copies_to_rent
from rentals.price_lists import lock_rate_in_force
from rentals.wait_estimates import annotate_others_wait


@atomic_with_retry
def rent_book(
    *,
    member: User,
    book: Book,
    at: datetime,
    now: datetime,
    copy: Copy | None = None,
    for_self: bool = True,
) -> Rental:
    """Rent a free copy of `book` to `member` from `at`, or `copy` if the desk named one.

    A member for whom a copy is set aside gets that copy, and the hold ends. Free copies are first set aside
    for waiting members, so that nobody jumps the queue.

    `at` before `now` records a rental that began while the shop was offline. It gets the price list and the
    due date of `at`, and the limits on debt and on open rentals are not checked, because the book has already
    left the shop.

    Raises a Refusal that carries all reasons that apply. They address the member as "you" unless staff rent
    for the member (`for_self` is False).
    """
    member = lock(member)
    book = lock(book)
    live_holds = holds.allocate_copies(book, at=now)
    mine = next((hold for hold in live_holds if hold.user_id == member.pk and hold.copy), None)
    # Free copies stay free, because a copy changes only under its book's lock.
    chosen = lock_first(
        copies_to_rent(
            book,
            put_aside=mine.copy if mine else None,
            wanted=copy,
            since=at if at < now else None,
        )
    )
    rate = lock_rate_in_force(book, at=at)

    offer = Offer(
        member=member,
        book=book,
        at=at,
        policy=Policy.current(),
        rate=rate,
        copy=chosen,
        balance=ledger.balance_for_renting(member, at=now),
        for_self=for_self,
    )
    refuse(offer.refusals(past=at < now, wanted=copy))
    assert chosen is not None  # noqa: S101  # for the type checker: None is refused above
    assert rate is not None  # noqa: S101  # as above

    rental = Rental.objects.create(
        user=member,
        copy=chosen,
        rate=rate,
        replacement_price=offer.cap,
        rented_at=at,
        due_at=offer.due_at,
    )
    if mine is not None:
        holds.pick_up(mine, rental=rental, at=now)
    return rental


def lock_rental(rental: Rental) -> Rental:
    """Lock the rental's member, then its book, and return the rental, read again.

    Every change of a rental takes both locks, because returns and due dates affect the queue for the book.
    """
    lock(rental.user)
    lock(rental.book)
    return Rental.objects.with_terms().select_related("user").get(pk=rental.pk)


def refuse_if_void(rental: Rental) -> None:
    if rental.voided_at is not None:
        raise errors.AlreadyVoid


def refuse_unless_open(rental: Rental) -> None:
    """Raise AlreadyVoid or AlreadyReturned if the rental is not open."""
    refuse_if_void(rental)
    if rental.returned_at is not None:
        raise errors.AlreadyReturned


@atomic_with_retry
def return_rental(*, rental: Rental, at: datetime, actor: User, now: datetime, reason: str = "") -> Rental:
    """Take the copy back at `at` and charge the rental; `reason` becomes the note of the charge.

    `at` before `now` records a return that happened while the shop was offline. The copy is set aside for the
    first waiting member. Raises AlreadyVoid, AlreadyReturned or ReturnBeforeRental.
    """
    rental = lock_rental(rental)
    refuse_unless_open(rental)
    if at < rental.rented_at:
        raise errors.ReturnBeforeRental
    rental.rent_entry = ledger.post_rent(rental=rental, actor=actor, at=now, until=at, note=reason)
    rental.returned_at = at
    rental.save(update_fields=["rent_entry", "returned_at"])
    holds.allocate_copies(rental.book, at=now)
    return rental


@atomic_with_retry
def renew_rental(*, rental: Rental, at: datetime) -> Rental:
    """Extend the rental by the rental period, counted from the due date, or from `at` if overdue.

    Late days stay late: a renewal never makes a rental cheaper. Raises AlreadyVoid, AlreadyReturned, or a
    Refusal that carries RenewalLimit, OthersWait or both.
    """
    rental = lock_rental(rental)
    due_at = renewed_due_at(rental, at=at)
    rental.due_before.append([at.isoformat(), rental.due_at.isoformat()])
    rental.due_at = due_at
    rental.renewals += 1
    rental.save(update_fields=["due_before", "due_at", "renewals"])
    return rental


def renewed_due_at(rental: Rental, *, at: datetime) -> datetime:
    """Return the due date after a renewal at `at`. Raises as `renew_rental` does."""
    policy = Policy.current()
    refuse_unless_open(rental)
    refuse(renewal_refusals(rental, policy=policy, others_wait=_others_wait(rental)))
    return clock.add_days(max(rental.due_at, at), policy.rental_days)


def renewal_refusals(rental: Rental, *, policy: Policy, others_wait: bool) -> list[Refusal]:
    """Return the reasons why an open rental cannot be renewed; empty if it can. Runs no queries."""
    reasons: list[Refusal] = []
    if rental.renewals >= policy.max_renewals:
        reasons.append(errors.RenewalLimit())
    if others_wait:
        reasons.append(errors.OthersWait())
    return reasons


def _others_wait(rental: Rental) -> bool:
    """Like `annotate_others_wait`, for one rental."""
    found: Any = annotate_others_wait(Rental.objects.filter(pk=rental.pk)).get()
    return bool(found.others_wait)


@atomic_with_retry
def void_rental(*, rental: Rental, at: datetime, actor: User, reason: str = "") -> Rental:
    """Undo a rental that was made by mistake: free its copy and reverse its charge, but keep its row.

    The copy is set aside for the first waiting member. Raises AlreadyVoid.
    """
    rental = lock_rental(rental)
    refuse_if_void(rental)
    if rental.rent_entry is not None:
        ledger.post_reversal(entry=rental.rent_entry, reason=reason, actor=actor, at=at)
    rental.voided_at = at
    rental.voided_by = actor
    rental.void_reason = reason
    rental.save(update_fields=["voided_at", "voided_by", "void_reason"])
    holds.allocate_copies(rental.book, at=at)
    return rental

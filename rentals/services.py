"""Rents books, takes them back, and renews and voids rentals. Only this module writes Rental.

Each function is one transaction: it locks member, book, copy and rate in this order, reads them again, checks
every rule and writes. Views and commands pass the time and the actor. Refusals are in `rentals.errors`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import User
from books import stock
from books.models import Book, Copy
from lori_assignment import clock
from lori_assignment.db.transactions import atomic_with_retry, lock, lock_first
from lori_assignment.errors import Refusal, refuse
from rentals import errors, holds, ledger
from rentals.models import Hold, Policy, Rental, RentalQuerySet
from rentals.offers import Offer, copies_rented_in_the_past, copies_to_rent
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
    returned_at: datetime | None = None,
    actor: User | None = None,
    reason: str | None = None,
) -> Rental:
    """Rent a free copy of `book` to `member` from `at`, or `copy` if the desk named one.

    A member for whom a copy is set aside gets that copy, and the hold ends. Free copies are first set aside
    for waiting members, so that nobody jumps the queue.

    `at` before `now` records a rental that began while the shop was offline; see `_record_past_rental`. With
    `returned_at`, it has ended too, and is charged; `actor` is who records it, and `reason` why so late.

    Raises a Refusal that carries all reasons that apply. They address the member as "you" unless staff rent
    for the member (`for_self` is False).
    """
    member = lock(member)
    book = lock(book)
    if at < now or returned_at is not None:
        return _record_past_rental(
            member=member,
            book=book,
            copy=copy,
            at=at,
            now=now,
            returned_at=returned_at,
            actor=actor or member,
            reason=reason,
        )
    live_holds = holds.allocate_copies(book, at=now)
    mine = next((hold for hold in live_holds if hold.user_id == member.pk and hold.copy), None)
    # Free copies stay free, because a copy changes only under its book's lock.
    chosen: Any = lock_first(copies_to_rent(book, put_aside=mine.copy if mine else None, wanted=copy, at=at))
    # The clock was read before the locks were taken, and meanwhile the copy may have come back.
    if chosen is not None and chosen.back_at is not None:
        at = chosen.back_at
    offer = Offer(
        member=member,
        book=book,
        at=at,
        policy=Policy.current(),
        rate=lock_rate_in_force(book, at=at),
        copy=chosen,
        balance=ledger.balance_for_renting(member, at=now),
        for_self=for_self,
    )
    refuse(offer.refusals(wanted=copy))
    rental = _create_rental(offer)
    if mine is not None:
        holds.pick_up(mine, rental=rental, at=now)
    return rental


def _record_past_rental(
    *,
    member: User,
    book: Book,
    copy: Copy | None,
    at: datetime,
    now: datetime,
    returned_at: datetime | None,
    actor: User,
    reason: str | None,
) -> Rental:
    """Record a rental that began at `at`, under the locks of `rent_book`.

    It gets the price list and the due date of `at`. No limit refuses it, because the book has already left
    the shop; those that it did not keep are recorded with it. If the copy is still out, but set aside for
    another member, the hold goes back to its place in the queue.

    It overlaps no other rental of the copy. It is also refused if the member had another copy then, so that a
    rental which is recorded twice is charged once.
    """
    if returned_at is not None and returned_at < at:
        raise errors.ReturnBeforeRental
    mine = Hold.objects.live().filter(user=member, book=book).select_related("copy").first()
    chosen: Any = lock_first(
        copies_rented_in_the_past(
            book, put_aside=mine.copy if mine else None, wanted=copy, since=at, until=returned_at
        )
    )
    of_member = Rental.objects.filter(user=member, copy__book=book)
    if returned_at is None:
        # It may still end before later rentals of the member began.
        had_book = of_member.open().exists() or of_member.out_at(at).exists()
    else:
        had_book = of_member.overlapping(at, returned_at).exists()
    offer = Offer(
        member=member,
        book=book,
        at=at,
        policy=Policy.current(),
        rate=lock_rate_in_force(book, at=at),
        copy=chosen,
        balance=ledger.balance_in_the_past(member, at=at),
        had_book=had_book,
    )
    refuse(offer.refusals(past=True, wanted=copy))
    broken = offer.limit_refusals()
    passed_over = Hold.objects.filter(pk=chosen.place)
    if (passed_over if returned_at is None else passed_over.filter(ready_at__lte=at)).exists():
        broken.append(errors.CopySetAside())
    why = {"reason": reason, "limits_broken": [limit.code for limit in broken] or None}
    if returned_at is None:
        rental = _create_rental(offer, **why)
        if rental.copy.status == Copy.Status.MISSING:
            # It is with this member: the rental that was voided was recorded for another.
            rental.copy = stock.change_copy(copy=rental.copy, status=Copy.Status.IN_SERVICE)
    else:
        # Void until it has its charge, which names the rental and is named by it: an open rental may overlap.
        rental = _create_rental(offer, voided_at=now, voided_by=actor, **why)
        rental.rent_entry = ledger.post_rent(rental=rental, actor=actor, at=now, until=returned_at)
        rental.returned_at = returned_at
        rental.voided_at = rental.voided_by = None
        rental.save(update_fields=["rent_entry", "returned_at", "voided_at", "voided_by"])
    # If the book has come back, it fulfilled only a hold that was placed before.
    if mine is not None and (returned_at is None or mine.placed_at <= at):
        holds.pick_up(mine, rental=rental, at=now)
    holds.allocate_copies(book, at=now, taken=chosen if returned_at is None else None)
    return rental


def _create_rental(offer: Offer, **fields: Any) -> Rental:
    """Write the rental that `offer`, which was not refused, describes."""
    assert offer.copy is not None and offer.rate is not None  # noqa: PT018, S101  # for the type checker
    rental = Rental.objects.create(
        user=offer.member,
        copy=offer.copy,
        rate=offer.rate,
        replacement_price=offer.cap,
        rented_at=offer.at,
        due_at=offer.due_at,
        **fields,
    )
    # A new rental has no client_ref; without this, the API would look for one.
    relation: Any = Rental._meta.get_field("client_ref")  # noqa: SLF001  # Documented by Django.
    relation.set_cached_value(rental, None)
    return rental


def lock_rental(rental: Rental) -> Rental:
    """Lock the rental's member, then its book, and return the rental, read again.

    Every change of a rental takes both locks, because returns and due dates affect the queue for the book.
    """
    member, book = lock(rental.user), lock(rental.book)
    # Few joins: with eight tables PostgreSQL plans for 5 ms, in which others wait for the locks.
    locked = Rental.objects.select_related("copy", "rate__price_list", "client_ref").get(pk=rental.pk)
    locked.user, locked.copy.book = member, book
    return locked


def refuse_if_void(rental: Rental) -> None:
    if rental.voided_at is not None:
        raise errors.AlreadyVoid


def refuse_unless_open(rental: Rental) -> None:
    """Raise AlreadyVoid or AlreadyReturned if the rental is not open."""
    refuse_if_void(rental)
    if rental.returned_at is not None:
        raise errors.AlreadyReturned


@atomic_with_retry
def return_rental(
    *, rental: Rental, at: datetime, actor: User, now: datetime, reason: str | None = None
) -> Rental:
    """Take the copy back at `at` and charge the rental.

    `at` before `now` records a return that happened while the shop was offline, and `reason` why so late. The
    copy is set aside for the first waiting member. Raises AlreadyVoid, AlreadyReturned, ReturnBeforeRental,
    or CopyUnavailable if another rental of the copy began and ended at this very moment.

    If the rental was voided while the book was out, its missing copy is back in service and the reason is
    kept, but nothing is charged.
    """
    rental = lock_rental(rental)
    if can_take_back(rental):
        rental.copy = stock.change_copy(copy=rental.copy, status=Copy.Status.IN_SERVICE)
        rental.return_reason = reason or None
        rental.save(update_fields=["return_reason"])
        holds.allocate_copies(rental.book, at=now)
        return rental
    refuse_unless_open(rental)
    if at < rental.rented_at:
        raise errors.ReturnBeforeRental
    # An open rental overlaps no other, so it does when it ends only if it has no length.
    if at == rental.rented_at and _others_of_copy(rental).overlapping(at, at).exists():
        raise errors.CopyUnavailable(
            _("This copy was rented and returned at this very moment. Enter a later time.")
        )
    rental.rent_entry = ledger.post_rent(rental=rental, actor=actor, at=now, until=at)
    rental.returned_at = at
    rental.return_reason = reason or None
    rental.save(update_fields=["rent_entry", "returned_at", "return_reason"])
    holds.allocate_copies(rental.book, at=now)
    return rental


def can_take_back(rental: Rental) -> bool:
    """Whether the rental was voided while the book was out, and nobody has had its copy in hand since."""
    if not rental.is_void_and_out:
        return False
    return not _others_of_copy(rental).filter(ref__gt=rental.ref).exists()


def _others_of_copy(rental: Rental) -> RentalQuerySet:
    return Rental.objects.filter(copy=rental.copy_id).exclude(pk=rental.pk)


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
    """Undo a rental that was made by mistake: reverse its charge, but keep its row.

    If the book is out, its copy is missing until somebody has it in hand: until it is put back in service, or
    the void rental is returned. Raises AlreadyVoid.
    """
    rental = lock_rental(rental)
    refuse_if_void(rental)
    if rental.is_open:
        rental.copy = stock.change_copy(copy=rental.copy, status=Copy.Status.MISSING)
    if rental.rent_entry is not None:
        ledger.post_reversal(entry=rental.rent_entry, reason=reason, actor=actor, at=at)
    rental.voided_at = at
    rental.voided_by = actor
    rental.void_reason = reason or None
    rental.save(update_fields=["voided_at", "voided_by", "void_reason"])
    holds.allocate_copies(rental.book, at=at)
    return rental

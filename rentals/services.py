"""Circulation: rent, return, renew, void. The only writers of Rental.

Each is one transaction: lock (member, book, copy), read anew, check every rule, write. The time and
the actor come from the door. Refusals are in `rentals.errors`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from accounts.models import User
from books.locks import lock_book, lock_copy
from books.models import Book, Copy
from lori_assignment.errors import Refusal, refuse
from rentals import errors, ledger
from rentals.availability import free_copies
from rentals.locks import lock_member
from rentals.models import Policy, Rental
from rentals.price_lists import held_rate_in_force


@transaction.atomic
def rent_book(*, member: User, book: Book, at: datetime, now: datetime, copy: Copy | None = None) -> Rental:
    """Rent a free copy of `book` to `member` from `at`, or `copy` where the desk has it in hand.

    `at` before `now` records what has happened while the shop was offline: the price list and the
    due date are those of `at`, and the limits on debt and number are not asked, since they guard a
    decision that has been made. Raises every refusal that holds, in one.
    """
    member = lock_member(member)
    book = lock_book(book)
    policy = Policy.current()
    reasons: list[Refusal] = []

    if not member.is_active:
        reasons.append(errors.MemberInactive())
    out = list(Rental.objects.open().filter(user=member).values_list("copy__book", flat=True))
    if book.pk in out:
        reasons.append(errors.AlreadyRented())
    if at >= now:
        reasons += _over_limits(member, policy, len(out), now)
    rate = held_rate_in_force(book, at=at)
    if rate is None:
        reasons.append(errors.NoPriceInForce())
    taken = _copy_to_rent(book, copy, at)
    if taken is None:
        reasons.append(errors.BookUnavailable() if copy is None else errors.CopyUnavailable())
    refuse(reasons)

    assert taken is not None  # noqa: S101  # for the type checker: it was refused above
    assert rate is not None  # noqa: S101  # as above
    return Rental.objects.create(
        user=member,
        copy=taken,
        rate=rate,
        replacement_price=taken.replacement_price,
        rented_at=at,
        due_at=at + timedelta(days=policy.rental_days),
    )


def _over_limits(member: User, policy: Policy, open_rentals: int, now: datetime) -> list[Refusal]:
    reasons: list[Refusal] = []
    if open_rentals >= policy.max_open_rentals:
        reasons.append(
            errors.RentalLimit(
                _("At most %(limit)d books may be out at a time.") % {"limit": policy.max_open_rentals}
            )
        )
    owed = ledger.balance(member, at=now).total
    if owed > policy.debt_limit:
        reasons.append(
            errors.DebtLimit(
                _("The member owes %(owed)s; above %(limit)s nothing more is rented.")
                % {"owed": owed, "limit": policy.debt_limit}
            )
        )
    return reasons


def _copy_to_rent(book: Book, wanted: Copy | None, at: datetime) -> Copy | None:
    """A copy that is free now, and rather one that, by the records, was not out at `at` either.

    The records may say that all were: a return is written down when the desk gets to it.
    """
    free = free_copies().filter(book=book)
    if wanted is not None:
        free = free.filter(pk=wanted.pk)
    out_then = Rental.objects.standing().filter(copy=OuterRef("pk"), returned_at__gt=at)
    chosen = free.order_by(Exists(out_then), "pk").first()
    # Nobody changes it in between: whoever changes a copy locks its book first.
    return lock_copy(chosen) if chosen else None


def _locked(rental: Rental) -> Rental:
    """The rental read anew under its member's lock, which every change of a rental takes first."""
    lock_member(rental.user)
    return Rental.objects.with_terms().select_related("user").get(pk=rental.pk)


def refuse_unless_open(rental: Rental) -> None:
    """Raises AlreadyVoid or AlreadyReturned."""
    if rental.voided_at is not None:
        raise errors.AlreadyVoid
    if rental.returned_at is not None:
        raise errors.AlreadyReturned


@transaction.atomic
def return_rental(*, rental: Rental, at: datetime, actor: User, now: datetime) -> Rental:
    """Take the copy back at `at` and charge the rental, with its working.

    `at` before `now` records a return that the shop could not write down then.
    Raises AlreadyVoid, AlreadyReturned, ReturnBeforeRental.
    """
    rental = _locked(rental)
    refuse_unless_open(rental)
    if at < rental.rented_at:
        raise errors.ReturnBeforeRental
    rental.rent_entry = ledger.post_rent(rental=rental, actor=actor, at=now, until=at)
    rental.returned_at = at
    rental.save(update_fields=["rent_entry", "returned_at"])
    return rental


def refusals_to_renew(rental: Rental, *, policy: Policy) -> list[Refusal]:
    """Every reason why `rental`, which is open, is not renewed; none when it is. A page may ask too."""
    reasons: list[Refusal] = []
    if rental.renewals >= policy.max_renewals:
        reasons.append(errors.RenewalLimit())
    return reasons


@transaction.atomic
def renew_rental(*, rental: Rental, at: datetime) -> Rental:
    """Move the due date on by the rental period, counted from the due date, or from `at` if late.

    Days that were late already stay late: a renewal never makes a rental cheaper.
    Raises AlreadyVoid, AlreadyReturned, and what `refusals_to_renew` has, in one.
    """
    rental = _locked(rental)
    policy = Policy.current()
    refuse_unless_open(rental)
    refuse(refusals_to_renew(rental, policy=policy))
    rental.due_before.append([at.isoformat(), rental.due_at.isoformat()])
    rental.due_at = max(rental.due_at, at) + timedelta(days=policy.rental_days)
    rental.renewals += 1
    rental.save(update_fields=["due_before", "due_at", "renewals"])
    return rental


@transaction.atomic
def void_rental(*, rental: Rental, at: datetime, actor: User, reason: str = "") -> Rental:
    """Undo a rental that was made by mistake: its copy is free, its charge reversed, its row kept.

    Raises AlreadyVoid.
    """
    rental = _locked(rental)
    if rental.voided_at is not None:
        raise errors.AlreadyVoid
    if rental.rent_entry is not None:
        ledger.post_reversal(entry=rental.rent_entry, reason=reason, actor=actor, at=at)
    rental.voided_at = at
    rental.voided_by = actor
    rental.save(update_fields=["voided_at", "voided_by"])
    return rental

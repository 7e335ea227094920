"""The ledger: the only writer of LedgerEntry, and the one address of what a member owes.

Entries of one member are numbered and each carries the balance with it, so a balance costs the same
after ten entries as after ten thousand. The member's lock keeps the numbers without a gap; where it
were missing, the unique constraint on the number would refuse the second of two writers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from books.models import Kind
from lori_assignment.db.transactions import atomic_with_retry, lock
from lori_assignment.money import format_money
from rentals import errors
from rentals.models import ZERO, LedgerEntry, Rental

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Balance:
    """What a member owes: `posted` is the sum of the ledger, `running` the cost of what is out."""

    posted: Decimal
    running: Decimal
    open_rentals: tuple[Rental, ...]

    @property
    def total(self) -> Decimal:
        """Positive: the member owes. Negative: the shop does."""
        return self.posted + self.running


def posted_balance(member: User) -> Decimal:
    """The sum of the member's ledger entries, as the last of them carries it."""
    balances = LedgerEntry.objects.filter(user=member).order_by("-number").values_list("balance", flat=True)
    return balances.first() or ZERO


def balance(member: User, *, at: datetime) -> Balance:
    """What the member owes at `at`, with what the open rentals would cost if they came back then."""
    # With the rates and no more: the books of those who have had thousands of them mislead PostgreSQL's
    # planner, which expects as many to be out.
    return _balance(member, Rental.objects.open().select_related("rate").order_by(), at=at)


def balance_with_books(member: User, *, at: datetime) -> Balance:
    """As `balance`, for what lists the open rentals: with their books and price lists, first due first."""
    rentals = Rental.objects.open().select_related("copy__book", "rate__price_list")
    return _balance(member, rentals.defer("copy__book__description").order_by("due_at", "ref"), at=at)


def balance_for_renting(member: User, *, at: datetime) -> Balance:
    """As `balance`, with the copies of the open rentals: one query more where there are any."""
    rentals = Rental.objects.open().select_related("rate").prefetch_related("copy")
    return _balance(member, rentals.order_by(), at=at)


def _balance(member: User, rentals: QuerySet[Rental], *, at: datetime) -> Balance:
    out = tuple(rentals.filter(user=member))
    running = sum((rental.running_price(at).total for rental in out), ZERO)
    return Balance(posted=posted_balance(member), running=running, open_rentals=out)


def post(
    *, member: User, kind: LedgerEntry.Kind, amount: Decimal, actor: User, at: datetime, **facts: Any
) -> LedgerEntry:
    """Write the next entry of a member whose lock the caller holds.

    `amount` is rounded half up to two places, here and nowhere else; a charge is positive, a credit
    negative. `facts` are the entry's other fields.
    """
    amount = amount.quantize(CENT, ROUND_HALF_UP)
    last = LedgerEntry.objects.filter(user=member).order_by("-number").only("number", "balance").first()
    return LedgerEntry.objects.create(
        user=member,
        number=last.number + 1 if last else 1,
        kind=kind,
        amount=amount,
        balance=(last.balance if last else ZERO) + amount,
        actor=actor,
        posted_at=at,
        **facts,
    )


def post_rent(*, rental: Rental, actor: User, at: datetime, until: datetime) -> LedgerEntry:
    """Charge a rental that comes back at `until`, with the working that says why it costs that."""
    charged = rental.running_price(until)
    working = {
        "price_list": rental.price_list.name,
        # Its name, whatever language the desk speaks: what is kept is translated when it is shown.
        "kind": Kind(rental.rate.kind).name.lower(),
        "rented_at": rental.rented_at.isoformat(),
        "returned_at": until.isoformat(),
        **charged.as_json(),
    }
    return post(
        member=rental.user,
        kind=LedgerEntry.Kind.RENT,
        amount=charged.total,
        actor=actor,
        at=at,
        rental=rental,
        working=working,
    )


def refuse_overpayment(member: User, amount: Decimal, *, at: datetime) -> None:
    """Raises Overpayment when the member owes less than `amount` at `at`."""
    owed = balance(member, at=at).total
    if amount > owed:
        raise errors.Overpayment(
            _("The member owes %(owed)s, less than %(amount)s.")
            % {"owed": format_money(max(owed, ZERO)), "amount": format_money(amount)}
        )


@atomic_with_retry
def take_payment(
    *, member: User, amount: Decimal, method: LedgerEntry.Method, actor: User, at: datetime, note: str = ""
) -> LedgerEntry:
    """Take `amount`, above zero, from the member.

    The running cost of open rentals may be paid ahead. Raises Overpayment above what is owed.
    """
    member = lock(member)
    refuse_overpayment(member, amount, at=at)
    return post(
        member=member,
        kind=LedgerEntry.Kind.PAYMENT,
        amount=-amount,
        method=method,
        note=note,
        actor=actor,
        at=at,
    )


@atomic_with_retry
def waive(*, member: User, amount: Decimal, reason: str, actor: User, at: datetime) -> LedgerEntry:
    """Let the member off `amount`, above zero. Raises Overpayment above what is owed."""
    member = lock(member)
    refuse_overpayment(member, amount, at=at)
    return post(member=member, kind=LedgerEntry.Kind.WAIVER, amount=-amount, note=reason, actor=actor, at=at)


def refuse_refund_above_credit(member: User, amount: Decimal, *, at: datetime) -> None:
    """Raises RefundAboveCredit when the shop owes the member less than `amount` at `at`."""
    credit = -balance(member, at=at).total
    if amount > credit:
        raise errors.RefundAboveCredit(
            _("The shop owes the member %(credit)s, less than %(amount)s.")
            % {"credit": format_money(max(credit, ZERO)), "amount": format_money(amount)}
        )


@atomic_with_retry
def refund(
    *, member: User, amount: Decimal, method: LedgerEntry.Method, reason: str, actor: User, at: datetime
) -> LedgerEntry:
    """Pay out `amount`, above zero, of what the shop owes the member.

    The running cost of open rentals is kept back. Raises RefundAboveCredit above what is owed.
    """
    member = lock(member)
    refuse_refund_above_credit(member, amount, at=at)
    return post(
        member=member,
        kind=LedgerEntry.Kind.REFUND,
        amount=amount,
        method=method,
        note=reason,
        actor=actor,
        at=at,
    )


@atomic_with_retry
def reverse(*, entry: LedgerEntry, actor: User, at: datetime, reason: str = "") -> LedgerEntry:
    """Post the opposite of `entry`, so that it counts for nothing and still stands in the record.

    Raises AlreadyReversed, and NotReversible for a reversal and for a rent: a rental that stands has
    its charge, so a wrong one is undone by making the rental void.
    """
    lock(entry.user)
    if entry.kind in (LedgerEntry.Kind.REVERSAL, LedgerEntry.Kind.RENT):
        raise errors.NotReversible
    if LedgerEntry.objects.filter(reverses=entry).exists():
        raise errors.AlreadyReversed
    return post_reversal(entry=entry, reason=reason, actor=actor, at=at)


def post_reversal(*, entry: LedgerEntry, reason: str, actor: User, at: datetime) -> LedgerEntry:
    """Write the opposite of an entry whose member's lock the caller holds."""
    return post(
        member=entry.user,
        kind=LedgerEntry.Kind.REVERSAL,
        amount=-entry.amount,
        reverses=entry,
        rental=entry.rental,
        note=reason,
        actor=actor,
        at=at,
    )

"""Posts ledger entries and computes what a member owes. Only this module writes LedgerEntry.

A member's entries are numbered, and each carries the balance, so reading a balance takes as long after ten
entries as after ten thousand. The member's lock keeps the numbers free of gaps. If a lock were missing, the
unique constraint on the number would refuse the second of two concurrent entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.utils.translation import gettext as _

from accounts.models import User
from books.models import Kind
from lori_assignment.db.transactions import atomic_with_retry, lock
from lori_assignment.money import format_money, round_amount
from rentals import errors
from rentals.models import ZERO, LedgerEntry, Rental


@dataclass(frozen=True, slots=True)
class Balance:
    """What a member owes: `posted` is the sum of the ledger, `running` the cost of the open rentals."""

    posted: Decimal
    running: Decimal
    open_rentals: tuple[Rental, ...]

    @property
    def total(self) -> Decimal:
        """Positive if the member owes the shop, negative if the shop owes the member."""
        return self.posted + self.running


def posted_balance(member: User) -> Decimal:
    """Return the sum of the member's ledger entries, which is the balance of the last one."""
    balances = LedgerEntry.objects.filter(user=member).order_by("-number").values_list("balance", flat=True)
    return balances.first() or ZERO


def balance(member: User, *, at: datetime) -> Balance:
    """Return what the member owes at `at`, including what the open rentals would cost if returned then."""
    # Joins the rates only. PostgreSQL overestimates the open rentals of a member who has rented thousands of
    # books, and would plan a join with the books badly.
    return _balance(member, Rental.objects.open().select_related("rate").order_by(), at=at)


def balance_with_books(member: User, *, at: datetime) -> Balance:
    """Like `balance`, with the books and price lists of the open rentals, in the order of their due dates."""
    rentals = Rental.objects.open().select_related("copy__book", "rate__price_list", "client_ref")
    return _balance(member, rentals.defer("copy__book__description").order_by("due_at", "ref"), at=at)


def balance_for_renting(member: User, *, at: datetime) -> Balance:
    """Like `balance`, with the copies of the open rentals: one more query if there are any."""
    rentals = Rental.objects.open().select_related("rate").prefetch_related("copy")
    return _balance(member, rentals.order_by(), at=at)


def balance_in_the_past(member: User, *, at: datetime) -> Balance:
    """Like `balance`, for a time in the past: with the rentals that were open then.

    The charge of a rental counts from its return, and not from when the return was recorded.
    """
    rent = Q(kind=LedgerEntry.Kind.RENT)
    charged = rent & Q(rental__returned_at__lte=at, rental__voided_at=None)
    moved = ~rent & ~Q(reverses__kind=LedgerEntry.Kind.RENT) & Q(posted_at__lte=at)
    entries = LedgerEntry.objects.filter(charged | moved, user=member).order_by()
    out = tuple(Rental.objects.out_at(at).filter(user=member).select_related("rate").order_by())
    return Balance(
        posted=round_amount(entries.aggregate(sum=Sum("amount", default=ZERO))["sum"]),
        running=sum((rental.running_price(at).total for rental in out), ZERO),
        open_rentals=out,
    )


def _balance(member: User, rentals: QuerySet[Rental], *, at: datetime) -> Balance:
    out = tuple(rentals.filter(user=member))
    running = sum((rental.running_price(at).total for rental in out), ZERO)
    return Balance(posted=posted_balance(member), running=running, open_rentals=out)


def post(
    *, member: User, kind: LedgerEntry.Kind, amount: Decimal, actor: User, at: datetime, **facts: Any
) -> LedgerEntry:
    """Write the member's next entry. The caller holds the member's lock.

    `amount` is rounded half up to the currency's places, here and nowhere else. A charge is positive, a
    credit negative. `facts` are the entry's other fields.
    """
    amount = round_amount(amount)
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
    """Charge a rental that is returned at `until`, and record how the amount was computed."""
    charged = rental.running_price(until)
    working = {
        "price_list": rental.price_list.name,
        # The name, not the label, which depends on the language: stored values are translated when shown.
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
    """Raise Overpayment if the member owes less than `amount` at `at`."""
    owed = balance(member, at=at).total
    if amount > owed:
        raise errors.Overpayment(
            _("The member owes %(owed)s. That's less than %(amount)s.")
            % {"owed": format_money(max(owed, ZERO)), "amount": format_money(amount)}
        )


@atomic_with_retry
def take_payment(
    *, member: User, amount: Decimal, method: LedgerEntry.Method, actor: User, at: datetime, note: str = ""
) -> LedgerEntry:
    """Post a payment of `amount`, which must be positive.

    The running cost of open rentals can be paid in advance. Raises Overpayment if the member owes less.
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
    """Waive `amount`, which must be positive. Raises Overpayment if the member owes less."""
    member = lock(member)
    refuse_overpayment(member, amount, at=at)
    return post(member=member, kind=LedgerEntry.Kind.WAIVER, amount=-amount, note=reason, actor=actor, at=at)


def refuse_refund_above_credit(member: User, amount: Decimal, *, at: datetime) -> None:
    """Raise RefundAboveCredit if the shop owes the member less than `amount` at `at`."""
    credit = -balance(member, at=at).total
    if amount > credit:
        raise errors.RefundAboveCredit(
            _("The member has %(credit)s in credit. That's less than %(amount)s.")
            % {"credit": format_money(max(credit, ZERO)), "amount": format_money(amount)}
        )


@atomic_with_retry
def refund(
    *, member: User, amount: Decimal, method: LedgerEntry.Method, reason: str, actor: User, at: datetime
) -> LedgerEntry:
    """Pay out `amount`, which must be positive, from the member's credit.

    The credit is what remains after the running cost of open rentals. Raises RefundAboveCredit if it is less.
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


def refuse_unless_reversible(entry: LedgerEntry) -> None:
    """Raise AlreadyReversed or NotReversible; see `reverse`."""
    if not entry.is_reversible:
        raise errors.NotReversible
    if LedgerEntry.objects.filter(reverses=entry).exists():
        raise errors.AlreadyReversed


@atomic_with_retry
def reverse(*, entry: LedgerEntry, actor: User, at: datetime, reason: str = "") -> LedgerEntry:
    """Cancel `entry` by posting its opposite; both stay on record.

    Raises AlreadyReversed, or NotReversible if the entry is a reversal or a rental charge. A rental that is
    not void keeps its charge, so a wrong charge is undone by voiding the rental.
    """
    lock(entry.user)
    refuse_unless_reversible(entry)
    return post_reversal(entry=entry, reason=reason, actor=actor, at=at)


def post_reversal(*, entry: LedgerEntry, reason: str, actor: User, at: datetime) -> LedgerEntry:
    """Post the opposite of `entry`, by the same method. The caller holds the member's lock."""
    return post(
        member=entry.user,
        kind=LedgerEntry.Kind.REVERSAL,
        amount=-entry.amount,
        reverses=entry,
        method=entry.method,
        rental=entry.rental,
        note=reason,
        actor=actor,
        at=at,
    )

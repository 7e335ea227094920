"""Determines the price and terms at which a member can rent a book, and the refusals that apply.

A `Quote` is the price that the API, a book's page and the confirmation before renting show. An `Offer` adds
the member's side. `rentals.services.rent_book` builds it under its locks. The confirmation builds it without
locks: if the copy is gone when the member confirms, renting is refused with the same message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.lookups import Exact
from django.utils.translation import gettext as _

from accounts.models import User
from books.models import Book, Copy
from lori_assignment import clock
from lori_assignment.errors import Refusal
from lori_assignment.money import format_money
from rentals import errors, ledger
from rentals.availability import free_copies
from rentals.ledger import Balance
from rentals.models import Hold, Policy, Rate, Rental
from rentals.price_lists import rate_in_force, rate_of
from rentals.pricing import Price, price_of_days


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a book costs. `cap` is the limit of rent and late fee together; None if there is no limit."""

    rate: Rate
    rental_days: int
    cap: Decimal | None

    def price(self, days: int) -> Price:
        """Return the price of `days` days without a renewal: days past the rental period are late."""
        late_days = max(0, days - self.rental_days)
        return price_of_days(self.rate, days, late_days=late_days, cap=self.cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The terms on which a member can rent a book. The methods run no queries.

    `copy` is the copy that the member would get, if there is one. `had_book` is True if the member had the
    book already in the time of a past rental. `for_self` is False if staff rent for the member.
    """

    member: User
    book: Book
    at: datetime
    policy: Policy
    rate: Rate | None
    copy: Copy | None
    balance: Balance
    had_book: bool = False
    for_self: bool = True

    @property
    def due_at(self) -> datetime:
        return clock.add_days(self.at, self.policy.rental_days)

    @property
    def cap(self) -> Decimal | None:
        """As in `Quote`."""
        return self.copy.replacement_price if self.copy else None

    @property
    def quote(self) -> Quote | None:
        """None if no price list is in force."""
        if self.rate is None:
            return None
        return Quote(rate=self.rate, rental_days=self.policy.rental_days, cap=self.cap)

    def refusals(self, *, past: bool = False, wanted: Copy | None = None) -> list[Refusal]:
        """Return the reasons why the book cannot be rented; empty if it can.

        With `past`, the rental has begun already, so no limit refuses it.
        `wanted` is the copy that the desk named.
        """
        reasons: list[Refusal] = []
        if not self.member.is_active:
            reasons.append(errors.MemberInactive())
        if past:
            if self.had_book:
                reasons.append(errors.AlreadyRented(_("This account already had this book on loan then.")))
        else:
            if any(rental.copy.book_id == self.book.pk for rental in self.balance.open_rentals):
                reasons.append(errors.AlreadyRented())
            reasons += self.limit_refusals()
        if self.rate is None:
            reasons.append(errors.NoPriceInForce())
        if self.copy is None:
            reasons.append(self._no_copy(past=past, wanted=wanted))
        return reasons

    def _no_copy(self, *, past: bool, wanted: Copy | None) -> Refusal:
        if not past:
            return errors.BookUnavailable() if wanted is None else errors.CopyUnavailable()
        if wanted is None:
            return errors.BookUnavailable(
                _(
                    "Every copy of this book was on loan then, or has been rented since. If the book is "
                    "back, record its return in the same step."
                )
            )
        return errors.CopyUnavailable(
            _("This copy was on loan then or has been rented since, or it isn't in service.")
        )

    def limit_refusals(self) -> list[Refusal]:
        """Return the limits that the rental does not keep. A past rental is recorded all the same."""
        reasons: list[Refusal] = []
        if len(self.balance.open_rentals) >= self.policy.max_open_rentals:
            reasons.append(
                errors.RentalLimit(
                    _("The limit of %(limit)d books on loan has been reached. Return a book to rent another.")
                    % {"limit": self.policy.max_open_rentals}
                )
            )
        if self.balance.total > self.policy.debt_limit:
            reasons.append(
                errors.DebtLimit(
                    (
                        _("You owe %(owed)s. Pay %(pay)s to rent again.")
                        if self.for_self
                        else _("The member owes %(owed)s and must pay %(pay)s to rent again.")
                    )
                    % {
                        "owed": format_money(self.balance.total),
                        "pay": format_money(self.balance.total - self.policy.debt_limit),
                    }
                )
            )
        return reasons


def make_offer(*, member: User, book: Book, at: datetime) -> Offer:
    """Return the offer for renting `book` now; `at` is the current time. Runs at most seven queries."""
    return Offer(
        member=member,
        book=book,
        at=at,
        policy=Policy.current(),
        rate=rate_in_force(book, at=at),
        copy=_copy_to_rent(member=member, book=book),
        balance=ledger.balance_for_renting(member, at=at),
    )


def quote_for(member: User | None, *, book: Book, at: datetime) -> Quote | None:
    """Return what renting `book` at `at` costs; None before the first price list.

    The cap is that of the copy that `member`, or anyone if None, would get. While every copy is on loan, it
    is the highest cap of the copies in service, or no cap if one of them has none, so that nobody is charged
    more than was shown. Two queries, and up to two more if the caps differ.
    """
    period = Subquery(Policy.objects.values("rental_days")[:1])
    rate: Any = next(iter(rate_of(book, at=at).annotate(rental_days=period)), None)
    if rate is None:
        return None
    in_service = Copy.objects.in_service().filter(book=book).order_by()
    caps = set(in_service.values_list("replacement_price", flat=True).distinct())
    if len(caps) > 1 and (copy := _copy_to_rent(member=member, book=book)):
        caps = {copy.replacement_price}
    cap = None if None in caps else max(filter(None, caps), default=None)
    return Quote(rate=rate, rental_days=rate.rental_days, cap=cap)


def copies_to_rent(
    book: Book, *, put_aside: Copy | None, wanted: Copy | None = None, at: datetime | None = None
) -> QuerySet[Copy]:
    """Return the copies that a member may get now, best first.

    These are the copy set aside for the member, or else all free copies; with `wanted`, only that copy. With
    `at`, each has `back_at`: when it came back, if that was after `at`.
    """
    if put_aside and wanted in (None, put_aside):
        copies: QuerySet[Copy] = Copy.objects.filter(pk=put_aside.pk)
    else:
        copies = free_copies().filter(book=book)
        if wanted:
            copies = copies.filter(pk=wanted.pk)
    if at is not None:
        back = Rental.objects.not_void().filter(copy=OuterRef("pk"), returned_at__gt=at)
        copies = copies.annotate(back_at=Subquery(back.order_by("-returned_at").values("returned_at")[:1]))
    return copies.order_by("pk")


def copies_rented_in_the_past(
    book: Book, *, put_aside: Copy | None, wanted: Copy | None, since: datetime, until: datetime | None
) -> QuerySet[Copy]:
    """Return the copies that may have been with a member from `since` to `until`, likeliest first.

    `until` is None if the book is still out. Copies set aside for other members come last, and of those the
    one whose hold is the last in the queue first. A copy that has come back may have any status today, and
    one that is still out may be missing, but copies in service come first.
    """
    out = Rental.objects.overlapping(since, until).filter(copy=OuterRef("pk"))
    copies: QuerySet[Copy] = Copy.objects.filter(~Exists(out), book=book)
    if wanted is not None:
        copies = copies.filter(pk=wanted.pk)
    if until is None:
        copies = copies.filter(status__in=[Copy.Status.IN_SERVICE, Copy.Status.MISSING])
    others = Hold.objects.ready().filter(copy=OuterRef("pk"))
    if put_aside is not None:
        others = others.exclude(copy=put_aside)
    place = Subquery(others.values("pk")[:1])
    own_first = [] if put_aside is None else [Exact(F("pk"), put_aside.pk).desc()]
    in_service_first = Exact(F("status"), Copy.Status.IN_SERVICE).desc()
    return copies.annotate(place=place).order_by(
        *own_first, in_service_first, F("place").desc(nulls_first=True), "pk"
    )


def _copy_to_rent(*, member: User | None, book: Book) -> Copy | None:
    """Return the copy that `member`, or anyone, would get. At most two queries."""
    ready = Hold.objects.ready().filter(user=member, book=book).select_related("copy") if member else []
    put_aside = next((hold.copy for hold in ready), None)
    return put_aside or copies_to_rent(book, put_aside=None).first()

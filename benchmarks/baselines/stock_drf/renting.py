"""Rents a book with the plain ORM, under the same rules and locks as the shop."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound

from benchmarks.baselines.rules import refusals
from benchmarks.baselines.stock_drf.models import (
    Book,
    Copy,
    Entry,
    Hold,
    Policy,
    PriceList,
    Rate,
    Rental,
    User,
)


class Refused(APIException):
    status_code = status.HTTP_409_CONFLICT


@transaction.atomic
def rent_book(user: User, book_id: int, now: datetime) -> Rental:
    """Lock the member, the book, the copy and the rate, in this order."""
    member = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    book = Book.objects.select_for_update(no_key=True).filter(pk=book_id).first()
    if book is None:
        raise NotFound
    policy = Policy.objects.get()
    hold = Hold.objects.filter(user=member, book=book, copy__isnull=False, ended_at=None).first()
    copy = _free_copy(book, hold)
    rate = _rate_in_force(book, now)
    open_rentals = list(
        Rental.objects.filter(user=member, returned_at=None, voided_at=None).select_related("copy", "rate")
    )
    last = Entry.objects.filter(user=member).order_by("-number").first()
    reasons = refusals(member, book, policy, open_rentals, last and last.balance, now)
    if rate is None:
        reasons.append("no_price_in_force")
    if copy is None:
        reasons.append("book_unavailable")
    if reasons or rate is None or copy is None:
        raise Refused(reasons)
    try:
        with transaction.atomic():
            rental = Rental.objects.create(
                user=member,
                copy=copy,
                rate=rate,
                replacement_price=copy.replacement_price,
                rented_at=now,
                due_at=now + timedelta(days=policy.rental_days),
            )
    except IntegrityError as error:
        raise Refused(["book_unavailable"]) from error
    if hold is not None:
        hold.rental, hold.ended_at, hold.outcome = rental, now, "picked_up"
        hold.save(update_fields=["rental", "ended_at", "outcome"])
    return rental


def _free_copy(book: Book, hold: Hold | None) -> Copy | None:
    """Return and lock the copy held for the member, or else a free copy that no waiting hold needs."""
    copies = Copy.objects.select_for_update(no_key=True).filter(book=book, status="in_service")
    if hold is not None:
        return copies.filter(pk=hold.copy_id).first()
    out = Rental.objects.filter(copy=OuterRef("pk"), returned_at=None, voided_at=None)
    held = Hold.objects.filter(copy=OuterRef("pk"), ended_at=None)
    waiting = Hold.objects.filter(book=book, copy=None, ended_at=None).count()
    free = copies.filter(~Exists(out), ~Exists(held)).order_by("pk")[: waiting + 1]
    return free[waiting] if len(free) > waiting else None


def _rate_in_force(book: Book, now: datetime) -> Rate | None:
    price_list = PriceList.objects.filter(in_force_from__lte=now).order_by("-in_force_from").first()
    if price_list is None:
        return None
    # FOR KEY SHARE, so that concurrent rentals can lock the same rate. The ORM does not support it.
    rates = Rate.objects.raw(
        "SELECT * FROM rentals_rate WHERE price_list_id = %s AND kind = %s FOR KEY SHARE",
        [price_list.pk, book.kind],
    )
    rate = next(iter(rates), None)
    if rate is not None:
        rate.price_list = price_list
    return rate

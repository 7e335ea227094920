"""The page that shows the terms of a rental and rents the book."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from books.models import Book
from lori_assignment import clock
from lori_assignment.errors import Refusal
from lori_assignment.http.member_pages import member_page
from rentals import errors
from rentals.offers import make_offer
from rentals.services import rent_book
from rentals.views import MemberRequest


@member_page
def rent(request: MemberRequest, pk: int) -> HttpResponse:
    """Show the terms, and the reasons against renting, on GET; rent the book on POST.

    If the POST is sent twice, the book is rented once, and the second response says so.
    """
    book = get_object_or_404(Book, pk=pk)
    now = clock.now()
    reasons: tuple[Refusal, ...] = ()
    if request.method == "POST":
        try:
            rental = rent_book(member=request.user, book=book, at=now, now=now)
        except Refusal as refusal:
            reasons = refusal.reasons
        else:
            due = date_format(timezone.localtime(rental.due_at), "DATE_FORMAT")
            messages.success(
                request, _("“%(book)s” is yours until %(due)s.") % {"book": book.name, "due": due}
            )
            return redirect("book", book.pk)
    offer = make_offer(member=request.user, book=book, at=now)
    reasons = reasons or tuple(offer.refusals())
    if _has(reasons, errors.AlreadyRented):
        messages.info(request, _("You already have “%(book)s”.") % {"book": book.name})
        return redirect("book", book.pk)
    too_late = request.method == "POST" and _has(reasons, errors.BookUnavailable)
    facts = {
        "book": book,
        "offer": offer,
        "first_day": offer.quote and offer.quote.price(1),
        "at_due_date": offer.quote and offer.quote.price(offer.policy.rental_days),
        # The heading says that the last copy is gone.
        "reasons": [
            reason.message
            for reason in reasons
            if not (too_late and isinstance(reason, errors.BookUnavailable))
        ],
        "can_join_queue": _has(reasons, errors.BookUnavailable) and len(reasons) == 1,
        "over_debt_limit": _has(reasons, errors.DebtLimit),
        "too_late": too_late,
    }
    return render(request, "rentals/rent.html", facts, status=409 if request.method == "POST" else 200)


def _has(reasons: tuple[Refusal, ...], kind: type[Refusal]) -> bool:
    return any(isinstance(reason, kind) for reason in reasons)

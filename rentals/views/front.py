"""The front page: new and popular books, with due dates for members and prices for others."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from books.models import Book, Kind
from lori_assignment import clock
from rentals.models import Rental
from rentals.popular import most_rented
from rentals.price_lists import rates_in_force
from rentals.pricing import price_of_days
from rentals.rental_summaries import due_in_words

SHELF = 6
MAX_DUE = 3
EXAMPLES = (1, 3, 7, 14)


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    facts: dict[str, Any] = {
        "newest": list(Book.objects.newest()[:SHELF]),
        "popular": most_rented(at=now, limit=SHELF),
    }
    if request.user.is_authenticated:
        due = Rental.objects.open().filter(user=request.user).with_terms().order_by("due_at", "ref")
        facts["due"] = [
            (rental, due_in_words(rental.due_at, now=now), rental.is_overdue(now)) for rental in due[:MAX_DUE]
        ]
    else:
        facts["examples"] = EXAMPLES
        facts["prices"] = [
            (Kind(kind).label, [(days, price_of_days(rate, days).total) for days in EXAMPLES])
            for kind, rate in sorted(rates_in_force(at=now).items())
        ]
    return render(request, "front.html", facts)

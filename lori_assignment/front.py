"""The front page: what the shop is, and for a member what is due."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from books.models import Book
from rentals.models import PriceList

SHELF = 6


def front(request: HttpRequest) -> HttpResponse:
    price_list = PriceList.objects.in_force(timezone.now()).prefetch_related("rates").first()
    facts = {
        "price_list": price_list,
        "newest": Book.objects.order_by("-id")[:SHELF],
    }
    return render(request, "front.html", facts)

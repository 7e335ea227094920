"""Stocks the demo shop with the real books of `books.csv` and copies in every condition."""

from __future__ import annotations

import csv
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random

from accounts.models import User
from books.models import Book, Copy, Kind
from books.stock import add_book
from lori_assignment import clock
from lori_assignment.money import scale_amount
from rentals.availability import free_copies
from rentals.stock import add_copy, change_copy

CATALOGUE = Path(__file__).with_name("books.csv")

OPENED_DAYS_AGO = 400
# How many days ago the last books of the catalogue arrived.
ARRIVALS = [118, 96, 71, 45, 26, 12]


def fill_shelves(*, now: datetime, chance: Random) -> list[Book]:
    with CATALOGUE.open(encoding="utf-8", newline="") as lines:
        books = [
            add_book(
                name=row["name"],
                author=row["author"],
                isbn=row["isbn"],
                published=int(row["published"]),
                language=row["language"],
                kind=Kind[row["kind"].upper()],
                description=row["description"],
                copies=int(row["copies"]),
            )
            for row in csv.DictReader(lines)
        ]
    arrived = [OPENED_DAYS_AGO] * (len(books) - len(ARRIVALS)) + ARRIVALS
    added = {}
    prices: dict[int, Decimal | None] = {}
    for book, days_ago in zip(books, arrived, strict=True):
        book.added_at = added[book.pk] = clock.add_days(now, -days_ago)
        priced = chance.random() < (0.7 if book.kind == Kind.FICTION else 0.3)
        prices[book.pk] = scale_amount(Decimal(chance.randint(14, 32))) if priced else None
    copies = list(Copy.objects.order_by("pk"))
    for copy in copies:
        copy.added_at = added[copy.book_id]
        copy.replacement_price = prices[copy.book_id]
        copy.condition = chance.choices(Copy.Condition.values, weights=[3, 6, 3, 1])[0]
    Book.objects.bulk_update(books, ["added_at"])
    Copy.objects.bulk_update(copies, ["added_at", "replacement_price", "condition"])
    return books


def add_new_copies(*, now: datetime) -> None:
    """Add two copies, never rented, of the first standard book that is available."""
    book = Book.objects.filter(kind=Kind.REGULAR, copies__in=free_copies()).earliest("pk")
    for _number in range(2):
        add_copy(book=book, at=now, condition=Copy.Condition.NEW)


def take_out_of_service(*, now: datetime, actor: User) -> None:
    """Mark spare copies of four books as in repair, missing, lost and withdrawn."""
    spare = {copy.book_id: copy for copy in free_copies().exclude(barcode__endswith="-1").order_by("pk")}
    in_repair, lost, withdrawn, missing, *_ = spare.values()
    change_copy(
        copy=in_repair, at=now, actor=actor, status=Copy.Status.IN_REPAIR, condition=Copy.Condition.DAMAGED
    )
    change_copy(copy=missing, at=now, actor=actor, status=Copy.Status.MISSING)
    change_copy(copy=lost, at=now, actor=actor, status=Copy.Status.LOST)
    change_copy(
        copy=withdrawn, at=now, actor=actor, status=Copy.Status.WITHDRAWN, condition=Copy.Condition.DAMAGED
    )

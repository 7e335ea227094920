"""Adds and changes copies, and allocates them to waiting members in the same transaction.

Views and the administration call these functions, not those of the same names in `books.stock`, which do not
update the queues.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.models import User
from books import stock
from books.models import Book, Copy
from lori_assignment.db.transactions import atomic_with_retry, lock
from rentals import errors, holds, services
from rentals.models import Rental


@atomic_with_retry
def add_copy(*, book: Book, at: datetime, barcode: str = "", **fields: Any) -> Copy:
    """Like `books.stock.add_copy`; the copy is set aside for the first waiting member."""
    copy = stock.add_copy(book=book, barcode=barcode, **fields)
    # The book is locked until the transaction ends.
    holds.allocate_copies(book, at=at)
    return copy


@atomic_with_retry
def change_copy(*, copy: Copy, at: datetime, actor: User, **changes: Any) -> Copy:
    """Like `books.stock.change_copy`, and update the queue.

    A copy that is back in service is set aside for the first waiting member. A hold whose copy is taken out
    of service gets another one or waits again.

    While a copy is out, its status changes only by its return, by a void, or to lost, which ends the rental
    as a return at `at` would. Raises CopyIsOut.
    """
    status = changes.get("status")
    lost = status == Copy.Status.LOST
    rental = Rental.objects.open().filter(copy=copy).select_related("user", "copy__book").first()
    if rental is not None and lost:
        services.lock_rental(rental)
    else:
        lock(copy.book)
    out = None
    if status is not None and Copy.objects.exclude(status=status).filter(pk=copy.pk).exists():
        out = Rental.objects.open().filter(copy=copy).first()
        # If it was rented just now, its member is not locked.
        if out is not None and not (lost and out == rental):
            raise errors.CopyIsOut
    copy = stock.change_copy(copy=copy, **changes)
    if out is not None:
        services.return_rental(rental=out, at=at, actor=actor, now=at)
    else:
        # The book is locked until the transaction ends.
        holds.allocate_copies(copy.book, at=at)
    return copy

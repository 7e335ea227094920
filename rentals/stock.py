"""Adds and changes copies, and allocates them to waiting members in the same transaction.

Views and the administration call these functions, not those of the same names in `books.stock`, which do not
update the queues.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from books import stock
from books.models import Book, Copy
from lori_assignment.db.transactions import atomic_with_retry
from rentals import holds


@atomic_with_retry
def add_copy(*, book: Book, at: datetime, barcode: str = "", **fields: Any) -> Copy:
    """Like `books.stock.add_copy`; the copy is set aside for the first waiting member."""
    copy = stock.add_copy(book=book, barcode=barcode, **fields)
    # The book is locked until the transaction ends.
    holds.allocate_copies(book, at=at)
    return copy


@atomic_with_retry
def change_copy(*, copy: Copy, at: datetime, **changes: Any) -> Copy:
    """Like `books.stock.change_copy`, and update the queue.

    A copy that is back in service is set aside for the first waiting member. A hold whose copy is taken out
    of service gets another one or waits again.
    """
    copy = stock.change_copy(copy=copy, **changes)
    # The book is locked until the transaction ends.
    holds.allocate_copies(copy.book, at=at)
    return copy

"""Changes of a book's copies that its queue feels: the copy and the allocation in one transaction.

Doors call these functions and not those of `books.stock` with the same names, which know nothing of queues.
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
    """As `books.stock.add_copy`; the copy is put aside for the first member who waits."""
    copy = stock.add_copy(book=book, barcode=barcode, **fields)
    # The book is locked until the transaction ends.
    holds.allocate_copies(book, at=at)
    return copy


@atomic_with_retry
def change_copy(*, copy: Copy, at: datetime, **changes: Any) -> Copy:
    """As `books.stock.change_copy`; a copy that is back in service is put aside for the first member who
    waits, and a hold whose copy is taken out of service gets another one or waits again.
    """
    copy = stock.change_copy(copy=copy, **changes)
    # The book is locked until the transaction ends.
    holds.allocate_copies(copy.book, at=at)
    return copy

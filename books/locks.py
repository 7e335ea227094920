"""The locks on stock. A caller who needs several takes them in one order: member, book, copy, rate.

Each function reads the row again and returns it, because the caller's own object may be stale.
On SQLite a transaction is the only writer from its first statement (settings: IMMEDIATE), and
`select_for_update` adds nothing. FOR NO KEY UPDATE, because a plain FOR UPDATE would stop every
insert that merely refers to the row.
"""

from __future__ import annotations

from books.models import Book, Copy


def lock_book(book: Book) -> Book:
    """No copy of this book is given out, added or changed until the transaction ends."""
    return Book.objects.select_for_update(no_key=True).get(pk=book.pk)


def lock_copy(copy: Copy) -> Copy:
    """Nobody else changes this copy until the transaction ends."""
    return Copy.objects.select_for_update(no_key=True).get(pk=copy.pk)

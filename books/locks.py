"""The locks on stock. Whoever takes several takes them in one order: member, book, copy.

Each reads the row anew, so what the caller fetched before may be stale and the answer is not.
On SQLite a transaction is the only writer from its first statement (settings: IMMEDIATE), and
`select_for_update` adds nothing. FOR NO KEY UPDATE, because a plain FOR UPDATE would stop every
insert that merely refers to the row.
"""

from __future__ import annotations

from django.db.models import BigIntegerField

from books.models import Book, Copy
from lori_assignment.prepared import Prepared, Slot

_pk = Slot("pk", BigIntegerField())
_books: Prepared[Book] = Prepared(lambda: Book.objects.select_for_update(no_key=True).filter(pk=_pk))
_copies: Prepared[Copy] = Prepared(lambda: Copy.objects.select_for_update(no_key=True).filter(pk=_pk))


def lock_book(book: Book) -> Book:
    """No copy of this book is given out, added or changed until the transaction ends."""
    return _books.one(pk=book.pk)


def lock_copy(copy: Copy) -> Copy:
    """Nobody else changes this copy until the transaction ends."""
    return _copies.one(pk=copy.pk)

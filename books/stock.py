"""Adds, changes and deletes books and copies, and assigns barcodes."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, QuerySet

from books import errors
from books.models import Book, Copy
from lori_assignment.db.transactions import atomic_with_retry, disable_retry, lock

logger = logging.getLogger(__name__)

# Limits the damage of a typing error.
MAX_COPIES_AT_ONCE = 1000


def barcode_of(book: Book, number: int) -> str:
    """Return the default barcode of the nth copy of a book, such as `1042-3`."""
    return f"{book.pk}-{number}"


@atomic_with_retry
def add_book(*, copies: int = 1, **fields: Any) -> Book:
    """Add a book with its first copies. Raises IsbnTaken when another book has just got the ISBN."""
    if fields.get("cover"):
        disable_retry()
    book = Book(**fields)
    with _delete_cover_on_failure(book):
        try:
            with transaction.atomic():
                book.save(force_insert=True)
        except IntegrityError:
            _refuse_taken_isbn(fields, among=Book.objects.all())
            raise
        free = _free_barcodes(book)
        Copy.objects.bulk_create(Copy(book=book, barcode=next(free)) for _ in range(copies))
    return book


@atomic_with_retry
def change_book(*, book: Book, **changes: Any) -> Book:
    """Change only the given fields of a book. Raises IsbnTaken as `add_book` does."""
    book = lock(book)
    old_cover = book.cover.name or "" if "cover" in changes else ""
    if changes.get("cover"):
        disable_retry()
    for field, value in changes.items():
        setattr(book, field, value)
    with _delete_cover_on_failure(book):
        try:
            with transaction.atomic():
                book.save(update_fields=list(changes))
        except IntegrityError:
            _refuse_taken_isbn(changes, among=Book.objects.exclude(pk=book.pk))
            raise
    _delete_after_commit(book, old_cover)
    return book


@contextmanager
def _delete_cover_on_failure(book: Book) -> Iterator[None]:
    """Delete a newly stored cover if saving fails: the file is stored before the row is written."""
    before = book.cover.name
    try:
        yield
    except BaseException:
        # Only the name of a stored file begins with the folder, `covers/`.
        stored = book.cover.name
        if stored and stored != before:
            try:
                book.cover.storage.delete(stored)
            except Exception:
                logger.exception("The file of a rejected cover couldn't be deleted.")
        raise


def _refuse_taken_isbn(given: dict[str, Any], *, among: QuerySet[Book]) -> None:
    """Raise IsbnTaken if the ISBN in `given` is what caused the IntegrityError."""
    if given.get("isbn") and among.filter(isbn=given["isbn"]).exists():
        raise errors.IsbnTaken from None


def _delete_after_commit(book: Book, cover: str) -> None:
    """Delete the old cover file once the change is committed."""
    if cover:
        # Robust, because the change is already committed and a leftover file does no harm.
        transaction.on_commit(lambda: book.cover.storage.delete(cover), robust=True)


@atomic_with_retry
def add_copy(*, book: Book, barcode: str = "", **fields: Any) -> Copy:
    """Add a copy of `book`; without a barcode it gets the next one of the book.

    Raises BarcodeTaken when another copy has just got the barcode.
    """
    # Locked, so that concurrent additions do not pick the same barcode.
    lock(book)
    barcode = barcode or next(_free_barcodes(book))
    try:
        with transaction.atomic():
            return Copy.objects.create(book=book, barcode=barcode, **fields)
    except IntegrityError:
        _refuse_taken_barcode(barcode, among=Copy.objects.all())
        raise


def _refuse_taken_barcode(barcode: str, *, among: QuerySet[Copy]) -> None:
    """Raise BarcodeTaken if this barcode is what caused the IntegrityError."""
    if among.filter(barcode=barcode).exists():
        raise errors.BarcodeTaken from None


def _free_barcodes(book: Book) -> Iterator[str]:
    """Yield the free default barcodes of the book, numbered from after its copies.

    Even the first barcode of a new book may be taken, since the shop can use any labels.
    """
    taken = set(Copy.objects.filter(barcode__startswith=f"{book.pk}-").values_list("barcode", flat=True))
    numbers = itertools.count(Copy.objects.filter(book=book).count() + 1)
    return (barcode for number in numbers if (barcode := barcode_of(book, number)) not in taken)


def first_copies(books: Iterable[Book], *, count: int) -> list[Copy]:
    """Return `count` unsaved copies for each of `books`, which must be new and have none yet."""
    return [
        Copy(book=book, barcode=barcode_of(book, number)) for book in books for number in range(1, count + 1)
    ]


@atomic_with_retry
def change_copy(*, copy: Copy, **changes: Any) -> Copy:
    """Change only the given fields of a copy. Raises BarcodeTaken as `add_copy` does."""
    # The book is locked first, so that this copy is not handed out in the meantime.
    lock(copy.book)
    copy = lock(copy)
    for field, value in changes.items():
        setattr(copy, field, value)
    try:
        with transaction.atomic():
            copy.save(update_fields=list(changes))
    except IntegrityError:
        _refuse_taken_barcode(copy.barcode, among=Copy.objects.exclude(pk=copy.pk))
        raise
    return copy


@atomic_with_retry
def delete_book(*, book: Book) -> None:
    """Delete a book with its copies. Raises BookHasRentals if it was ever rented."""
    book = lock(book)
    try:
        book.delete()
    except ProtectedError:
        raise errors.BookHasRentals from None
    _delete_after_commit(book, book.cover.name or "")


@atomic_with_retry
def delete_copy(*, copy: Copy) -> None:
    """Delete a copy. Raises CopyHasRentals if it was ever rented or set aside."""
    lock(copy.book)
    try:
        lock(copy).delete()
    except ProtectedError:
        raise errors.CopyHasRentals from None

"""The shop's stock: books and copies coming in, changing and going, and the copies' barcodes."""

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

# One slip of the keyboard must not fill the shelves.
MAX_COPIES_AT_ONCE = 1000


def barcode_of(book: Book, number: int) -> str:
    """The barcode of the nth copy of a book, where the shop has no labels of its own: `1042-3`."""
    return f"{book.pk}-{number}"


@atomic_with_retry
def add_book(*, copies: int = 1, **fields: Any) -> Book:
    """A new book with its first copies. Raises IsbnTaken when another book got the ISBN just now."""
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
    """Change the given fields of a book and no other. Raises IsbnTaken as `add_book` does."""
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
    """Saving stores a new cover before the row is written: where that is refused, the file goes again."""
    before = book.cover.name
    try:
        yield
    except BaseException:
        # A file that is stored lies in the covers' folder, and says so.
        stored = book.cover.name
        if stored and stored != before:
            try:
                book.cover.storage.delete(stored)
            except Exception:
                logger.exception("A cover that was refused could not be deleted.")
        raise


def _refuse_taken_isbn(given: dict[str, Any], *, among: QuerySet[Book]) -> None:
    """Raises IsbnTaken when that is what the database had against the fields `given`."""
    if given.get("isbn") and among.filter(isbn=given["isbn"]).exists():
        raise errors.IsbnTaken from None


def _delete_after_commit(book: Book, cover: str) -> None:
    """Delete a file that the book had, once nothing can bring it back."""
    if cover:
        # What has happened has happened; a file that stays behind is in nobody's way.
        transaction.on_commit(lambda: book.cover.storage.delete(cover), robust=True)


@atomic_with_retry
def add_copy(*, book: Book, barcode: str = "", **fields: Any) -> Copy:
    """Put one new copy of `book` into service; without a barcode it gets the next one of the book.

    Raises BarcodeTaken when another copy got the barcode just now.
    """
    # Locked, so that two who add copies at once don't take the same barcode.
    lock(book)
    barcode = barcode or next(_free_barcodes(book))
    try:
        with transaction.atomic():
            return Copy.objects.create(book=book, barcode=barcode, **fields)
    except IntegrityError:
        _refuse_taken_barcode(barcode, among=Copy.objects.all())
        raise


def _refuse_taken_barcode(barcode: str, *, among: QuerySet[Copy]) -> None:
    """Raises BarcodeTaken when that is what the database had against a copy with this barcode."""
    if among.filter(barcode=barcode).exists():
        raise errors.BarcodeTaken from None


def _free_barcodes(book: Book) -> Iterator[str]:
    """The book's own barcodes, from the number after its copies on, without those that are taken.

    Even a new book's first may be: the shop writes its own labels as it likes.
    """
    taken = set(Copy.objects.filter(barcode__startswith=f"{book.pk}-").values_list("barcode", flat=True))
    numbers = itertools.count(Copy.objects.filter(book=book).count() + 1)
    return (barcode for number in numbers if (barcode := barcode_of(book, number)) not in taken)


def first_copies(books: Iterable[Book], *, count: int) -> list[Copy]:
    """`count` copies of each of `books`, which are new and have none yet; not yet in the database."""
    return [
        Copy(book=book, barcode=barcode_of(book, number)) for book in books for number in range(1, count + 1)
    ]


@atomic_with_retry
def change_copy(*, copy: Copy, **changes: Any) -> Copy:
    """Change the given fields of a copy and no other. Raises BarcodeTaken as `add_copy` does."""
    # The book's lock comes first: under it nobody is given this copy meanwhile.
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
    """Delete a book that was never rented, with its copies. Raises BookHasRentals."""
    book = lock(book)
    try:
        book.delete()
    except ProtectedError:
        raise errors.BookHasRentals from None
    _delete_after_commit(book, book.cover.name or "")


@atomic_with_retry
def delete_copy(*, copy: Copy) -> None:
    """Delete a copy that was never rented. Raises CopyHasRentals."""
    lock(copy.book)
    try:
        lock(copy).delete()
    except ProtectedError:
        raise errors.CopyHasRentals from None

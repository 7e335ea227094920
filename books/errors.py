"""Refusals of changes to books and copies, each with a stable code."""

from django.utils.translation import gettext_lazy as _

from books.models import BARCODE_TAKEN, ISBN_TAKEN
from lori_assignment.errors import Refusal


class IsbnTaken(Refusal):
    """Another book got the same ISBN at the same time, after validation had passed."""

    code = "isbn_taken"
    message = ISBN_TAKEN


class BarcodeTaken(Refusal):
    """Another copy got the same barcode at the same time, after validation had passed."""

    code = "barcode_taken"
    message = BARCODE_TAKEN


class BookHasRentals(Refusal):
    code = "book_has_rentals"
    message = _("This book has been rented, so it can't be deleted. Withdraw its copies instead.")


class CopyHasRentals(Refusal):
    code = "copy_has_rentals"
    message = _("This copy has been rented or set aside, so it can't be deleted. Withdraw it instead.")

"""Every reason to say no to a change of the stock, each with its code. README.md lists them."""

from django.utils.translation import gettext_lazy as _

from books.models import BARCODE_TAKEN, ISBN_TAKEN
from lori_assignment.errors import Refusal


class IsbnTaken(Refusal):
    """Two who gave two books one ISBN at the same time; the later one gets this."""

    code = "isbn_taken"
    message = ISBN_TAKEN


class BarcodeTaken(Refusal):
    """Two who gave two copies one barcode at the same time; the later one gets this."""

    code = "barcode_taken"
    message = BARCODE_TAKEN


class BookHasRentals(Refusal):
    code = "book_has_rentals"
    message = _("This book has been rented, so it stays for the records. Withdraw its copies.")


class CopyHasRentals(Refusal):
    code = "copy_has_rentals"
    message = _("This copy has been rented or put aside, so it stays for the records. Withdraw it.")

"""Refusals of rentals, holds, payments, price lists and closing an account, each with its stable code."""

from django.utils.translation import gettext_lazy as _

from lori_assignment.errors import Refusal


class BookUnavailable(Refusal):
    """No copy is free, or all free copies belong to members who wait."""

    code = "book_unavailable"
    message = _("No copy of this book is available right now.")


class CopyUnavailable(Refusal):
    code = "copy_unavailable"
    message = _("This copy is on loan, set aside for someone else, or not in service.")


class CopySetAside(Refusal):
    """Only recorded with a past rental; a new rental of such a copy is refused as CopyUnavailable."""

    code = "copy_set_aside"
    message = _("This copy was set aside for someone else.")


class CopyIsOut(Refusal):
    code = "copy_is_out"
    message = _("This copy is on loan. Return it, void its rental, or mark it as lost.")


class AlreadyRented(Refusal):
    code = "already_rented"
    message = _("This account already has this book on loan.")


class RentalLimit(Refusal):
    code = "rental_limit"
    message = _("The limit of books on loan has been reached. Return a book to rent another.")


class DebtLimit(Refusal):
    code = "debt_limit"
    message = _("The balance is too high to rent. Pay at the counter to rent again.")


class MemberInactive(Refusal):
    code = "member_inactive"
    message = _("This account is closed.")


class NoPriceInForce(Refusal):
    code = "no_price_in_force"
    message = _("There was no price for this category at that time.")


class AlreadyReturned(Refusal):
    code = "already_returned"
    message = _("This book has already been returned.")


class AlreadyVoid(Refusal):
    code = "already_void"
    message = _("This rental is void.")


class RenewalLimit(Refusal):
    code = "renewal_limit"
    message = _("No renewals left.")


class OthersWait(Refusal):
    code = "others_wait"
    message = _("Someone is waiting for this book, so it can't be renewed.")


class AlreadyWaiting(Refusal):
    code = "already_waiting"
    message = _("This account already has a hold on this book.")


class BookAvailable(Refusal):
    code = "book_available"
    message = _("A copy is available. Rent it now instead of placing a hold.")


class NoCopies(Refusal):
    code = "no_copies"
    message = _("No copy of this book is in service, so it can't be put on hold. Ask at the counter.")


class HoldLimit(Refusal):
    code = "hold_limit"
    message = _("The limit of holds has been reached. Cancel one to place another.")


class HoldEnded(Refusal):
    code = "hold_ended"
    message = _("This hold has already ended.")


class ReturnBeforeRental(Refusal):
    code = "return_before_rental"
    message = _("The return time is before the rental began.")


class ClientRefReused(Refusal):
    code = "client_ref_reused"
    message = _("This client_ref was used for something else. Use a new one for each rental or payment.")


class Overpayment(Refusal):
    code = "overpayment"
    message = _("The amount is more than the member owes.")


class RefundAboveCredit(Refusal):
    code = "refund_above_credit"
    message = _("The amount is more than the member's credit.")


class NotReversible(Refusal):
    code = "not_reversible"
    message = _(
        "Only payments, waivers and refunds can be reversed. To undo a rental charge, void the rental."
    )


class AlreadyReversed(Refusal):
    code = "already_reversed"
    message = _("This entry has already been reversed.")


class PriceListUsed(Refusal):
    code = "price_list_used"
    message = _("Rentals use this price list, so it can't be changed. Create a new one.")


class PriceListTaken(Refusal):
    """Raised for the second of two concurrent requests to save a list with the same name or time."""

    code = "price_list_taken"
    message = _("Another price list already has this name or takes effect at the same time.")


class BooksOut(Refusal):
    code = "books_out"
    message = _("You still have books on loan. Return them first.")


class MoneyOwed(Refusal):
    code = "money_owed"
    message = _("You still owe money. Pay it at the counter first.")


class CreditLeft(Refusal):
    code = "credit_left"
    message = _("Your account is in credit. Have it paid out at the counter first.")


class StaffAccount(Refusal):
    code = "staff_account"
    message = _("This is a staff account. Only an administrator can close it.")

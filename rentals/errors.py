"""Refusals of rentals, holds, payments, price lists and closing an account, each with its stable code."""

from django.utils.translation import gettext_lazy as _

from lori_assignment.errors import Refusal


class BookUnavailable(Refusal):
    """No copy is free, or all free copies belong to members who wait."""

    code = "book_unavailable"
    message = _("No copy of this book is free.")


class CopyUnavailable(Refusal):
    code = "copy_unavailable"
    message = _("This copy is out, put aside for somebody else, or not in service.")


class AlreadyRented(Refusal):
    code = "already_rented"
    message = _("The member has this book already.")


class RentalLimit(Refusal):
    code = "rental_limit"
    message = _("The member has as many books as are allowed at a time.")


class DebtLimit(Refusal):
    code = "debt_limit"
    message = _("The member owes more than the limit for renting.")


class MemberInactive(Refusal):
    code = "member_inactive"
    message = _("This account is closed.")


class NoPriceInForce(Refusal):
    code = "no_price_in_force"
    message = _("No price list with a rate for this kind of book was in force then.")


class AlreadyReturned(Refusal):
    code = "already_returned"
    message = _("This rental has been returned already.")


class AlreadyVoid(Refusal):
    code = "already_void"
    message = _("This rental is void.")


class RenewalLimit(Refusal):
    code = "renewal_limit"
    message = _("This rental has been renewed as often as is allowed.")


class OthersWait(Refusal):
    code = "others_wait"
    message = _("Somebody waits for this book, so it cannot be renewed.")


class AlreadyWaiting(Refusal):
    code = "already_waiting"
    message = _("The member has a place in the queue for this book already.")


class BookAvailable(Refusal):
    code = "book_available"
    message = _("A copy of this book is free: it can be rented at once.")


class NoCopies(Refusal):
    code = "no_copies"
    message = _("No copy of this book is in service, so there is nothing to wait for.")


class HoldLimit(Refusal):
    code = "hold_limit"
    message = _("The member waits for as many books as are allowed at a time.")


class HoldEnded(Refusal):
    code = "hold_ended"
    message = _("This hold has ended already.")


class ReturnBeforeRental(Refusal):
    code = "return_before_rental"
    message = _("The return would be before the rental began.")


class Overpayment(Refusal):
    code = "overpayment"
    message = _("This is more than the member owes.")


class RefundAboveCredit(Refusal):
    code = "refund_above_credit"
    message = _("This is more than the shop owes the member.")


class NotReversible(Refusal):
    code = "not_reversible"
    message = _("Only payments, waivers and refunds are reversed. For a rent, make its rental void.")


class AlreadyReversed(Refusal):
    code = "already_reversed"
    message = _("This entry has been reversed already.")


class PriceListUsed(Refusal):
    code = "price_list_used"
    message = _("A rental was priced by this list, so it never changes. Make a new one.")


class PriceListTaken(Refusal):
    """Raised for the second of two concurrent requests to save a list with the same name or time."""

    code = "price_list_taken"
    message = _("Another price list has this name, or comes into force at this very time.")


class BooksOut(Refusal):
    code = "books_out"
    message = _("Books are still out. Bring them back first.")


class MoneyOwed(Refusal):
    code = "money_owed"
    message = _("Money is owed. Pay it first.")


class CreditLeft(Refusal):
    code = "credit_left"
    message = _("The shop owes you money. The counter pays it out.")


class StaffAccount(Refusal):
    code = "staff_account"
    message = _("This account belongs to staff. An administrator closes it.")

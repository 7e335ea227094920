"""Every reason to say no to a rental or a payment, each with its code. README.md lists them."""

from django.utils.translation import gettext_lazy as _

from lori_assignment.errors import Refusal


class BookUnavailable(Refusal):
    code = "book_unavailable"
    message = _("No copy of this book is free.")


class CopyUnavailable(Refusal):
    code = "copy_unavailable"
    message = _("This copy is out or not in service.")


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
    """Two who made two price lists of one name or time at once; the later one gets this."""

    code = "price_list_taken"
    message = _("Another price list has this name, or comes into force at this very time.")

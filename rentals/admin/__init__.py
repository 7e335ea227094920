"""Rentals, holds, prices, money and the policy, for staff in the administration.

What changes a rental, a hold, a price list or the ledger goes through the domain functions, so the rules are
those of the API.
"""

from rentals.admin.holds import HoldAdmin
from rentals.admin.ledger import LedgerEntryAdmin
from rentals.admin.price_lists import PolicyAdmin, PriceListAdmin
from rentals.admin.rentals import RentalAdmin

__all__ = ["HoldAdmin", "LedgerEntryAdmin", "PolicyAdmin", "PriceListAdmin", "RentalAdmin"]

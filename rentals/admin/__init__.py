"""Rentals, holds, prices, money and the policy, for staff in the administration.

What changes a rental, a hold, a price list or the ledger goes through the domain functions, so the rules are
those of the API.
"""

from rentals.admin.circulation import RentalAdmin
from rentals.admin.holds import HoldAdmin
from rentals.admin.money import LedgerEntryAdmin
from rentals.admin.prices import PolicyAdmin, PriceListAdmin

__all__ = ["HoldAdmin", "LedgerEntryAdmin", "PolicyAdmin", "PriceListAdmin", "RentalAdmin"]

"""The administration of rentals, holds, price lists, the ledger and the policy.

Rentals, holds, price lists and the ledger change through the domain functions only, so the rules are those of
the API.
"""

from rentals.admin.holds import HoldAdmin
from rentals.admin.ledger import LedgerEntryAdmin
from rentals.admin.price_lists import PolicyAdmin, PriceListAdmin
from rentals.admin.rentals import RentalAdmin

__all__ = ["HoldAdmin", "LedgerEntryAdmin", "PolicyAdmin", "PriceListAdmin", "RentalAdmin"]

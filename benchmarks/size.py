"""How large a shop is, and who in it is known by number: for whoever fills it and for whoever measures it."""

from __future__ import annotations

from typing import NamedTuple

# What everybody's password is.
PASSWORD = "a-good-long-read"  # noqa: S105  # Of a shop that is measured and thrown away.
# A member with a short history and one with a long one, with the same books out.
STAFF, FEW, MANY = 1, 2, 3
FEW_RENTALS, MANY_RENTALS, OUT_NOW = 20, 20_000, 3
FIRST_READER = 4


class Size(NamedTuple):
    """How large a shop is."""

    books: int
    rentals: int
    # Members who have nothing out, each with a book of their own of which one copy is there: for renting.
    renters: int
    many: int = MANY_RENTALS

    @property
    def readers(self) -> int:
        """Members with the rentals of the history."""
        return max(2000, self.rentals // 40)

    @property
    def first_renter(self) -> int:
        return FIRST_READER + self.readers

    @property
    def first_book_to_rent(self) -> int:
        return self.books - self.renters + 1

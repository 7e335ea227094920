"""The sizes of generated shops, and the numbers of their special members."""

from __future__ import annotations

from typing import NamedTuple

# The password of all members.
PASSWORD = "a-good-long-read"  # noqa: S105  # Of throwaway databases only.
# Primary keys. FEW has a short history and MANY a long one, with the same open rentals.
STAFF, FEW, MANY = 1, 2, 3
FEW_RENTALS, MANY_RENTALS, OUT_NOW = 20, 20_000, 3
FIRST_READER = 4


class Size(NamedTuple):
    """The number of rows of a shop."""

    books: int
    rentals: int
    # Members without open rentals, and books with one free copy, one for each of them.
    renters: int
    many: int = MANY_RENTALS

    @property
    def readers(self) -> int:
        """Return the number of members that share the generated history."""
        return max(2000, self.rentals // 40)

    @property
    def first_renter(self) -> int:
        return FIRST_READER + self.readers

    @property
    def first_book_to_rent(self) -> int:
        return self.books - self.renters + 1

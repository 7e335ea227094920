"""What is asked of each case, in one place.

Every target is a ratio within one run, of rounds that took turns, so that a busy or a small machine makes
less of a difference. `at_least` and `at_most` are what `make bench` holds the shop to. `floor` (or
`ceiling`) is what `make bench-quick` holds it to: what the code reaches today with room for a noisy
machine, so that a change that loses it is seen. Raise it when the shop has grown faster; a floor beyond its
target is a mistake, and a test says so.
"""

from __future__ import annotations

from dataclasses import dataclass

# Requests a second, measured once on one machine: the first service, and stock REST framework beside it.
# Their ratio is what carries over to another machine.
FIRST_SERVICE, STOCK_THEN = 144, 464
TEN_TIMES_THE_FIRST = round(10 * FIRST_SERVICE / STOCK_THEN, 2)


@dataclass(frozen=True, slots=True)
class Faster:
    """The rate of `case`, by that of `than`."""

    case: str
    than: str
    at_least: float
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Slower:
    """The time of `case`, by that of `than`."""

    case: str
    than: str
    at_most: float
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Within:
    """A figure that is no ratio: asked of `make bench` alone, where the machine is the user's own."""

    case: str
    figure: str
    below: float


Target = Faster | Slower | Within

TARGETS: tuple[Target, ...] = (
    Faster("catalogue", "catalogue: FastAPI, asyncpg", at_least=1.2, floor=1),
    Faster("catalogue", "catalogue: bare WSGI", at_least=0.5, floor=0.35),
    Faster("catalogue, token", "catalogue, token: FastAPI, SQLAlchemy", at_least=1.5, floor=1.2),
    Faster("catalogue, token", "catalogue, token: stock DRF", at_least=2.5, floor=2.5),
    Faster("catalogue, token", "catalogue, token: stock DRF", at_least=TEN_TIMES_THE_FIRST),
    Faster("one book", "one book: stock DRF", at_least=2, floor=2),
    Faster("my rentals", "my rentals: stock DRF", at_least=2, floor=1.4),
    Faster("balance", "balance: stock DRF", at_least=2, floor=1.4),
    Slower("balance after 20,000 rentals", "balance", at_most=1.5, ceiling=2),
    Faster("rent", "rent: the same statements by pgbench", at_least=0.5, floor=0.15),
    Within("rent one book, 50 at once", "p99_ms", below=500),
    Slower("page in the middle: large", "first page: large", at_most=1.5, ceiling=2),
    Slower("first page: large", "catalogue, token, asked anew", at_most=1.5, ceiling=2),
    Slower("search, rare: large", "search, rare", at_most=1.5, ceiling=2),
    Slower("search, common: large", "search, common", at_most=1.5, ceiling=2),
    Slower("search, misspelt: large", "search, misspelt", at_most=1.5, ceiling=3),
    Within("search, rare: large", "database_ms", below=50),
    Within("search, common: large", "database_ms", below=50),
    Within("search, misspelt: large", "database_ms", below=50),
    Slower("all rentals: large", "all rentals", at_most=2, ceiling=3),
    Slower("overdue: large", "overdue", at_most=2, ceiling=3),
    Slower("page of all rentals: large", "page of all rentals", at_most=2, ceiling=3),
    Slower("page of overdue: large", "page of overdue", at_most=2, ceiling=3),
    Slower("search of rentals: large", "search of rentals", at_most=2, ceiling=3),
    Slower("figures: large", "figures", at_most=2, ceiling=3),
    Faster("/home, signed in", "catalogue, token", at_least=0.5, floor=0.3),
    Faster(
        "catalogue, token: in a storm of sign-ins",
        "catalogue, token: before the storm",
        at_least=1 / 3,
        floor=0.2,
    ),
)

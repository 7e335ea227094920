"""The targets of `make bench` and `make bench-quick`, and the reason for each.

Nearly every target is a ratio within one run whose rounds took turns, so that a busy or small machine
matters less. `make bench` checks `at_least` and `at_most`. `make bench-quick` checks `floor` and `ceiling`:
what the code reaches today, with room for noise, so that a regression is seen. Raise a floor when the shop
has become faster, but never beyond its target.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    # Who is not signed in gets answers of up to a second ago, which the baselines have no cache for ...
    Faster("catalogue", "catalogue: FastAPI, asyncpg", at_least=1.5, floor=1.1),
    # ... and may lose no more than this to Django and its middleware.
    Faster("catalogue", "catalogue: bare WSGI", at_least=0.4, floor=0.3),
    # Nothing is reused here: the shop does more for each request than these do, and still has to be faster.
    Faster("catalogue, token", "catalogue, token: FastAPI, SQLAlchemy", at_least=1.1, floor=0.7),
    Faster("catalogue, token", "catalogue, token: stock DRF", at_least=2.5, floor=1.4),
    # One row: Django's own part of a request weighs more than in a page of 25.
    Faster("one book", "one book: stock DRF", at_least=2, floor=1.2),
    Faster("my rentals", "my rentals: stock DRF", at_least=2, floor=1),
    Faster("balance", "balance: stock DRF", at_least=2, floor=0.7),
    # A balance is read from the last entry, not summed, and the open rentals have an index of their own.
    Slower("balance after 20,000 rentals", "balance", at_most=1.5, ceiling=2),
    # The same rules, locks and statements: the shop adds its API's promises, and gains by fewer layers.
    Faster("rent", "rent: stock DRF", at_least=1.5, floor=0.9),
    Faster("rent", "rent: FastAPI, SQLAlchemy", at_least=0.8, floor=0.6),
    # Members who want the same book wait for one lock, and must not notice it.
    Within("rent one book, 50 at once", "p99_ms", below=500),
    # Pages are found by an index: neither their place nor the number of books may matter.
    Slower("page in the middle: large", "first page: large", at_most=1.5, ceiling=2),
    Slower("first page: large", "catalogue, token", at_most=1.5, ceiling=2),
    # Searches have indexes too; PostgreSQL alone must answer within 50 ms among a million books.
    Slower("search, rare: large", "search, rare", at_most=1.5, ceiling=2),
    Slower("search, frequent: large", "search, frequent", at_most=1.5, ceiling=2),
    Slower("search, common: large", "search, common", at_most=1.5, ceiling=2),
    Slower("search, misspelt: large", "search, misspelt", at_most=1.5, ceiling=3),
    Within("search, rare: large", "database_ms", below=50),
    Within("search, frequent: large", "database_ms", below=50),
    Within("search, common: large", "database_ms", below=50),
    Within("search, misspelt: large", "database_ms", below=50),
    # Staff may wait a little longer for lists of ten million rentals.
    Slower("all rentals: large", "all rentals", at_most=2, ceiling=3),
    Slower("overdue: large", "overdue", at_most=2, ceiling=3),
    Slower("page of all rentals: large", "page of all rentals", at_most=2, ceiling=3),
    Slower("page of overdue: large", "page of overdue", at_most=2, ceiling=3),
    Slower("search of rentals: large", "search of rentals", at_most=2, ceiling=3),
    Slower("figures: large", "figures", at_most=2, ceiling=3),
    # HTML of the same books, with a drawing of each cover and the form, rendered for each request.
    Faster("/home, signed in", "catalogue, token", at_least=0.35, floor=0.17),
    # Hashing passwords may take two thirds of the machine, not all of it.
    Faster(
        "catalogue, token: in a storm of sign-ins",
        "catalogue, token: before the storm",
        at_least=1 / 3,
        floor=0.2,
    ),
)

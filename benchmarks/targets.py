"""The targets of `make bench` and `make bench-quick`, and the reason for each.

Nearly every target is a ratio of cases measured in turn in one run, so that a busy or small machine matters
less. `make bench` checks `at_least` and `at_most`. `make bench-quick` checks `floor` and `ceiling`: what the
code reaches today, with room for noise, to detect regressions. Raise a floor when the shop becomes faster,
but never beyond its target.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faster:
    """A limit for the rate of `case` divided by that of `than`."""

    case: str
    than: str
    at_least: float
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Slower:
    """A limit for the time of `case` divided by that of `than`."""

    case: str
    than: str
    at_most: float
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Within:
    """An absolute limit. It depends on the machine, so only `make bench` checks it."""

    case: str
    figure: str
    below: float


Target = Faster | Slower | Within

TARGETS: tuple[Target, ...] = (
    # Anonymous responses are cached for a second, which the baselines don't do ...
    Faster("catalogue", "catalogue: FastAPI, asyncpg", at_least=1.5, floor=1.1),
    # ... and Django and its middleware may cost no more than this.
    Faster("catalogue", "catalogue: bare WSGI", at_least=0.4, floor=0.3),
    # No caching here: the shop does more per request than the baselines, and must still be faster.
    Faster("catalogue, token", "catalogue, token: FastAPI, SQLAlchemy", at_least=1.1, floor=0.7),
    Faster("catalogue, token", "catalogue, token: stock DRF", at_least=2.5, floor=1.4),
    # The same behind nginx, as in production.
    Faster("catalogue, behind nginx", "catalogue, behind nginx: FastAPI, asyncpg", at_least=1.5, floor=1.1),
    Faster("catalogue, behind nginx", "catalogue, behind nginx: bare WSGI", at_least=0.4, floor=0.3),
    Faster(
        "catalogue, token, behind nginx",
        "catalogue, token, behind nginx: FastAPI, SQLAlchemy",
        at_least=1.1,
        floor=0.7,
    ),
    Faster(
        "catalogue, token, behind nginx",
        "catalogue, token, behind nginx: stock DRF",
        at_least=2.5,
        floor=1.4,
    ),
    # One row: Django's share of the time is larger than for a page of 25.
    Faster("one book", "one book: stock DRF", at_least=2, floor=1.2),
    Faster("my rentals", "my rentals: stock DRF", at_least=2, floor=0.9),
    Faster("balance", "balance: stock DRF", at_least=2, floor=0.7),
    # The balance is read from the last ledger entry, and open rentals have their own index.
    Slower("balance after 20,000 rentals", "balance", at_most=1.5, ceiling=2),
    # The same rules, locks and statements: the shop adds idempotency and ETags, but has fewer layers.
    Faster("rent", "rent: stock DRF", at_least=1.5, floor=0.7),
    Faster("rent", "rent: FastAPI, SQLAlchemy", at_least=0.8, floor=0.6),
    # Members who rent the same book wait for one lock, but not noticeably.
    Within("rent one book, 50 at once", "p99_ms", below=500),
    # Pages are found by an index: neither their position nor the number of books may matter.
    Slower("page in the middle: large", "first page: large", at_most=1.5, ceiling=2),
    Slower("first page: large", "catalogue, token", at_most=1.5, ceiling=2),
    # Searches use indexes too. PostgreSQL itself must answer within 50 ms with a million books.
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
    # HTML of the same books with drawn covers and the search form, rendered for each request.
    Faster("/home, signed in", "catalogue, token", at_least=0.35, floor=0.17),
    # Hashing passwords may take two thirds of the machine, not all of it.
    Faster(
        "catalogue, token: in a storm of sign-ins",
        "catalogue, token: before the storm",
        at_least=1 / 3,
        floor=0.2,
    ),
)

"""Measures concurrent rentals, of different books and of the same book."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection
from threading import Barrier, Thread
from typing import Any, NamedTuple

from benchmarks.measure import Database, Failed, Round, drive, line, median_of_rounds
from benchmarks.processes import Server
from benchmarks.shops import Shop

AT_ONCE = 50


class Renting(NamedTuple):
    """A server, and its path for new rentals."""

    name: str
    server: Server
    path: str


def different_books(
    shop: Shop, servers: Sequence[Renting], database: Database, *, rounds: int, seconds: int
) -> dict[str, Any]:
    """Measure rentals of a different book by each member, at each of `servers` in turn."""
    renters = shop.renters
    tokens = shop.tokens(f"{renters[0].member}-{renters[-1].member}")
    last = shop.last_ref()
    lines = {
        one.name: [
            line(one.path, method="POST", token=tokens[renter.member], body=json.dumps({"book": renter.book}))
            for renter in renters
        ]
        for one in servers
    }
    for one in servers:
        # Warm-up: the first requests open the connections to the database.
        drive(one.server, lines[one.name], database, seconds=1)
        delete_rentals(shop, last)
    found: dict[str, list[Round]] = {}
    for _ in range(rounds):
        for one in servers:
            measured = drive(one.server, lines[one.name], database, seconds=seconds)
            found.setdefault(one.name, []).append(measured)
            made, told = delete_rentals(shop, last), measured["requests"]
            # wrk does not count rentals that were still in progress when the time was up.
            if not told <= made <= told + 32:
                raise Failed(f"{one.name}: {told} rentals were confirmed, but {made} were made.")
    return {name: {**median_of_rounds(taken), "rounds": taken} for name, taken in found.items()}


def delete_rentals(shop: Shop, last: int) -> int:
    """Wait until no more rentals are made, delete those after `last`, and return their number."""
    made = -1
    while made != (made := shop.open_rentals_since(last)):
        time.sleep(0.5)
    shop.delete_rentals_since(last)
    return made


def _ask(connection: HTTPConnection, path: str, token: str, book: int) -> int:
    headers = {"Authorization": f"JWT {token}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps({"book": book}), headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def one_book(shop: Shop, renting: Renting, *, trials: int) -> dict[str, Any]:
    """Let fifty members rent the same book at the same time; each copy must be rented once.

    Raises Failed if a copy was rented twice or not at all, or if there was a deadlock.
    """
    book = shop.crowded_book()
    [[copies]] = shop.ask("SELECT count(*) FROM books_copy WHERE book_id = %s", book)
    members = [renter.member for renter in shop.renters[:AT_ONCE]]
    tokens = shop.tokens(*members)
    last = shop.last_ref()
    deadlocks = _deadlocks(shop)
    took: list[float] = []
    spent = 0.0
    for _ in range(trials):
        begun = time.monotonic()
        answers = _all_at_once(renting, [tokens[member] for member in members], book)
        spent += time.monotonic() - begun
        statuses = Counter(status for status, _ in answers)
        if statuses != {201: copies, 409: AT_ONCE - copies} or shop.open_rentals_since(last) != copies:
            raise Failed(
                f"{renting.name}: {AT_ONCE} members rented {copies} copies: statuses {dict(statuses)}."
            )
        took += [seconds for _, seconds in answers]
        shop.delete_rentals_since(last)
    if _deadlocks(shop) != deadlocks:
        raise Failed(f"{renting.name}: there was a deadlock.")
    took.sort()
    result = {
        "rate": len(took) / spent,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[len(took) * 99 // 100] * 1000,
    }
    return {renting.name.replace("rent", "rent one book, 50 at once", 1): {**result, "rounds": [result]}}


def _deadlocks(shop: Shop) -> int:
    [[number]] = shop.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(number)


def _all_at_once(renting: Renting, tokens: Sequence[str], book: int) -> list[tuple[int, float]]:
    """Return the status of each response and the seconds that it took."""
    answers: list[tuple[int, float]] = []
    barrier = Barrier(len(tokens))

    def one(token: str) -> None:
        connection = HTTPConnection("127.0.0.1", renting.server.port, timeout=30)
        connection.connect()
        barrier.wait()
        begun = time.monotonic()
        status = _ask(connection, renting.path, token, book)
        answers.append((status, time.monotonic() - begun))
        connection.close()

    threads = [Thread(target=one, args=[token]) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers

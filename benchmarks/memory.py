"""Measures the memory of the shop's workers during an hour of load.

    checks/with-postgres .venv/bin/python -m benchmarks.memory [--minutes=60]

Simulated users request pages, the API, PDFs and the administration, and sign in, at a steady pace. Prints a
line per minute. Exits with 1 if a worker exceeds the limit, or holds clearly more in the last minute than in
any minute of the first half. Each figure is the median of a minute, because hashing a password briefly takes
19 MB. PDFs are written by a separate process, which counts only in the total.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from statistics import median
from typing import Any

from benchmarks import catalogue
from benchmarks.people import sign_in_page
from benchmarks.processes import Server, all_stopped, free_port, memory
from benchmarks.report import table
from benchmarks.run import PLACE, shop_environment
from benchmarks.shops import ROOT, Shop
from benchmarks.size import FEW, MANY, PASSWORD, STAFF, Size

SIZE = Size(10_000, 10_000, renters=1_600)
# MB that a worker may hold, and MB that it may grow in the second half.
MAX_MB = 120
GROWTH = 3
# Minutes from which a run is long enough to judge growth.
LONG_ENOUGH = 20
PEOPLE = 4
# The status of sign-ins and PDF requests while others are in progress.
LATER = 429
# Seconds after which tokens are renewed; they expire after five minutes.
TOKENS_LAST = 240


class Person(threading.Thread):
    """A simulated user who sends `pace` requests per second until `ends`."""

    def __init__(
        self, port: int, shop: Shop, cookies: dict[str, str], *, seed: int, pace: float, ends: float
    ) -> None:
        super().__init__(daemon=True)
        self.shop, self.cookies, self.pace, self.ends = shop, cookies, pace, ends
        self.random = random.Random(seed)  # noqa: S311  # nosec B311  # Repeatable load, not security.
        self.renters = shop.renters[seed::PEOPLE]
        # In turn, so that no member reaches the debt limit.
        self.next_renters = itertools.cycle(self.renters)
        self.connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self.told: Counter[int] = Counter()
        self.failed: str = ""
        self.tokens: dict[int, str] = {}
        self.tokens_at = 0.0

    def run(self) -> None:
        try:
            kinds: list[Callable[[], None]] = [
                self.look_around,
                self.look_at_what_is_mine,
                self.rent_and_bring_back,
                self.want_it_on_paper,
                self.stand_at_the_desk,
                self.sign_in,
                self.read_the_document,
            ]
            while time.monotonic() < self.ends:
                begun = time.monotonic()
                self.random.choices(kinds, weights=[200, 60, 20, 2, 6, 4, 1])[0]()
                time.sleep(max(0.0, 1 / self.pace - (time.monotonic() - begun)))
        except Exception as error:  # noqa: BLE001  # Reported by the main thread, which must not wait for the end.
            self.failed = repr(error)

    def ask(
        self, path: str, *, method: str = "GET", token: int = 0, cookie: str = "", body: Any = None
    ) -> bytes:
        headers = {"Accept-Encoding": "gzip"} if cookie else {}
        if token:
            headers["Authorization"] = f"JWT {self.token(token)}"
        if cookie:
            headers["Cookie"] = self.cookies[cookie]
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        content = answer.read()
        self.told[answer.status] += 1
        if answer.status >= 400 and answer.status != LATER:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def token(self, member: int) -> str:
        if time.monotonic() > self.tokens_at + TOKENS_LAST:
            renters = f"{self.renters[0].member}-{self.renters[-1].member}"
            self.tokens = self.shop.tokens(FEW, MANY, STAFF, renters)
            self.tokens_at = time.monotonic()
        return self.tokens[member]

    def look_around(self) -> None:
        book = self.random.randint(1, SIZE.books)
        word = self.random.choice([catalogue.RARE, catalogue.COMMON, catalogue.MISSPELT, f"book {book}"])
        asked = word.replace(" ", "+")
        paths = [
            "/api/v3/books/",
            f"/api/v3/books/{book}",
            f"/api/v3/books/?book_type={book % 3 + 1}&language=ger",
            f"/api/v3/books/?search={asked}",
            f"/api/v3/books/?page_size={book % 100 + 1}",
            "/api/v2/books/",
            "/api/v1/books/",
            "/home",
            f"/home?search={asked}",
            f"/books/{book}/",
        ]
        kind = self.random.choice(["", "token", "cookie"])
        path = self.random.choice(paths)
        self.ask(path, token=FEW if kind == "token" else 0, cookie="few" if kind == "cookie" else "")

    def look_at_what_is_mine(self) -> None:
        who, name = self.random.choice([(FEW, "few"), (MANY, "many")])
        pages = ["/rentals/", "/rentals/history/", "/balance"]
        pages += ["/user/profile/", "/user/sessions/", "/user/data/"]
        self.ask(self.random.choice(pages), cookie=name)
        self.ask("/api/v3/book_rentals/", token=who)
        self.ask(f"/api/v3/book_rentals/users/balance/{who}", token=who)

    def rent_and_bring_back(self) -> None:
        renter = next(self.next_renters)
        told = self.ask(
            "/api/v3/book_rentals/", method="POST", token=renter.member, body={"book": renter.book}
        )
        path = f"/api/v3/book_rentals/{json.loads(told)['ref']}"
        self.ask(path, method="PATCH", token=STAFF, body={"status": 1})

    def want_it_on_paper(self) -> None:
        month = f"2025-{self.random.randint(1, 12):02}"
        for form in ("/", ".pdf", ".csv"):
            self.ask(f"/balance/statements/{month}{form}", cookie="few")

    def stand_at_the_desk(self) -> None:
        paths = [
            "/admin/",
            "/admin/rentals/rental/",
            "/admin/rentals/rental/?state=overdue",
            "/admin/rentals/rental/?q=few",
            "/admin/books/book/",
            "/admin/rentals/ledgerentry/",
        ]
        self.ask(self.random.choice(paths), cookie="staff")
        self.ask("/api/v3/book_rentals/?overdue=true", token=STAFF)

    def sign_in(self) -> None:
        member = f"member{self.random.choice(self.renters).member}"
        self.ask("/api-token-auth/", method="POST", body={"username": member, "password": PASSWORD})

    def read_the_document(self) -> None:
        self.ask(self.random.choice(["/swagger.json", "/swagger/", "/redoc/"]))


def verdict(held: list[float]) -> str:
    """Return what is wrong with the largest worker's MB per minute, or an empty string."""
    if max(held) > MAX_MB:
        return f"A worker held {max(held):.0f} MB; {MAX_MB} are allowed."
    if len(held) < LONG_ENOUGH:
        return ""
    half = len(held) // 2
    before = max(held[:half])
    if held[-1] > before + GROWTH:
        return f"A worker grew from {before:.0f} MB to {held[-1]:.0f} in the second half."
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure memory under load. DATABASE_URL names a PostgreSQL server."
    )
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument(
        "--pace", type=float, default=10, help="requests per second of each of the four users"
    )
    asked = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    environ = shop_environment()
    shop = Shop(os.environ["DATABASE_URL"], SIZE, environ=environ, catalogue=None)
    shop.collect_static()
    with all_stopped() as servers:
        port = free_port()
        log = PLACE / "memory.log"
        facts = {**shop.environ, "PORT": str(port)}
        server = Server(
            ["./entrypoint.sh", "serve"], port=port, path="/readyz", environ=facts, folder=ROOT, log=log
        )
        servers.append(server)
        cookies = {name: sign_in_page(port, name) for name in ("few", "many", "staff")}
        ends = time.monotonic() + 60 * asked.minutes
        people = [
            Person(port, shop, cookies, seed=seed, pace=asked.pace, ends=ends) for seed in range(PEOPLE)
        ]
        for person in people:
            person.start()
        rows, held = [], []
        for minute in range(1, asked.minutes + 1):
            seen = []
            while time.monotonic() < ends - 60 * (asked.minutes - minute):
                time.sleep(1)
                if failed := [person.failed for person in people if person.failed]:
                    raise SystemExit(failed[0])
                seen.append(memory(server.pid))
            held.append(median(now["largest"] for now in seen))
            most = max(now["largest"] for now in seen)
            told = sum((person.told for person in people), Counter())
            of_all = max(now["all"] for now in seen)
            row = [str(minute), f"{told.total():,}", f"{told[LATER]:,}", f"{held[-1]:.0f}", f"{most:.0f}"]
            row.append(f"{of_all:.0f}")
            rows.append(row)
            print("  ".join(row), file=sys.stderr, flush=True)
    head = ["minute", "answers", "come again", "MB of the largest worker", "at most", "of all, shared once"]
    print(table(head, rows))
    if wrong := verdict(held):
        raise SystemExit(wrong)


if __name__ == "__main__":
    main()

"""Measures a small and a large shop and the baselines, and compares them with the targets.

    checks/with-postgres .venv/bin/python -m benchmarks.run [--quick]

Starts the shop with its production gunicorn configuration on two databases and the baselines on the smaller
one, and sends requests to each in turn. Prints a table of targets and exits with 1 if one is missed. Writes
the results to var/bench/ as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg2

from benchmarks import catalogue, nginx, renting, report
from benchmarks.measure import Database, Failed, Probe, drive, line, take_turns
from benchmarks.people import sign_in_page, wait_for_figures
from benchmarks.processes import Server, all_stopped, free_port, memory
from benchmarks.shops import ROOT, Shop
from benchmarks.size import FEW, MANY, STAFF, Size
from benchmarks.storm import storm
from lori_assignment.db.keyset_pagination import Cursor

PLACE = ROOT / "var" / "bench"
BENCH = ROOT / ".venv" / "bench" / "bin"
WORKERS = "2"
# More pages than any server returns in a second.
PAGES = 5_000
STEPS = ("catalogue", "catalogue_by_token", "behind_nginx", "mine", "search", "staff", "rent", "sign_ins")
SIZES = {
    "full": (Size(10_000, 10_000, renters=4_000), Size(1_000_000, 10_000_000, renters=4_000)),
    "quick": (Size(10_000, 10_000, renters=1_200), Size(50_000, 100_000, renters=100)),
}


def shop_environment() -> dict[str, str]:
    """Return production settings without rate limits, which would refuse most of the sign-ins."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(60),
        "TOKEN_SIGNING_KEY": secrets.token_urlsafe(60),
        "SITE_URL": "http://localhost",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "EMAIL_URL": "dummymail://",
        "DEBUG": "off",
        "RATE_LIMITS": "off",
        "TRUSTED_PROXIES": "0",
        "STATIC_ROOT": str(PLACE / "static"),
        "MEDIA_ROOT": str(PLACE / "media"),
        "WEB_CONCURRENCY": WORKERS,
        "BIND": "127.0.0.1",
        "LOG_LEVEL": "ERROR",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


class Bench:
    """The servers and results of one run."""

    def __init__(
        self, *, quick: bool, sizes: tuple[Size, Size], catalogue: str | None, servers: list[Server]
    ) -> None:
        self.quick = quick
        # Many short rounds, so that other load on the machine affects all cases alike.
        self.rounds, self.seconds = (2, 1) if quick else (7, 2)
        self.cases: dict[str, Any] = {}
        self.servers: dict[str, Server] = {}
        self._to_stop = servers
        self.environ = shop_environment()
        address = os.environ["DATABASE_URL"]
        self.database = Database(address)
        self.small, self.large = (
            Shop(address, size, environ=self.environ, catalogue=catalogue) for size in sizes
        )

    # ------------------------------------------------------------ servers

    def start(self) -> None:
        self.small.collect_static()
        self.shop = self._serve("shop, small", ["./entrypoint.sh", "serve"], self.small)
        self.shop_large = self._serve("shop, large", ["./entrypoint.sh", "serve"], self.large)
        bare = PLACE / "page.json"
        bare.write_bytes(self._page())
        self.environ["BARE_BYTES"] = str(bare)
        self.bare = self._serve("bare WSGI", self._gunicorn("bare"), self.small)
        self.stock = self._serve("stock DRF", self._gunicorn("stock_drf.wsgi"), self.small)
        self.asyncpg = self._serve("FastAPI, asyncpg", self._uvicorn("fastapi_asyncpg"), self.small)
        self.sqlalchemy = self._serve("FastAPI, SQLAlchemy", self._uvicorn("fastapi_sqlalchemy"), self.small)
        # Warm-up: the first requests of each thread and connection are slower.
        token, of_large = self.small.tokens(FEW)[FEW], self.large.tokens(FEW)[FEW]
        for server in self.servers.values():
            path = "/api/v3/books/" if server in (self.shop, self.shop_large) else "/books/"
            word = of_large if server is self.shop_large else token
            drive(server, [line(path, token=word)], self.database, seconds=1)

    def _serve(self, name: str, command: list[str], shop: Shop) -> Server:
        port = free_port()
        environ = {**self.environ, "DATABASE_URL": shop.address, "PORT": str(port)}
        words = [word.replace("{port}", str(port)) for word in command]
        log = PLACE / f"{re.sub('[^a-z]+', '-', name.lower())}.log"
        server = Server(words, port=port, path="/books/", environ=environ, folder=ROOT, log=log)
        self._to_stop.append(server)
        self.servers[name] = server
        return server

    def _gunicorn(self, module: str) -> list[str]:
        return [
            "gunicorn",
            "--config",
            "lori_assignment/server/gunicorn_conf.py",
            f"benchmarks.baselines.{module}",
        ]

    def _uvicorn(self, module: str) -> list[str]:
        words = [
            f"benchmarks.baselines.{module}:app",
            "--host=127.0.0.1",
            "--port={port}",
            f"--workers={WORKERS}",
        ]
        return [str(BENCH / "uvicorn"), *words]

    def _page(self) -> bytes:
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{self.shop.port}/api/v3/books/") as answer:
            return bytes(answer.read())

    # ------------------------------------------------------------ cases

    def in_turns(self, *probes: Probe) -> None:
        take_turns(probes, self.database, rounds=self.rounds, seconds=self.seconds, quick=self.quick)
        self.cases |= {probe.name: probe.result() for probe in probes}

    def of_small(self, name: str, *paths: str, **request: str) -> Probe:
        return Probe(name, self.shop, [line(path, **request) for path in paths], database=self.small.name)

    def of_large(self, name: str, *paths: str, **request: str) -> Probe:
        return Probe(
            name, self.shop_large, [line(path, **request) for path in paths], database=self.large.name
        )

    def of_stock(self, name: str, *paths: str, token: str) -> Probe:
        return Probe(
            f"{name}: stock DRF",
            self.stock,
            [line(path, token=token) for path in paths],
            database=self.small.name,
        )

    def catalogue(self) -> None:
        self.in_turns(
            self.of_small("catalogue", "/api/v3/books/"),
            Probe("catalogue: bare WSGI", self.bare, [line("/books/")]),
            Probe("catalogue: FastAPI, asyncpg", self.asyncpg, [line("/books/")], database=self.small.name),
        )

    def catalogue_by_token(self) -> None:
        """Measure the catalogue by token: pages differ and books keep changing, so caches cannot help."""
        token, of_large = self.small.tokens(FEW)[FEW], self.large.tokens(FEW)[FEW]
        pages, pages_of_large = range(1, PAGES), range(self.large.size.books // 2, self.large.size.books, 97)
        with changing_books(self.small), changing_books(self.large):
            self.in_turns(
                self.of_small("catalogue, token", *_at_cursors("/api/v3/books/", pages), token=token),
                self.of_stock(
                    "catalogue, token", *(f"/books/?page={page // 25 + 1}" for page in pages), token=token
                ),
                Probe(
                    "catalogue, token: FastAPI, SQLAlchemy",
                    self.sqlalchemy,
                    [line(f"/books/?cursor={key}", token=token) for key in pages],
                    database=self.small.name,
                ),
                self.of_small("/home, signed in", "/home", cookie=sign_in_page(self.shop.port, "few")),
                self.of_large("first page: large", "/api/v3/books/", token=of_large),
                self.of_large(
                    "page in the middle: large",
                    *_at_cursors("/api/v3/books/", pages_of_large),
                    token=of_large,
                ),
            )

    def behind_nginx(self) -> None:
        """Measure the catalogue again, with the shop and each baseline behind nginx as shipped."""
        token = self.small.tokens(FEW)[FEW]
        pages = range(1, PAGES)
        fronts = {
            name: self._nginx(name)
            for name in ("shop, small", "bare WSGI", "FastAPI, asyncpg", "stock DRF", "FastAPI, SQLAlchemy")
        }

        def probe(case: str, name: str, *paths: str, **request: str) -> Probe:
            baseline = "" if name == "shop, small" else f": {name}"
            database = "" if name == "bare WSGI" else self.small.name
            requests = [line(path, **request) for path in paths]
            return Probe(f"{case}, behind nginx{baseline}", fronts[name], requests, database=database)

        self.in_turns(
            probe("catalogue", "shop, small", "/api/v3/books/"),
            probe("catalogue", "bare WSGI", "/books/"),
            probe("catalogue", "FastAPI, asyncpg", "/books/"),
        )
        by_page = [f"/books/?page={page // 25 + 1}" for page in pages]
        by_cursor = [f"/books/?cursor={key}" for key in pages]
        with changing_books(self.small):
            self.in_turns(
                probe("catalogue, token", "shop, small", *_at_cursors("/api/v3/books/", pages), token=token),
                probe("catalogue, token", "stock DRF", *by_page, token=token),
                probe("catalogue, token", "FastAPI, SQLAlchemy", *by_cursor, token=token),
            )

    def _nginx(self, name: str) -> Server:
        folder = PLACE / f"nginx-{re.sub('[^a-z]+', '-', name.lower())}"
        folder.mkdir(exist_ok=True)
        server = nginx.balance([self.servers[name].port], folder=folder, path="/books/")
        self._to_stop.append(server)
        return server

    def mine(self) -> None:
        tokens = self.small.tokens(FEW, MANY)
        token = tokens[FEW]
        self.in_turns(
            self.of_small("one book", "/api/v3/books/77", token=token),
            self.of_stock("one book", "/books/77/", token=token),
            self.of_small("my rentals", "/api/v3/book_rentals/", token=token),
            self.of_stock("my rentals", "/rentals/", token=token),
            self.of_small("balance", f"/api/v3/book_rentals/users/balance/{FEW}", token=token),
            self.of_stock("balance", "/rentals/balance/", token=token),
            self.of_small(
                "balance after 20,000 rentals",
                f"/api/v3/book_rentals/users/balance/{MANY}",
                token=tokens[MANY],
            ),
        )

    def search(self) -> None:
        words = {
            "rare": catalogue.RARE,
            "frequent": catalogue.FREQUENT,
            "common": catalogue.COMMON,
            "misspelt": catalogue.MISSPELT,
        }
        token, of_large = self.small.tokens(FEW)[FEW], self.large.tokens(FEW)[FEW]
        probes = []
        for name, word in words.items():
            path = f"/api/v3/books/?search={word}"
            probes += [
                self.of_small(f"search, {name}", path, token=token),
                self.of_large(f"search, {name}: large", path, token=of_large),
            ]
        self.in_turns(*probes)

    def staff(self) -> None:
        token, of_large = self.small.tokens(STAFF)[STAFF], self.large.tokens(STAFF)[STAFF]
        probes = []
        for name, path in {
            "all rentals": "/api/v3/book_rentals/",
            "overdue": "/api/v3/book_rentals/?overdue=true",
        }.items():
            probes += [
                self.of_small(name, path, token=token),
                self.of_large(f"{name}: large", path, token=of_large),
            ]
        cookie, cookie_of_large = (
            sign_in_page(server.port, "staff") for server in (self.shop, self.shop_large)
        )
        # The first count of a shop's debts reads the whole ledger.
        wait_for_figures(self.shop.port, cookie)
        wait_for_figures(self.shop_large.port, cookie_of_large)
        pages = []
        for name, path in {
            "page of all rentals": "/admin/rentals/rental/",
            "page of overdue": "/admin/rentals/rental/?state=overdue",
            "search of rentals": "/admin/rentals/rental/?q=few",
            "figures": "/admin/",
        }.items():
            pages += [
                self.of_small(name, path, cookie=cookie),
                self.of_large(f"{name}: large", path, cookie=cookie_of_large),
            ]
        for page in pages:
            # Only few staff use the administration at the same time.
            page.connections = 4
        self.in_turns(*probes, *pages)

    def rent(self) -> None:
        servers = [
            renting.Renting("rent", self.shop, "/api/v3/book_rentals/"),
            renting.Renting("rent: stock DRF", self.stock, "/rentals/"),
            renting.Renting("rent: FastAPI, SQLAlchemy", self.sqlalchemy, "/rentals/"),
        ]
        self.cases |= renting.different_books(
            self.small,
            servers,
            self.database,
            rounds=self.rounds,
            seconds=1 if self.quick else 2,
        )
        for one in servers:
            self.cases |= renting.one_book(self.small, one, trials=3 if self.quick else 20)

    def sign_ins(self) -> None:
        self.cases |= storm(self.small, self.shop, self.database, rounds=self.rounds, seconds=self.seconds)

    def take(self, steps: Iterable[str]) -> None:
        for step in steps:
            begun = time.monotonic()
            name = step.replace("_", " ")
            try:
                getattr(self, step)()
            except Failed as failure:
                self.cases[name] = {"failed": str(failure), "rounds": []}
            print(f"{time.monotonic() - begun:5.0f} s  {name}", file=sys.stderr, flush=True)

    def results(self) -> dict[str, Any]:
        return {
            "quick": self.quick,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(self.database),
            "sizes": {
                name: shop.size._asdict() for name, shop in (("small", self.small), ("large", self.large))
            },
            "rounds": self.rounds,
            "seconds": self.seconds,
            "cases": self.cases,
            "servers": {
                name: {"ready_after": server.ready_after, **memory(server.pid)}
                for name, server in self.servers.items()
            },
        }


def _at_cursors(path: str, keys: Iterable[int]) -> list[str]:
    """Return the paths of the pages that begin after the books with these keys."""
    return [f"{path}?cursor={Cursor(back=False, values=[key]).encode()}" for key in keys]


@contextmanager
def changing_books(shop: Shop) -> Iterator[None]:
    """Change the description of a random book every 20 ms during the block."""
    stop = Event()

    def write() -> None:
        connection = psycopg2.connect(shop.address)
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            for number in itertools.count(1):
                book = number * 7919 % shop.size.books + 1
                cursor.execute(
                    "UPDATE books_book SET description = %s WHERE id = %s", [f"Edition {number}.", book]
                )
                if stop.wait(0.02):
                    return

    writer = Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def machine(database: Database) -> dict[str, Any]:
    """Describe the machine and the versions of its software."""
    about = Path("/proc/cpuinfo").read_text()
    model = re.search("model name\t: (.*)", about)
    installed = subprocess.run(
        [BENCH / "python", "-m", "pip", "freeze"], capture_output=True, text=True, check=True
    ).stdout
    others = dict(row.split("==") for row in installed.split() if "==" in row)
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "versions": {
            "Linux": platform.release(),
            "Python": platform.python_version(),
            "PostgreSQL": database.ask("SHOW server_version")[0][0].split()[0],
            **{name: version(name) for name in ("Django", "djangorestframework", "gunicorn")},
            **{name: others[name] for name in ("fastapi", "uvicorn", "asyncpg", "SQLAlchemy")},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the shop. DATABASE_URL names a PostgreSQL server.")
    parser.add_argument(
        "--quick", action="store_true", help="smaller shops and shorter rounds, checked against floors"
    )
    parser.add_argument("--books", type=int, help="books of the large shop")
    parser.add_argument("--rentals", type=int, help="rentals of the large shop")
    parser.add_argument("--catalogue", help="a CSV file of goodbooks-10k (default: generated books)")
    parser.add_argument("--seconds", type=int, help="seconds of each case per round")
    parser.add_argument("--only", nargs="+", choices=STEPS, help="only these steps; targets are not checked")
    parser.add_argument("--output", type=Path, help="the JSON file for the results")
    asked = parser.parse_args()
    small, large = SIZES["quick" if asked.quick else "full"]
    large = large._replace(books=asked.books or large.books, rentals=asked.rentals or large.rentals)
    PLACE.mkdir(parents=True, exist_ok=True)
    with all_stopped() as servers:
        bench = Bench(quick=asked.quick, sizes=(small, large), catalogue=asked.catalogue, servers=servers)
        bench.seconds = asked.seconds or bench.seconds
        bench.start()
        bench.take(asked.only or STEPS)
        results = bench.results()
    name = (
        asked.output or PLACE / f"{'quick-' if asked.quick else ''}{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    )
    name.write_text(json.dumps(results, indent=1))
    print(report.whole(results))
    print(f"\n{name}", file=sys.stderr)
    missed = [one.what for one in report.verdicts(results) if not one.met]
    if missed and not asked.only:
        raise SystemExit(f"Missed: {'; '.join(missed)}.")


if __name__ == "__main__":
    main()

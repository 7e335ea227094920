"""Measures how throughput grows with worker processes, in one and several instances on one PostgreSQL.

    checks/with-postgres .venv/bin/python -m benchmarks.machines

Sends the same requests to each layout of 1, 2 and 4 worker processes in turn, through nginx. Prints requests
per second and the CPU time of the shop, PostgreSQL and nginx per request. The rate grows until all cores of
the machine are busy; the CPU time per request stays the same. It shows where the database becomes the limit:
see docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.measure import Database, Failed, Round, drive, line
from benchmarks.nginx import balance
from benchmarks.processes import Server, free_port
from benchmarks.renting import delete_rentals
from benchmarks.report import table
from benchmarks.run import shop_environment
from benchmarks.shops import ROOT, Shop
from benchmarks.size import FEW, Size

RENT = "/api/v3/book_rentals/"
CONNECTIONS = 32
SIZE = Size(10_000, 10_000, renters=4_000)


class Layout(NamedTuple):
    instances: int
    workers: int

    def __str__(self) -> str:
        return f"{self.instances} × {self.workers}"


LAYOUTS = (Layout(1, 1), Layout(1, 2), Layout(2, 1), Layout(2, 2), Layout(4, 1))


class Site:
    """Instances behind nginx, measured as one server."""

    def __init__(self, layout: Layout, *, address: str, environ: dict[str, str], folder: Path) -> None:
        self.layout = layout
        self.instances: list[Server] = []
        environ = {**environ, "DATABASE_URL": address, "WEB_CONCURRENCY": str(layout.workers)}

        def start(port: int) -> None:
            facts = {"PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(folder / f"metrics-{port}")}
            log = folder / f"instance-{port}.log"
            command = ["./entrypoint.sh", "serve"]
            self.instances.append(
                Server(command, port=port, path="/readyz", environ=environ | facts, folder=ROOT, log=log)
            )

        ports = [free_port() for _ in range(layout.instances)]
        try:
            with ThreadPoolExecutor(layout.instances) as starting:
                list(starting.map(start, ports))
            self.nginx = balance(ports, folder=folder)
        except BaseException:
            stop_all(self.instances)
            raise
        self.port = self.nginx.port

    def cpu_seconds(self) -> float:
        return sum(instance.cpu_seconds() for instance in self.instances)

    def stop(self) -> None:
        stop_all([*self.instances, self.nginx])


def stop_all(servers: Sequence[Server]) -> None:
    for server in servers:
        server.stop()


class Bench:
    def __init__(self, sites: Sequence[Site], shop: Shop, database: Database, *, seconds: int) -> None:
        self.sites, self.shop, self.database, self.seconds = sites, shop, database, seconds
        self.found: dict[tuple[str, Layout], list[Round]] = {}

    def turn(self, case: str, lines: Sequence[str], *, seconds: int | None = None) -> None:
        """Run one round of `case` with each layout."""
        for site in self.sites:
            before = site.nginx.cpu_seconds(), self._written()
            one = drive(site, lines, self.database, seconds=seconds or self.seconds, connections=CONNECTIONS)
            one["nginx_us"] = (site.nginx.cpu_seconds() - before[0]) / one["requests"] * 1e6
            one["wal"] = (self._written() - before[1]) / one["requests"]
            one["connections"] = self._connections()
            if lines[0].startswith("POST"):
                self._forget(one["requests"])
            self.found.setdefault((case, site.layout), []).append(one)

    def _written(self) -> float:
        """Return how many bytes PostgreSQL has written to its write-ahead log."""
        [[written]] = self.database.ask("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
        return float(written)

    def _connections(self) -> int:
        [[number]] = self.database.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            self.shop.name,
        )
        return int(number)

    def _forget(self, told: int) -> None:
        made = delete_rentals(self.shop, self.last)
        if not told <= made <= told + CONNECTIONS:
            raise Failed(f"{told} rentals were confirmed, but {made} were made.")

    def run(self, rounds: int) -> None:
        self.last = self.shop.last_ref()
        for number in range(rounds + 1):
            # Access tokens expire after five minutes.
            token = self.shop.tokens(FEW)[FEW]
            self.turn("catalogue, with a token", [line("/api/v3/books/", token=token)])
            self.turn("my rentals", [line("/api/v3/book_rentals/", token=token)])
            self.turn("catalogue, signed out", [line("/api/v3/books/")])
            self.turn("rent", self._wishes(), seconds=2)
            if number == 0:
                # Warm-up: the first requests of each thread and connection are slower.
                self.found.clear()

    def _wishes(self) -> list[str]:
        renters = self.shop.renters
        tokens = self.shop.tokens(f"{renters[0].member}-{renters[-1].member}")
        return [
            line(
                "/api/v3/book_rentals/",
                method="POST",
                token=tokens[renter.member],
                body=json.dumps({"book": renter.book}),
            )
            for renter in renters
        ]

    def report(self) -> str:
        head = ["case", "instances × workers", "a second", "of the first", "p99 ms"]
        head += ["CPU µs shop", "database", "nginx", "WAL bytes"]
        rows: list[list[str]] = []
        for (case, layout), rounds in sorted(self.found.items(), key=lambda one: one[0][0]):
            # Compared round by round, so that changes in machine load cancel out.
            first = self.found[case, self.sites[0].layout]
            growth = median(one["rate"] / other["rate"] for one, other in zip(rounds, first, strict=True))
            figures = {name: median(one[name] for one in rounds) for name in rounds[0]}
            rows.append(
                [
                    case,
                    str(layout),
                    f"{figures['rate']:,.0f}",
                    f"{growth:.2f}",
                    f"{figures['p99_ms']:.0f}",
                    *(f"{figures[name]:,.0f}" for name in ("server_us", "database_us", "nginx_us", "wal")),
                ]
            )
        return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure layouts of worker processes. DATABASE_URL names a PostgreSQL server."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each case per round")
    asked = parser.parse_args()
    address = os.environ["DATABASE_URL"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lori-machines-")))
        environ = {**shop_environment(), "STATIC_ROOT": str(folder / "static"), "TRUSTED_PROXIES": "1"}
        shop = Shop(address, SIZE, environ=environ, catalogue=None)
        database = Database(address)
        shop.collect_static()
        sites = []
        for layout in LAYOUTS:
            place = folder / f"{layout.instances}-{layout.workers}"
            place.mkdir()
            sites.append(Site(layout, address=shop.address, environ=environ, folder=place))
            stack.callback(sites[-1].stop)
        bench = Bench(sites, shop, database, seconds=asked.seconds)
        bench.run(asked.rounds)
        report = bench.report()
    print(report)


if __name__ == "__main__":
    main()

"""`make bench-gunicorn`: the same shop under other settings of gunicorn, and three loads on each.

    .ci/with-postgres .venv/bin/python -m benchmarks.gunicorn_loads

*Fast* is the catalogue by token over 32 connections. *Slow* is the same beside 200 connections that send
their request header by header and never end it. *Mixed* is the same beside 32 connections that sign in all
the time. Each round asks all settings in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import line, run_wrk
from benchmarks.processes import Server, all_stopped, free_port
from benchmarks.report import table
from benchmarks.run import shop_environment
from benchmarks.shops import ROOT, Shop
from benchmarks.size import FEW, PASSWORD, Size
from benchmarks.storm import SIGN_IN

SIZE = Size(10_000, 10_000, renters=400)
SLOW = 200
# What is different from lori_assignment/gunicorn_conf.py, which has two workers of four threads. With more
# than one thread gunicorn takes gthread where sync is asked for.
SETTINGS: dict[str, list[str]] = {
    "sync, 2": ["--worker-class=sync", "--threads=1"],
    "sync, 8": ["--worker-class=sync", "--threads=1", "--workers=8"],
    "gthread, 2 × 4": ["--worker-class=gthread"],
    "ours, 2 × 2": ["--threads=2"],
    "ours, 2 × 4": [],
    "ours, 2 × 8": ["--threads=8"],
    "ours, 1 × 8": ["--workers=1", "--threads=8"],
    "ours, 4 × 2": ["--workers=4", "--threads=2"],
    "ours, 2 × 4, not kept": ["--keep-alive=0"],
    "ours, 2 × 4, 1,000 requests each": ["--max-requests=1000", "--max-requests-jitter=100"],
}


@contextlib.contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """As many as SLOW that are sending their requests all the time."""
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(SLOW)]
    ended = threading.Event()

    def send(text: bytes) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):  # Somebody has lost patience with it.
                one.sendall(text)

    def go_on() -> None:
        while not ended.wait(1):
            send(b"X-Slow: yes\r\n")

    send(b"GET /api/v3/books/ HTTP/1.1\r\nHost: localhost\r\n")
    sending = threading.Thread(target=go_on)
    sending.start()
    try:
        yield
    finally:
        ended.set()
        sending.join()
        for one in sockets:
            one.close()


@contextlib.contextmanager
def sign_ins(server: Server, members: Sequence[str], *, seconds: int) -> Iterator[list[float]]:
    """32 connections that sign in for so long; how many a second did, once they have ended."""
    bodies = [json.dumps({"username": member, "password": PASSWORD}) for member in members]
    lines = [line(SIGN_IN, method="POST", body=body) for body in bodies]
    let_in: list[float] = []

    def sign_in() -> None:
        told = run_wrk(server, lines, seconds=seconds, connections=32)
        let_in.append((told["requests"] - told["refused"]) / told["microseconds"] * 1e6)

    signing_in = threading.Thread(target=sign_in)
    signing_in.start()
    time.sleep(0.5)
    try:
        yield let_in
    finally:
        signing_in.join()


class Loads:
    """What was measured of one setting: a figure a round."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.found: dict[str, list[float]] = {}

    def turn(self, lines: Sequence[str], members: Sequence[str], *, seconds: int) -> None:
        def ask(name: str) -> None:
            told = run_wrk(self.server, lines, seconds=seconds, connections=32)
            self._note(name, told["requests"] / told["microseconds"] * 1e6)
            self._note(f"{name} p99", told["p99"] / 1000)

        ask("fast")
        with slow_clients(self.server.port):
            ask("slow")
        with sign_ins(self.server, members, seconds=seconds + 1) as let_in:
            ask("mixed")
        if not let_in:
            raise SystemExit("Nobody could sign in.")
        self._note("let in", let_in[0])

    def _note(self, name: str, figure: float) -> None:
        self.found.setdefault(name, []).append(figure)

    def row(self, name: str) -> list[str]:
        def of(what: str) -> float:
            return median(self.found[what])

        def answers(load: str) -> str:
            return f"{of(load):,.0f}" if of(load) else "none"

        def slowest(load: str) -> str:
            return f"{of(f'{load} p99'):.0f}" if of(load) else ""

        loads = [cell for load in ("fast", "slow", "mixed") for cell in (answers(load), slowest(load))]
        kept = f"{of('mixed') / of('fast'):.2f}"
        return [name, *loads, kept, f"{of('let in'):.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Settings of gunicorn; DATABASE_URL names a server of PostgreSQL."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="lori-loads-") as place, all_stopped() as servers:
        folder = Path(place)
        environ = {**shop_environment(), "STATIC_ROOT": str(folder / "static"), "MEDIA_ROOT": str(folder)}
        shop = Shop(os.environ["DATABASE_URL"], SIZE, environ=environ, catalogue=None)
        shop.collect_static()
        settings: dict[str, Loads] = {}
        for name, words in SETTINGS.items():
            port = free_port()
            facts = {**shop.environ, "PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(folder / str(port))}
            server = Server(
                ["./entrypoint.sh", "serve", *words],
                port=port,
                path="/readyz",
                environ=facts,
                folder=ROOT,
                log=folder / f"{port}.log",
            )
            servers.append(server)
            settings[name] = Loads(server)
        members = [f"member{renter.member}" for renter in shop.renters[:200]]
        for number in range(asked.rounds + 1):
            # A token is good for five minutes.
            lines = [line("/api/v3/books/", token=shop.tokens(FEW)[FEW])]
            for loads in settings.values():
                loads.turn(lines, members, seconds=asked.seconds if number else 1)
                if not number:
                    # The first requests of each thread and connection are slower.
                    loads.found.clear()
    head = [
        "gunicorn",
        "fast a second",
        "p99 ms",
        "beside 200 slow",
        "p99 ms",
        "beside sign-ins",
        "p99 ms",
        "kept",
    ]
    print(table([*head, "signed in a second"], [loads.row(name) for name, loads in settings.items()]))


if __name__ == "__main__":
    main()

"""Runs several instances of the shop behind nginx, and sends requests to chosen ones."""

# ruff: noqa: INP001  # A script, not part of a package.
from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torture_clients import Answer, Client

from benchmarks.nginx import balance, leave_out
from benchmarks.processes import Server, free_port

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A check failed."""


def expect(what: str, expected: object, came: object) -> None:
    if came != expected:
        raise Failed(f"{what}\n    expected: {expected}\n    actual:   {came}")


class Site:
    """`count` instances of the shop behind nginx, each with its own master process and port.

    All are ready when the constructor returns; `stop` stops them.
    """

    def __init__(self, count: int, *, place: Path) -> None:
        self.place = place
        self.ports = [free_port() for _ in range(count)]
        self.servers: dict[int, Server] = {}
        self._nginx: list[Server] = []
        try:
            with ThreadPoolExecutor(count) as starting:
                list(starting.map(self.start, range(count)))
            self._nginx.append(balance(self.ports, folder=place))
        except BaseException:
            self.stop()
            raise
        self.door = self._nginx[0].port

    def start(self, number: int) -> None:
        port = self.ports[number]
        self.servers[number] = Server(
            ["./entrypoint.sh", "serve"],
            port=port,
            path="/readyz",
            environ={"PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(self.place / f"metrics-{port}")},
            folder=ROOT,
            log=self.place / f"instance-{port}.log",
        )

    @property
    def doors(self) -> list[int]:
        """The ports of nginx and of each instance."""
        return [self.door, *self.ports]

    def in_turn(self) -> Iterator[int]:
        return itertools.cycle(self.doors)

    def lose(self, number: int) -> None:
        """Kill an instance without warning, as if its machine had failed."""
        os.killpg(self.servers[number].pid, signal.SIGKILL)
        self.servers.pop(number).process.wait()

    def end(self, number: int) -> int:
        """Stop an instance as a pod: no new requests, then SIGTERM. Returns its exit code."""
        self.leave_out(self.ports[number])
        server = self.servers.pop(number)
        server.process.terminate()
        return int(server.process.wait(timeout=40))

    def leave_out(self, port: int | None) -> None:
        leave_out(self._nginx[0], self.ports, folder=self.place, without=port)

    def stop(self) -> None:
        for server in [*self.servers.values(), *self._nginx]:
            server.stop()

    def log_errors(self) -> list[str]:
        """Return the lines in the logs of the instances other than refused requests and shutdowns."""
        lines = [line for log in self.place.glob("instance-*.log") for line in log.read_text().splitlines()]
        return [line for line in lines if not re.search(r" WARNING (django|security)|\[INFO\]|^$", line)]


def call(
    port: int, method: str, path: str, body: Any = None, *, token: str = "", address: str = "", **said: str
) -> Answer:
    """Send one request on a new connection."""
    client = Client(port, token, address=address)
    try:
        return client.call(method, path, body, **said)
    finally:
        client.close()


def status(port: int, method: str, path: str, body: Any = None, **said: Any) -> int:
    return call(port, method, path, body, **said)[0]


_addresses = (f"127.0.{one}.{other}" for one in range(1, 256) for other in range(1, 255))


def new_address() -> str:
    """Return an unused loopback address."""
    return next(_addresses)

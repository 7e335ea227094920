"""What others notice of 200 clients that send half a request, and then nothing."""

# ruff: noqa: INP001  # A script beside others, not a package.
from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from torture_clients import Client
from torture_server import Server

SLOW = 200
# Whoever waits for longer is held up.
PATIENCE = 2.0

HEAD = b"POST /api-token-auth/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"username": "nobody", "password": "nothing"}'


@dataclass
class Waits:
    """How long each of some requests took, one after the other."""

    seconds: list[float]
    unanswered: int

    def __str__(self) -> str:
        if not self.seconds:
            return f"none answered, {self.unanswered} given up after {PATIENCE:.0f} s"
        ranked = sorted(self.seconds)
        return (
            f"{len(ranked)} answered, half within {1000 * ranked[len(ranked) // 2]:.0f} ms, "
            f"the slowest after {1000 * ranked[-1]:.0f} ms, {self.unanswered} given up"
        )

    @property
    def is_good(self) -> bool:
        return not self.unanswered and max(self.seconds) < 1


def waits(server: Server, seconds: float) -> Waits:
    """Of somebody who asks for the catalogue, each time on a new connection."""
    found = Waits([], 0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        client = Client(server.port)
        client.patience = PATIENCE
        try:
            status, _, _ = client.call("GET", "/api/v3/books/?page_size=5")
        except OSError:
            found.unanswered += 1
            continue
        finally:
            client.close()
        if status != 200:
            raise RuntimeError(f"the catalogue was answered {status}")
        found.seconds.append(time.monotonic() - began)
    return found


def half_sent(server: Server) -> list[socket.socket]:
    """The first half of them has not ended its head, the second its body."""
    sockets = []
    for number in range(SLOW):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        length = b"Content-Length: %d\r\n\r\n" % len(BODY)
        client.sendall(HEAD if number < SLOW // 2 else HEAD + length + BODY[:10])
        sockets.append(client)
    return sockets


def answered(client: socket.socket, rest: bytes) -> bytes:
    """The first line of what one of them is told when it goes on, or has waited for long."""
    client.settimeout(40)
    if rest:
        client.sendall(rest)
    try:
        return client.recv(4096).split(b"\r\n")[0]
    except OSError:
        return b""

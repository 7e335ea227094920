"""Stops a server under load and counts the requests that were lost.

    python drills/stop_under_load.py http://127.0.0.1:8000 -- sh -c 'kill -QUIT 4711'

Clients of three kinds send requests one after the other: some on a persistent connection, some on a new
connection each time, and some slowly, so that a request that begins before the stop ends after it. Then no
new request begins, as when a load balancer has taken the server out, and the command after `--` stops the
server while requests are in progress. Each of them must get a complete response with the expected status, and
the port must be closed in the end.

Prints the outcome of the requests and exits with 1 if one was lost.
"""

# ruff: noqa: INP001, T201  # A script, not part of a package; prints its results.
from __future__ import annotations

import argparse
import http.client
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

# Seconds; longer than the server may take to stop. A client that waits longer gets no response.
PATIENCE = 30.0


@dataclass
class Load:
    host: str
    port: int
    paths: list[str]
    host_header: str
    over: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    clients: list[threading.Thread] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: str, *, lost: str = "") -> None:
        with self.lock:
            self.counts[outcome] += 1
            if lost:
                self.lost.append(f"{outcome}: {lost}")

    def request(self, method: str, path: str, body: bytes = b"", *, close: bool = False) -> bytes:
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.host_header}"]
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if close:
            head.append("Connection: close")
        return ("\r\n".join(head) + "\r\n\r\n").encode() + body

    def connect(self) -> socket.socket:
        opened = socket.create_connection((self.host, self.port), timeout=PATIENCE)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def read(self, opened: socket.socket, kind: str, expected: int) -> bool:
        """Read a response; return whether the connection can be used again."""
        answer = http.client.HTTPResponse(opened)
        answer.begin()
        answer.read()
        when = "after" if self.over.is_set() else "before"
        wrong = "" if answer.status == expected else f"status {answer.status}"
        self.note(f"{kind}, answered {when} the stop", lost=wrong)
        return not answer.will_close

    def keep_alive(self, first: int) -> None:
        opened = None
        for path in itertools.islice(itertools.cycle(self.paths), first, None):
            if self.over.is_set():
                break
            opened = opened or self.connect()
            opened.sendall(self.request("GET", path))
            if not self.read(opened, "kept alive", 200):
                opened.close()
                opened = None
        if opened is not None:
            opened.close()

    def fresh(self, first: int) -> None:
        for path in itertools.islice(itertools.cycle(self.paths), first, None):
            if self.over.is_set():
                break
            with self.connect() as opened:
                opened.sendall(self.request("GET", path, close=True))
                self.read(opened, "new connection", 200)

    def slow(self, _first: int) -> None:
        """Send a sign-in request whose last bytes follow a second after the stop begins."""
        content = self.request("POST", "/api-token-auth/", b'{"username": "x", "password": "y"}')
        with self.connect() as opened:
            opened.sendall(content[:-5])
            self.over.wait()
            time.sleep(1)
            opened.sendall(content[-5:])
            self.read(opened, "slow", 401)

    def start(self, work: Callable[[int], None], number: int) -> None:
        def live() -> None:
            try:
                work(number)
            except (OSError, http.client.HTTPException) as problem:
                self.note(f"{work.__name__}, not answered", lost=repr(problem))

        self.clients.append(threading.Thread(target=live, daemon=True))
        self.clients[-1].start()

    def stop(self, command: list[str]) -> None:
        self.over.set()
        # Clients that were about to send a request have sent it by then.
        time.sleep(0.3)
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # noqa: S603  # The caller's command.
        if done.returncode:
            self.lost.append(f"the command that stops the server exited {done.returncode}")
        for client in self.clients:
            client.join(timeout=PATIENCE)
        try:
            self.connect().close()
            self.lost.append("new connections were still accepted")
        except ConnectionRefusedError:
            pass

    def report(self) -> int:
        for outcome, number in sorted(self.counts.items()):
            print(f"    {number:6}  {outcome}")
        answered = sum(number for outcome, number in self.counts.items() if "answered before" in outcome)
        if answered < len(self.clients):
            self.lost.append(f"only {answered} requests in total: too little load")
        if not any("slow, answered after" in outcome for outcome in self.counts):
            self.lost.append("no request was answered after the stop, so the stop was not tested")
        if stuck := sum(client.is_alive() for client in self.clients):
            self.lost.append(f"{stuck} clients still wait for a response")
        print(f"  {answered} requests before the stop, {len(self.lost)} lost")
        for loss, number in Counter(self.lost).most_common(10):
            print(f"  lost, {number} times: {loss}", file=sys.stderr)
        return 1 if self.lost else 0


def children(server: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--path", action="append", dest="paths", metavar="PATH")
    parser.add_argument("--host", help="the Host header; by default that of the address")
    parser.add_argument("--keep-alive", type=int, default=20)
    parser.add_argument("--fresh", type=int, default=10)
    parser.add_argument("--slow", type=int, default=2)
    parser.add_argument("--before", type=float, default=2.0, help="seconds of load before the stop")
    parser.add_argument("stop", nargs="+", help="the command that stops the server")
    given = parser.parse_args()

    address = urlsplit(given.address)
    load = Load(
        address.hostname or "", address.port or 80, given.paths or ["/healthz"], given.host or address.netloc
    )
    kinds = [load.keep_alive] * given.keep_alive + [load.fresh] * given.fresh + [load.slow] * given.slow
    for number, kind in enumerate(kinds):
        load.start(kind, number)
    until = time.monotonic() + PATIENCE
    time.sleep(given.before)
    while sum(load.counts.values()) < len(kinds) and time.monotonic() < until:
        time.sleep(0.1)
    load.stop(given.stop)
    return load.report()


if __name__ == "__main__":
    sys.exit(main())

"""Stop a server while clients use it, and count what was lost.

    python .ci/stop_under_load.py http://127.0.0.1:8000 -- kill -TERM 4711

Clients of three kinds send requests one after the other: some on one connection that is kept alive, some on
a new connection each time, and some slowly, so that a request that has begun before the stop ends after it.
Then the command behind `--` stops the server. What must hold:

- every request that was sent, or begun, before the stop is answered in full, with the status of a healthy
  server;
- a request that is sent after the stop is answered in full, or its connection is closed before it has a
  single byte of an answer, so that a client may send it again elsewhere;
- a connection that is asked for after the stop is refused or served, and in the end refused.

Prints one line of figures. Exit 1 when something was lost.
"""

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
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# Longer than the server may take to stop: who waits longer than this was forgotten.
PATIENCE = 30.0


@dataclass
class Load:
    host: str
    port: int
    paths: list[str]
    host_header: str
    stopped_at: float = float("inf")
    over: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: str, *, lost: str = "") -> None:
        with self.lock:
            self.counts[outcome] += 1
            if lost:
                self.lost.append(f"{outcome}: {lost}")

    def connect(self) -> socket.socket | None:
        """A new connection, or None when it is refused, which only a server that was told to stop may do."""
        asked_at = time.monotonic()
        try:
            opened = socket.create_connection((self.host, self.port), timeout=PATIENCE)
        except ConnectionRefusedError:
            early = asked_at < self.stopped_at and time.monotonic() < self.stopped_at
            self.note("refused", lost="before the stop" if early else "")
            return None
        except OSError as problem:
            self.note("not connected", lost=repr(problem))
            return None
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def request(self, method: str, path: str, body: bytes, *, close: bool) -> bytes:
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.host_header}"]
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if close:
            head.append("Connection: close")
        return ("\r\n".join(head) + "\r\n\r\n").encode() + body

    def answered(self, opened: socket.socket, sent_at: float, kind: str, expected: int) -> bool:
        """Read one answer; whether the connection can be used again."""
        late = sent_at >= self.stopped_at
        when = "after" if late else "before"
        answer = http.client.HTTPResponse(opened)
        try:
            answer.begin()
        except (ConnectionError, http.client.RemoteDisconnected) as problem:
            # Not a byte came. Before the stop that is a loss, after it a connection that was closed.
            early = sent_at < self.stopped_at
            self.note(f"{kind} unanswered {when} the stop", lost=repr(problem) if early else "")
            return False
        except (OSError, http.client.HTTPException) as problem:
            self.note(f"{kind} cut off {when} the stop", lost=repr(problem))
            return False
        try:
            answer.read()
        except (OSError, http.client.HTTPException) as problem:
            self.note(f"{kind} cut off {when} the stop", lost=repr(problem))
            return False
        wrong = "" if answer.status == expected else f"status {answer.status}"
        self.note(f"{kind} answered {when} the stop", lost=wrong)
        return not answer.will_close

    def send(self, opened: socket.socket, content: bytes, kind: str) -> float | None:
        """When the last byte was handed over, or None when the connection was closed before that."""
        try:
            opened.sendall(content)
        except OSError as problem:
            early = time.monotonic() < self.stopped_at
            self.note(f"{kind} closed before it was sent", lost=repr(problem) if early else "")
            return None
        return time.monotonic()

    def keep_alive(self, first: int) -> None:
        opened = None
        for path in itertools.islice(itertools.cycle(self.paths), first, None):
            if self.over.is_set():
                break
            if opened is None and (opened := self.connect()) is None:
                break
            sent_at = self.send(opened, self.request("GET", path, b"", close=False), "kept alive")
            if sent_at is None or not self.answered(opened, sent_at, "kept alive", 200):
                opened.close()
                opened = None
        if opened is not None:
            opened.close()

    def fresh(self, first: int) -> None:
        for path in itertools.islice(itertools.cycle(self.paths), first, None):
            if self.over.is_set() or (opened := self.connect()) is None:
                break
            with opened:
                sent_at = self.send(opened, self.request("GET", path, b"", close=True), "new connection")
                if sent_at is not None:
                    self.answered(opened, sent_at, "new connection", 200)

    def slow(self, _first: int) -> None:
        """One sign-in whose last byte comes a second after the stop; it counts as sent when it began."""
        opened = self.connect()
        if opened is None:
            return
        content = self.request("POST", "/api-token-auth/", b'{"username": "x", "password": "y"}', close=False)
        with opened:
            began_at = self.send(opened, content[:-5], "slow")
            while time.monotonic() < self.stopped_at + 1 and not self.over.is_set():
                time.sleep(0.05)
            if began_at is not None and self.send(opened, content[-5:], "slow") is not None:
                self.answered(opened, began_at, "slow", 401)


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
    threads = [
        threading.Thread(target=kind, args=(number,), daemon=True) for number, kind in enumerate(kinds)
    ]
    for thread in threads:
        thread.start()
    time.sleep(given.before)
    # Taken before the word is given, so that nothing that was sent later can count as sent earlier.
    load.stopped_at = time.monotonic()
    subprocess.run(given.stop, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # Named by the caller.

    refused_at = None
    while refused_at is None and time.monotonic() < load.stopped_at + PATIENCE:
        try:
            socket.create_connection((load.host, load.port), timeout=PATIENCE).close()
        except ConnectionRefusedError:
            refused_at = time.monotonic() - load.stopped_at
        except OSError:
            pass
        time.sleep(0.02)
    for thread in threads:
        thread.join(timeout=PATIENCE)
    ended_at = time.monotonic() - load.stopped_at
    load.over.set()
    stuck = sum(thread.is_alive() for thread in threads)

    for outcome, number in sorted(load.counts.items()):
        print(f"    {number:6}  {outcome}")
    answered = sum(number for outcome, number in load.counts.items() if " answered before" in outcome)
    refused = "never" if refused_at is None else f"{refused_at:.2f} s"
    print(
        f"  {answered} requests before the stop, {len(load.lost)} lost; "
        f"new connections refused after {refused}; the last client done after {ended_at:.2f} s"
    )
    if answered < len(threads):
        load.lost.append(f"only {answered} requests in all: that was no load")
    if refused_at is None:
        load.lost.append("new connections were still accepted")
    if stuck:
        load.lost.append(f"{stuck} clients still wait for an answer")
    for loss, number in Counter(load.lost).most_common(10):
        print(f"  lost, {number} times: {loss}", file=sys.stderr)
    return 1 if load.lost else 0


if __name__ == "__main__":
    sys.exit(main())

"""Stop a server while clients use it, and count what was lost.

    python .ci/stop_under_load.py http://127.0.0.1:8000 -- kill -TERM 4711

Clients of three kinds send requests one after the other: some on one connection that is kept alive, some on
a new connection each time, and some slowly, so that a request that has begun before the stop ends after it.
Then the command behind `--` stops the server. What must hold:

- every request that was sent, or begun, before the stop is answered in full, with the status of a healthy
  server;
- a request that is sent after the stop over a connection of before is answered in full, or the connection
  is closed before a single byte of an answer, so that a client may send it again elsewhere;
- a connection that is asked for after the stop is refused, or its request is answered; in the end refused.
  One of each worker may fall between its last look for who waits and the closing of its port.

With --freeze the worker processes of that server stand still while some more requests are sent and the word
to stop is given: these have been accepted by the kernel and by nobody else.

Prints what came of the requests. Exit 1 when something was lost.
"""

# ruff: noqa: INP001, T201  # A script beside others, not a package; it prints what it found.
from __future__ import annotations

import argparse
import http.client
import itertools
import os
import signal
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
    clients: list[threading.Thread] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: str, *, lost: str = "") -> None:
        with self.lock:
            self.counts[outcome] += 1
            if lost:
                self.lost.append(f"{outcome}: {lost}")

    def connect(self) -> tuple[socket.socket | None, str]:
        """A new connection, or None when it is refused, which only a server that was told to stop may do;
        and a word for it when it was asked for after the stop."""
        asked_at = time.monotonic()
        late = "late " if asked_at >= self.stopped_at else ""
        try:
            opened = socket.create_connection((self.host, self.port), timeout=PATIENCE)
        except (ConnectionRefusedError, ConnectionResetError):
            # Reset: the port closed in the middle of the handshake, so nothing was sent and nobody let it in.
            early = time.monotonic() < self.stopped_at
            self.note("refused", lost="before the stop" if early else "")
            return None, late
        except OSError as problem:
            self.note("not connected", lost=repr(problem))
            return None, late
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened, late

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
            # Not a byte came: a loss, unless the server was stopping and had said nothing to this client.
            fair = late and not kind.startswith("late")
            self.note(f"{kind} unanswered {when} the stop", lost="" if fair else repr(problem))
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
        opened, late = None, ""
        for path in itertools.islice(itertools.cycle(self.paths), first, None):
            if self.over.is_set():
                break
            if opened is None:
                opened, late = self.connect()
            if opened is None:
                break
            sent_at = self.send(opened, self.request("GET", path, b"", close=False), late + "kept alive")
            if sent_at is None or not self.answered(opened, sent_at, late + "kept alive", 200):
                opened.close()
                opened = None
        if opened is not None:
            opened.close()

    def fresh(self, first: int) -> None:
        for path in itertools.islice(itertools.cycle(self.paths), first, None):
            if self.over.is_set() or not self.once(path, "new connection"):
                break

    def once(self, path: str, kind: str) -> bool:
        """One request over a connection of its own; whether it could be had."""
        opened, late = self.connect()
        if opened is None:
            return False
        with opened:
            sent_at = self.send(opened, self.request("GET", path, b"", close=True), late + kind)
            if sent_at is not None:
                self.answered(opened, sent_at, late + kind, 200)
        return True

    def slow(self, _first: int) -> None:
        """One sign-in whose last byte comes a second after the stop; it counts as sent when it began."""
        opened, _late = self.connect()
        if opened is None:
            return
        content = self.request("POST", "/api-token-auth/", b'{"username": "x", "password": "y"}', close=False)
        with opened:
            began_at = self.send(opened, content[:-5], "slow")
            while time.monotonic() < self.stopped_at + 1 and not self.over.is_set():
                time.sleep(0.05)
            if began_at is not None and self.send(opened, content[-5:], "slow") is not None:
                self.answered(opened, began_at, "slow", 401)

    def refused_after(self) -> float | None:
        """Seconds from the stop until a new connection is refused."""
        while time.monotonic() < self.stopped_at + PATIENCE:
            try:
                socket.create_connection((self.host, self.port), timeout=PATIENCE).close()
            except ConnectionRefusedError:
                return time.monotonic() - self.stopped_at
            except OSError:  # Reset, since nobody let it in.
                pass
            time.sleep(0.02)
        return None

    def stop(self, command: list[str], frozen: list[int]) -> float | None:
        """Stop the server, while the processes `frozen` stand still; seconds until its port is closed."""
        for worker in frozen:
            os.kill(worker, signal.SIGSTOP)
        for _ in range(5 * len(frozen)):
            self.start(self.once, self.paths[0], "waiting")
        if frozen:  # Until all are connected and have sent.
            time.sleep(0.5)
        # Taken before the word is given, so that nothing that was sent later can count as sent earlier.
        self.stopped_at = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as stopping:  # noqa: S603  # The caller's.
            if frozen:  # Until the server has passed the word on.
                time.sleep(0.3)
            for worker in frozen:
                os.kill(worker, signal.SIGCONT)
            refused_after = self.refused_after()
        if stopping.returncode:
            self.lost.append(f"the command that stops the server exited {stopping.returncode}")
        return refused_after

    def start(self, work: Callable[..., object], *words: object) -> None:
        self.clients.append(threading.Thread(target=work, args=words, daemon=True))
        self.clients[-1].start()

    def report(self, refused_after: float | None) -> int:
        ended_after = time.monotonic() - self.stopped_at
        for outcome, number in sorted(self.counts.items()):
            print(f"    {number:6}  {outcome}")
        answered = sum(number for outcome, number in self.counts.items() if " answered before" in outcome)
        if answered < len(self.clients):
            self.lost.append(f"only {answered} requests in all: that was no load")
        if refused_after is None:
            self.lost.append("new connections were still accepted")
        if stuck := sum(client.is_alive() for client in self.clients):
            self.lost.append(f"{stuck} clients still wait for an answer")
        late = [loss for loss in self.lost if loss.startswith("late")]
        # One for each worker; two are what the shop starts with.
        if len(late) <= 2:
            self.lost = [loss for loss in self.lost if loss not in late]
        print(
            f"  {answered} requests before the stop, {len(self.lost)} lost; new connections refused after "
            f"{refused_after or PATIENCE:.2f} s; the last client done after {ended_after:.2f} s"
        )
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
    parser.add_argument("--freeze", type=int, metavar="PID", help="the server whose workers stand still")
    parser.add_argument("stop", nargs="+", help="the command that stops the server")
    given = parser.parse_args()

    address = urlsplit(given.address)
    load = Load(
        address.hostname or "", address.port or 80, given.paths or ["/healthz"], given.host or address.netloc
    )
    kinds = [load.keep_alive] * given.keep_alive + [load.fresh] * given.fresh + [load.slow] * given.slow
    for number, kind in enumerate(kinds):
        load.start(kind, number)
    time.sleep(given.before)
    refused_after = load.stop(given.stop, children(given.freeze) if given.freeze else [])
    for client in load.clients:
        client.join(timeout=PATIENCE)
    load.over.set()
    return load.report(refused_after)


if __name__ == "__main__":
    sys.exit(main())

"""Clients of the torture drill: they rent, return and pay, and record the acknowledged writes."""

# ruff: noqa: INP001, S311  # A script, not part of a package; not security.
from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

# Seconds after which a client counts as stuck.
PATIENCE = 30.0
# One request in this many is abandoned on purpose and sent again with its key.
GIVEN_UP = 50

Answer = tuple[int, dict[str, str], Any]


class Client:
    """A connection to the shop from the local `address`, opened again after an error."""

    def __init__(self, port: int, token: str = "", *, address: str = "") -> None:
        self.port, self.token, self.patience = port, token, PATIENCE
        self.source = (address, 0) if address else None
        self.connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        """Send a request with `body` as JSON, or as a form if it is bytes."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=self.patience, source_address=self.source
            )
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = {"Host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            said.setdefault("Authorization", f"JWT {self.token}")
        content, kind = body, "application/x-www-form-urlencoded"
        if body is not None and not isinstance(body, bytes):
            content, kind = json.dumps(body).encode(), "application/json"
        if content is not None:
            said["Content-Type"] = kind
        self.connection.request(method, path, content, said)

    def receive(self) -> Answer:
        assert self.connection is not None  # noqa: S101  # `send` has opened it.
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.will_close:
            self.close()
        headers = dict(answer.getheaders())
        is_json = "json" in headers.get("Content-Type", "")
        return answer.status, headers, json.loads(content) if is_json else content

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request and return the response. Raises OSError or HTTPException if there is none."""
        try:
            self.send(method, path, body, **headers)
            return self.receive()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


@dataclass
class Book:
    """The writes that the shop acknowledged, the counts of other responses, and what went wrong."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    rentals: set[int] = field(default_factory=set)
    returns: dict[int, Decimal] = field(default_factory=dict)
    payments: dict[int, Decimal] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        return len(self.rentals) + len(self.returns) + len(self.payments)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def complain(self, what: str) -> None:
        with self.lock:
            self.wrong.append(what)


class Crowd:
    """Threads that send requests until `stop`, which reports those that are still waiting."""

    def __init__(self, *, book: Book) -> None:
        self.book = book
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(timeout=60)
        if stuck := sum(thread.is_alive() for thread in self.threads):
            self.book.complain(f"{stuck} members still wait for a response")


class Load(Crowd):
    """Members who rent a book, return it and pay for it, again and again, until stopped.

    Every request has an idempotency key and is repeated with it while there is no response, or one with
    Retry-After.
    """

    def __init__(
        self, port: int, *, members: dict[int, str], staff: str, books: list[int], book: Book
    ) -> None:
        super().__init__(book=book)
        self.port, self.staff, self.books = port, staff, books
        self.threads = [
            threading.Thread(target=self._live, args=(member, token), daemon=True)
            for member, token in members.items()
        ]

    def _live(self, member: int, token: str) -> None:
        as_member, as_staff = Client(self.port, token), Client(self.port, self.staff)
        try:
            while not self.over.is_set():
                self._story(member, as_member, as_staff)
        except Exception as problem:  # noqa: BLE001  # Every error is reported.
            self.book.complain(f"member {member}: {problem!r}")

    def _story(self, member: int, as_member: Client, as_staff: Client) -> None:
        rental = self._done(as_member, "/api/v3/book_rentals/", {"book": random.choice(self.books)}, 201)
        with self.book.lock:
            if rental["ref"] in self.book.rentals:
                self.book.wrong.append(f"rental {rental['ref']} was acknowledged twice")
            self.book.rentals.add(rental["ref"])
        returned = self._done(as_staff, f"/api/v3/book_rentals/{rental['ref']}/return", None, 200)
        charge = Decimal(returned["charge"])
        with self.book.lock:
            self.book.returns[returned["ref"]] = charge
        paid = {"user": member, "amount": str(charge), "method": "cash"}
        payment = self._done(as_staff, "/api/v3/payments/", paid, 201)
        with self.book.lock:
            if payment["id"] in self.book.payments:
                self.book.wrong.append(f"payment {payment['id']} was acknowledged twice")
            self.book.payments[payment["id"]] = charge

    def _done(self, client: Client, path: str, body: Any, expected: int) -> Any:
        key = uuid.uuid4().hex
        while True:
            try:
                if random.randrange(GIVEN_UP) == 0:
                    self._give_up(client, path, body, key)
                status, headers, answer = client.call("POST", path, body, Idempotency_Key=key)
            except (OSError, http.client.HTTPException) as problem:
                self.book.count(f"no response ({type(problem).__name__})")
                time.sleep(0.05)
                continue
            if status == expected:
                self.book.count("answered again" if "Idempotency-Replayed" in headers else "answered")
                return answer
            if status == 502:
                # The server behind the proxy ended before it had responded.
                self.book.count("502 from the proxy")
                time.sleep(0.05)
                continue
            if status == 503 or (status == 409 and answer["code"] == "request_in_progress"):
                self.book.count(f"{status} {answer['code']}")
                if not headers.get("Retry-After", "").isdigit():
                    self.book.complain(f"{status} without Retry-After")
                # Sooner than Retry-After says, to increase the load.
                time.sleep(0.2)
                continue
            raise RuntimeError(f"{path} was answered {status}: {answer}")

    def _give_up(self, client: Client, path: str, body: Any, key: str) -> None:
        """Send a request and disconnect without reading the response."""
        try:
            client.send("POST", path, body, Idempotency_Key=key)
            time.sleep(random.random() * 0.01)
        finally:
            client.close()
        self.book.count("abandoned")


def run_concurrently(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in `count` threads at once, each with its number."""
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

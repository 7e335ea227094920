"""Tests a rolling restart of two servers behind a load balancer, under 40 requests per second."""

# ruff: noqa: INP001  # A script, not part of a package.
from __future__ import annotations

import http.client
import itertools
import socket
import threading
import time
import uuid
from contextlib import suppress

from torture_clients import Book, Client, Crowd
from torture_server import Server

REQUESTS_A_SECOND = 40
CLIENTS = 10


class Switch:
    """A load balancer that passes connections on to the servers in turn.

    A server that is removed gets no new connections and keeps those that it has.
    """

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self.door.getsockname()[1])
        self.servers: list[Server] = []
        self.turns = itertools.count()
        threading.Thread(target=self._let_in, daemon=True).start()

    def _let_in(self) -> None:
        with suppress(OSError):  # The socket was closed.
            while True:
                client, _ = self.door.accept()
                server = self.servers[next(self.turns) % len(self.servers)]
                behind = socket.create_connection(("127.0.0.1", server.port))
                for here, there in ((client, behind), (behind, client)):
                    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass_on, args=(here, there), daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
        with suppress(OSError):
            there.shutdown(socket.SHUT_WR)


class Visitors(Crowd):
    """Sends REQUESTS_A_SECOND requests, on persistent and on new connections; some of them rent."""

    def __init__(self, port: int, *, members: dict[int, str], staff: str, book: int, told: Book) -> None:
        super().__init__(book=told)
        self.port, self.book_id, self.staff = port, book, staff
        self.threads = [
            threading.Thread(target=self._visit, args=(number, token), daemon=True)
            for number, token in enumerate(list(members.values())[:CLIENTS])
        ]

    def _visit(self, number: int, token: str) -> None:
        client, kept = Client(self.port, token), number % 2 == 0
        turn = time.monotonic() + number / REQUESTS_A_SECOND
        for path in itertools.cycle(("/api/v3/books/", "/home", "rent", "/api/v3/book_rentals/")):
            turn += CLIENTS / REQUESTS_A_SECOND
            time.sleep(max(0.0, turn - time.monotonic()))
            if self.over.is_set():
                break
            try:
                if path == "rent":
                    self._rent(client)
                else:
                    self._expect(client, "GET", path, None, 200)
            except (OSError, http.client.HTTPException) as problem:
                self.book.complain(f"{path}: {problem!r}")
            if not kept:
                client.close()

    def _rent(self, client: Client) -> None:
        rental = self._expect(client, "POST", "/api/v3/book_rentals/", {"book": self.book_id}, 201)
        staff = Client(self.port, self.staff)
        self._expect(staff, "POST", f"/api/v3/book_rentals/{rental['ref']}/return", None, 200)
        staff.close()

    def _expect(self, client: Client, method: str, path: str, body: object, expected: int) -> dict[str, int]:
        key = {"Idempotency_Key": uuid.uuid4().hex} if method == "POST" else {}
        was_open = client.connection is not None
        try:
            status, _, answer = client.call(method, path, body, **key)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not was_open:
                raise
            # A server may close a connection between two requests; clients then retry.
            self.book.count("repeated on a new connection")
            status, _, answer = client.call(method, path, body, **key)
        self.book.count(f"{status}")
        if status != expected:
            self.book.complain(f"{method} {path} was answered {status}")
        return answer if isinstance(answer, dict) else {}


def rolling_restart(*, members: dict[int, str], staff: str, book: int, told: Book) -> str:
    """Replace two servers of one worker each, one after the other; return a summary."""
    switch = Switch()
    switch.servers = [Server(workers=1), Server(workers=1)]
    visitors = Visitors(switch.port, members=members, staff=staff, book=book, told=told)
    visitors.start()
    began = time.monotonic()
    time.sleep(1)
    for old in list(switch.servers):
        switch.servers.append(Server(workers=1))
        switch.servers.remove(old)
        # As preStop in the cluster: wait until load balancers have removed the server.
        time.sleep(0.5)
        old.stop()
    time.sleep(0.5)
    visitors.stop()
    took = time.monotonic() - began
    for server in switch.servers:
        server.stop()
    switch.door.close()
    asked = sum(told.counts.values())
    if asked < 0.5 * REQUESTS_A_SECOND * took:
        told.complain(f"only {asked} requests in {took:.1f} s: too little load")
    return f"{asked} requests in {took:.1f} s, {len(told.wrong)} failed; {dict(told.counts)}"

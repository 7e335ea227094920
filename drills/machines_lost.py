"""Checks that no write is lost or done twice when an instance is stopped or killed under load."""

# ruff: noqa: INP001  # A script, not part of a package.
from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter

from machines_books import members, new_book
from machines_people import new_account
from machines_site import Site, call, expect, status
from torture_clients import Book, Load
from torture_rolling import Visitors

from accounts.tokens import issue_tokens
from books.models import Book as Title
from rentals.models import LedgerEntry, Rental

USERS = 8
READERS = 4
BROKEN_OFF = "broken off"
# Seconds within which nginx sends requests to an instance that is back.
BACK_WITHIN = 10
PAGES = ("/api/v3/books/", "/home", "/api/v3/book_rentals/", "/api/v3/price_lists/")


def in_turn(site: Site) -> str:
    asked = Counter(
        call(site.door, "GET", "/healthz")[1]["X-Answered-By"] for _ in range(10 * len(site.ports))
    )
    expect(
        "requests per instance, through nginx", {f"127.0.0.1:{port}": 10 for port in site.ports}, dict(asked)
    )
    return f"nginx sends requests to {len(site.ports)} instances in turn"


def stopped(site: Site) -> str:
    """Take an instance out, stop and restart it under 50 requests per second, including rentals."""
    told, book = Book(), _book()
    visitors = Visitors(site.door, members=members(10), staff=_staff(), book=book.pk, told=told)
    visitors.start()
    time.sleep(1)
    expect("the exit code of a stopped instance", 0, site.end(0))
    gone = _refused_by(site.ports[0])
    site.start(0)
    site.leave_out(None)
    time.sleep(1.5)
    visitors.stop()
    expect("failed requests", [], told.wrong[:5])
    expect("whether it had stopped", True, gone)
    until, asked = time.monotonic() + BACK_WITHIN, set[str]()
    while len(asked) < len(site.ports) and time.monotonic() < until:
        asked.add(call(site.door, "GET", "/healthz")[1]["X-Answered-By"])
    expect("instances that respond after the restart", len(site.ports), len(asked))
    return f"one is stopped and restarted under load: {sum(told.counts.values())} requests, none failed"


def killed(site: Site) -> str:
    """Kill all processes of an instance. Writers retry with the same key; nginx retries reads."""
    told, users = Book(), members(USERS)
    books = [_book().pk for _ in range(4)]
    load = Load(site.door, members=users, staff=_staff(), books=books, book=told)
    over, read = threading.Event(), Counter[str]()
    readers = [
        threading.Thread(target=_read, args=(site.door, token, over, read, number), daemon=True)
        for number, token in enumerate(members(READERS).values())
    ]
    load.start()
    for reader in readers:
        reader.start()
    time.sleep(1)
    site.lose(len(site.ports) - 1)
    time.sleep(2)
    over.set()
    load.stop()
    for reader in readers:
        reader.join()
    expect("errors of writers", [], told.wrong[:5])
    broken_off = read.pop(BROKEN_OFF, 0)
    expect("statuses of reads", {"200"}, set(read))
    there = Rental.objects.filter(user__in=users)
    expect(
        "rentals that differ from those acknowledged",
        set(),
        told.rentals ^ set(there.values_list("ref", flat=True)),
    )
    back = there.exclude(returned_at=None).values_list("ref", flat=True)
    expect("returns that differ from those acknowledged", set(), set(told.returns) ^ set(back))
    payments = LedgerEntry.objects.payments().filter(user__in=users).values_list("pk", "amount")
    expect(
        "payments that differ from those acknowledged",
        told.payments,
        {pk: -amount for pk, amount in payments},
    )
    expect("whether the killed instance refuses connections", True, _refused_by(site.ports[-1]))
    expect("the others, through nginx", [200] * 20, [status(site.door, "GET", "/readyz") for _ in range(20)])
    again = {what: number for what, number in told.counts.items() if not what.startswith("answered")}
    return (
        f"one is killed under load: {told.acknowledged} writes, none lost or done twice; "
        f"{sum(read.values())} reads, none failed, {broken_off} broken off and repeated; "
        f"repeated writes: {again}"
    )


def _read(port: int, token: str, over: threading.Event, read: Counter[str], number: int) -> None:
    for place in itertools.count(number):
        if over.is_set():
            return
        path = PAGES[place % len(PAGES)]
        try:
            try:
                told, _, _ = call(port, "GET", path, token=token)
            except http.client.IncompleteRead:
                # The instance was killed when nginx had already passed on part of its response.
                read[BROKEN_OFF] += 1
                told, _, _ = call(port, "GET", path, token=token)
            read[str(told)] += 1
        except (OSError, http.client.HTTPException) as problem:
            read[repr(problem)] += 1


def _refused_by(port: int) -> bool:
    try:
        status(port, "GET", "/healthz")
    except ConnectionRefusedError:
        return True
    return False


def _staff() -> str:
    return issue_tokens(new_account(is_staff=True)).access


def _book() -> Title:
    return new_book(2 * USERS)


CHECKS = (stopped, killed)

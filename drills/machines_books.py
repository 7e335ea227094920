"""Checks across instances: idempotency keys, contention for the last copies, and caches."""

# ruff: noqa: INP001  # A script, not part of a package.
from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from threading import Lock
from typing import Any, NamedTuple

from machines_people import OWN, new_account, sign_in
from machines_site import Failed, Site, call, expect
from torture_clients import Answer, run_concurrently

from accounts.models import User
from accounts.tokens import issue_tokens
from benchmarks.people import sign_in_page
from books.models import Book, Kind
from books.stock import add_book
from rentals.models import Policy, Rental

CATALOGUE = "/api/v3/books/"
TWINS = 12
MEMBERS = 50
COPIES = 10
# Maximum age of an anonymous response in seconds: RESPONSE_CACHE_SECONDS.
RECENT = 1.0
# Seconds allowed for a request to reach the view.
ON_ITS_WAY = 0.25

_numbers = itertools.count(1)
# Names of a book before and after a change.
_names = iter((("Quicksilver", "Mercury"), ("Brimstone", "Sulphur"), ("Blacklead", "Graphite")))


class Change(NamedTuple):
    """The value of `field` that `path` must return after a change at the time `at`."""

    at: float
    path: str
    field: str
    wanted: object


def new_book(copies: int, **facts: Any) -> Book:
    return add_book(copies=copies, **{"name": f"Volume {next(_numbers)}", "kind": Kind.REGULAR} | facts)


def members(count: int) -> dict[int, str]:
    """Create accounts without passwords; return an access token for each."""
    names = [f"reader{next(_numbers)}" for _ in range(count)]
    made = User.objects.bulk_create(User(username=name, email=f"{name}@example.org") for name in names)
    return {user.pk: issue_tokens(user).access for user in made}


# ---------------------------------------------------------------- done once


def idempotency(site: Site) -> str:
    book, replayed = new_book(TWINS), Counter[str]()
    for member, token in members(TWINS).items():
        key, lock = uuid.uuid4().hex, Lock()
        answers: list[Answer] = []

        def rent(port: int, token: str = token, key: str = key) -> Answer:
            return call(port, "POST", OWN, {"book": book.pk}, token=token, Idempotency_Key=key)

        def at(number: int, rent: Any = rent, answers: list[Answer] = answers, lock: Lock = lock) -> None:
            answer = rent(site.ports[number])
            with lock:
                answers.append(answer)

        run_concurrently(2, at)
        answers += [rent(port) for port in site.doors]
        expect(
            "one key, sent to two instances at once and then to all: statuses",
            {201},
            {one[0] for one in answers},
        )
        expect("rentals made with it", 1, Rental.objects.filter(user=member).count())
        expect("different answers", 1, len({str(one[2]) for one in answers}))
        new = sum("Idempotency-Replayed" not in one[1] for one in answers)
        expect("responses without Idempotency-Replayed", 1, new)
        other = call(site.door, "POST", OWN, {"book": book.pk + 1}, token=token, Idempotency_Key=key)
        expect("the key with a different request", 422, other[0])
        replayed["first at A" if "Idempotency-Replayed" not in answers[0][1] else "first at B"] += 1
    return (
        f"{TWINS} keys, each sent to two instances at once: one rental each, and the same response from all"
    )


def contention(site: Site) -> str:
    book, told, lock = new_book(COPIES), Counter[str](), Lock()
    wishes = list(members(MEMBERS).values())

    def want(number: int) -> None:
        port = site.ports[number % len(site.ports)]
        status, _, answer = call(port, "POST", OWN, {"book": book.pk}, token=wishes[number])
        with lock:
            told[f"{status} {answer.get('code', '')}".strip()] += 1

    run_concurrently(MEMBERS, want)
    expect(
        f"{MEMBERS} members rent {COPIES} copies at once",
        {"201": COPIES, "409 book_unavailable": MEMBERS - COPIES},
        dict(told),
    )
    expect("copies on loan", COPIES, Rental.objects.open().filter(copy__book=book).count())
    return f"{MEMBERS} members rent {COPIES} copies at once, through all instances: {COPIES} succeed"


# ---------------------------------------------------------------- caches


def caches(site: Site) -> str:
    others, desk = site.ports[1:], sign_in(site.ports[0], new_account(is_staff=True))["token"]
    ((_, token),) = members(1).items()
    reader = new_account()
    browser = sign_in_page(site.ports[0], reader.username)
    before, after = next(_names)
    book = new_book(1, name=before)
    changed = [
        _rename(site, book, after, desk=desk, token=token, browser=browser),
        _lend(site, book, after, token=token, browser=browser),
        _reprice(site, book, desk=desk, token=token, browser=browser),
    ]
    oldest = _oldest(others, changed)
    _limit(others[-1])
    return (
        "signed-in users see a new name, price, loan or policy at all instances at once, on /home too; "
        f"anonymous users at most {oldest:.2f} s later"
    )


def _rename(site: Site, book: Book, name: str, *, desk: str, token: str, browser: str) -> Change:
    a, others, path, former = site.ports[0], site.ports[1:], f"{CATALOGUE}{book.pk}", book.name
    _warm(site, path)
    _warm(site, path, token=token)
    _warm(site, "/home", browser=browser)
    etags = {port: call(port, "GET", path, token=token)[1]["ETag"] for port in others}
    _done(call(a, "PATCH", path, {"name": name}, token=desk), 200)
    change = Change(time.monotonic(), path, "name", name)
    for port in others:
        expect("a new name, with a token, at once", name, call(port, "GET", path, token=token)[2]["name"])
        told = call(port, "GET", path, token=token, If_None_Match=etags[port])
        expect("the old ETag", 200, told[0])
        page = _page(port, browser)
        expect("/home, at once", [True, False], [one.encode() in page for one in (name, former)])
        misspelt = name[:1] + name[2:]
        for word, found in ((name, 1), (former, 0), (misspelt, 1)):
            listed = call(port, "GET", f"{CATALOGUE}?search={word}", token=token)[2]["results"]
            expect(f"a search for {word}", found, len(listed))
    return change


def _lend(site: Site, book: Book, name: str, *, token: str, browser: str) -> Change:
    a, others, path = site.ports[0], site.ports[1:], f"{CATALOGUE}{book.pk}"
    for port in others:
        expect("/home, while a copy is available", True, _is_free_at_home(port, name, browser))
    _warm(site, path)
    _done(call(a, "POST", OWN, {"book": book.pk}, token=token), 201)
    change = Change(time.monotonic(), path, "available", 0)
    for port in others:
        found = call(port, "GET", f"{CATALOGUE}?search={name}", token=token)[2]["results"]
        expect("available copies, with a token, at once", [0], [one["available"] for one in found])
        expect("/home, when it is on loan", False, _is_free_at_home(port, name, browser))
    return change


def _reprice(site: Site, book: Book, *, desk: str, token: str, browser: str) -> Change:
    a, others, path = site.ports[0], site.ports[1:], f"{CATALOGUE}{book.pk}/quote?days=1"
    daily = f"{4 + next(_numbers) / 1000:.2f}"
    _warm(site, path)
    rates = [{"book_type": kind, "daily_rate": daily} for kind in Kind.values]
    made = call(a, "POST", "/api/v3/price_lists/", {"name": f"From {daily}", "rates": rates}, token=desk)
    _done(made, 201)
    change = Change(time.monotonic(), path, "total", daily)
    for port in others:
        expect("a new price, with a token, at once", daily, call(port, "GET", path, token=token)[2]["total"])
        expect("/home, at once", True, daily.encode() in _page(port, browser))
        listed = call(port, "GET", "/api/v3/price_lists/", token=token)[2]["results"]
        expect("the price lists, at once", True, f"From {daily}" in [one["name"] for one in listed])
    return change


def _limit(port: int) -> None:
    """Check that a change of the policy applies at once."""
    ((_, token),) = members(1).items()
    one, other = new_book(1), new_book(1)
    _done(call(port, "POST", OWN, {"book": one.pk}, token=token), 201)
    limit = Policy.objects.values_list("max_open_rentals", flat=True).get()
    try:
        Policy.objects.update(max_open_rentals=1)
        told = call(port, "POST", OWN, {"book": other.pk}, token=token)
        expect("a limit of the policy, at once", (409, "rental_limit"), (told[0], told[2].get("code")))
    finally:
        Policy.objects.update(max_open_rentals=limit)


def _warm(site: Site, path: str, *, token: str = "", browser: str = "") -> None:
    """Request `path` until both processes of each instance have very likely returned it."""
    headers = {"Cookie": browser} if browser else {}
    for _ in range(8):
        for port in site.ports:
            call(port, "GET", path, token=token, **headers)


def _oldest(ports: list[int], changed: list[Change]) -> float:
    """Return for how many seconds after a change anonymous responses at any of `ports` were still old.

    Raises Failed if a response is older than the cache allows.
    """
    until, oldest = time.monotonic() + RECENT + 2 * ON_ITS_WAY, 0.0
    while time.monotonic() < until:
        for (at, path, field, wanted), port in itertools.product(changed, ports):
            age = time.monotonic() - at
            told = call(port, "GET", path)[2][field]
            if told == wanted:
                continue
            oldest = max(oldest, age)
            if age > RECENT + ON_ITS_WAY:
                raise Failed(
                    f"{path}, signed out, {age:.2f} s after a change\n"
                    f"    expected: {field} {wanted}\n    actual:   {told}"
                )
        time.sleep(0.01)
    return oldest


def _page(port: int, browser: str) -> bytes:
    content: bytes = call(port, "GET", "/home", Cookie=browser)[2]
    return content


def _is_free_at_home(port: int, name: str, browser: str) -> bool:
    """Return whether /home, filtered by availability, lists the book."""
    page: bytes = call(port, "GET", f"/home?search={name}&available=on", Cookie=browser)[2]
    return f">{name}</a></h2>".encode() in page


def _done(answer: Answer, status: int) -> None:
    expect("the change at A", status, answer[0])


CHECKS = (idempotency, contention, caches)

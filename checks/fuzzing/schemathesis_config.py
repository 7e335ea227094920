"""Configures schemathesis for a demo shop: plausible parameter values and existing ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from shop import PASSWORD, ROLES, call, sign_in

# Plausible values by parameter; schemathesis mixes them with generated ones.
AMOUNTS = ["0.01", "1.00", "2.50"]
NEW_PASSWORD = "the-fourth-chapter"  # noqa: S105  # No account has it.
TAG = '"0123456789abcdef0123456789abcdef"'
WORDS: dict[str, list[Any]] = {
    "query.ordering": ["name", "-name", "author", "-author", "published", "-published", "id", "-id"],
    "query.language": ["en", "de", "xx"],
    "query.book_type": [1, 2, 3],
    "query.decade": [1810, 1980, -500],
    "query.days": [1, 14, 365],
    "query.page_size": [1, 7, 100_000],
    "header.If-Match": ["*", TAG],
    "header.If-None-Match": ["*", TAG],
    "header.Idempotency-Key": [f"call {number}" for number in range(40)],
    "body.amount": AMOUNTS,
    "body.replacement_price": AMOUNTS,
    "body.rates[*].first_days_rate": AMOUNTS,
    "body.rates[*].daily_rate": AMOUNTS,
    "body.rates[*].minimum": AMOUNTS,
    "body.rates[*].late_fee": AMOUNTS,
    "body.isbn": ["", "9780061054884"],
    "body.language": ["", "en", "fr"],
    "body.password": [PASSWORD],
    "body.old_password": [PASSWORD],
    "body.new_password1": [PASSWORD],
    "body.new_password2": [PASSWORD],
    "body.password1": [NEW_PASSWORD],
    "body.password2": [NEW_PASSWORD],
}
CHANCES = {"query": 0.3, "header": 0.1, "body": 0.7, "query.cursor": 0.1}
ACCOUNTS, BOOKS, COPIES = "/api/v3/accounts/", "/api/v3/books/", "/api/v3/copies/"
RENTALS, PRICE_LISTS = "/api/v3/book_rentals/", "/api/v3/price_lists/"
LENDABLE = "books to be lent"
# For paths with an id: the list of the objects, and the name of their key.
KEYS = {
    "/book_rentals/users/": (ACCOUNTS, "id"),
    "/book_rentals/{ref}/": (RENTALS, "ref"),
    "/books/{id}/": (BOOKS, "id"),
    "/copies/{id}/": (COPIES, "id"),
    "/accounts/{id}/": (ACCOUNTS, "id"),
    "/holds/{id}/": ("/api/v3/holds/", "id"),
    "/payments/{id}/": ("/api/v3/payments/", "id"),
    "/price_lists/{id}/": (PRICE_LISTS, "id"),
}
CURSOR = re.compile("cursor=([^&]+)")
CHAINS = 5
# The number of ids of each kind, of the caller's own and of all.
A_FEW = 12
# The number of objects of each kind that a run may use up or delete.
SPARE = 12


def ids_and_words(
    role: str, *, shop: str, document: dict[str, Any]
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Return the ids by the part of the path before them, and the values by parameter."""
    user = ROLES[role]
    desk = sign_in(shop, ROLES["superuser"])["token"]
    own = sign_in(shop, user)["token"] if user else desk
    words = WORDS | {"query.cursor": []}
    ids: dict[str, list[Any]] = {}
    for path, key in dict.fromkeys(KEYS.values()):
        for token in (desk, own) if path in document["paths"] else ():
            page = _page(f"{shop}{path}?page_size={A_FEW}", token)
            ids[path] = ids.get(path, []) + [row[key] for row in page["results"]]
            words["query.cursor"] += CURSOR.findall(page["next"] or "")
    if ids:
        made = create_fixtures(shop, number=list(ROLES).index(role), token=desk)
        words["body.book"] = made.pop(LENDABLE) + ids[BOOKS]
        words["body.user"] = ids[ACCOUNTS]
        words |= {"query.book": words["body.book"], "query.user": words["body.user"]}
        for path, keys in made.items():
            # Most calls only succeed with these.
            ids[path] += 3 * keys
    words["body.username"] = [user or ROLES["member"]]
    # Each from a separate login: reusing a refresh token revokes every token of that login.
    good, *others = [sign_in(shop, ROLES["member"])["refresh"] for _ in range(2 * SPARE)]
    words |= {"body.token": [good], "body.refresh": others}
    by_part = {part: ids[path] for part, (path, _) in KEYS.items() if path in ids}
    return by_part, {name: values for name, values in words.items() if values}


def create_fixtures(shop: str, *, number: int, token: str) -> dict[str, list[Any]]:
    """Create unused objects of each kind, different for each `number`, and return their ids by list."""

    def made(path: str, key: str, **body: Any) -> list[Any]:
        try:
            return [call(f"{shop}{path}", token=token, body=body)[key]]
        except HTTPError as refused:
            # Refused by a rule of the shop, for example a limit on rentals.
            if refused.code != HTTPStatus.CONFLICT:
                raise
            return []

    # Not the members whose ids are used in calls: they would reach their limit of rentals.
    members = [row["id"] for row in _page(f"{shop}{ACCOUNTS}?page_size=100", token)["results"]][A_FEW:]
    spare = range(SPARE)
    books = [made(BOOKS, "id", name=f"Spare {one}", book_type=3, copies=20)[0] for one in range(2 * SPARE)]
    lendable, unread = books[:SPARE], books[SPARE:]
    rates = [{"book_type": kind, "daily_rate": "1.00"} for kind in (1, 2, 3)]
    times = [f"21{number}{one % 10}-{one // 10 + 1:02}-01T00:00:00Z" for one in spare]
    found = {
        LENDABLE: [[book] for book in lendable],
        # A book that was rented cannot be deleted.
        BOOKS: [[book] for book in unread],
        COPIES: [made(COPIES, "id", book=book) for book in unread],
        RENTALS: [
            made(RENTALS, "ref", book=book, user=member) for book in lendable[:2] for member in members
        ],
        PRICE_LISTS: [
            made(PRICE_LISTS, "id", name=f"Spare {time}", rates=rates, in_force_from=time) for time in times
        ],
    }
    return {path: [key for keys in each for key in keys] for path, each in found.items()}


def _page(address: str, token: str) -> dict[str, Any]:
    """Return the first page of a list, or an empty page if the caller may not see it."""
    try:
        page: dict[str, Any] = call(address, token=token)
    except HTTPError as refused:
        if refused.code != HTTPStatus.FORBIDDEN:
            raise
        return {"results": [], "next": None}
    return page


def configuration(words: dict[str, list[Any]], *, examples: int, without_boundaries: str | None) -> str:
    """Return the configuration as TOML, in which these values are written as in JSON.

    `without_boundaries` is a pattern of paths.
    """
    return "\n".join(_lines(words, examples, without_boundaries))


def _lines(words: dict[str, list[Any]], examples: int, without_boundaries: str | None) -> Iterator[str]:
    yield f"hooks = {json.dumps(str(Path(__file__).with_name('hooks.py')))}"
    yield "cache.enabled = false"
    yield 'generation.database = "none"'
    yield f"generation.max-examples = {examples}"
    # Other phases count by operation; this one counts chains of all operations together.
    yield f"phases.stateful.generation.max-examples = {examples * CHAINS}"
    for name, values in words.items():
        chance = CHANCES.get(name) or CHANCES[name.partition(".")[0]]
        yield f"dictionaries.{json.dumps(name)}.values = {json.dumps(values)}"
        yield f"parameters.{json.dumps(name)} = {{ dictionary = {json.dumps(name)}, probability = {chance} }}"
    if without_boundaries is not None:
        yield "[[operations]]"
        yield f"include-path-regex = {json.dumps(without_boundaries)}"
        yield "phases.coverage.enabled = false"

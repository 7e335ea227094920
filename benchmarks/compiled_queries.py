"""Measures what each compiled query saves: the CPU time of a request with it and with the plain queryset.

    python -m benchmarks.compiled_queries

Uses the demo shop in the configured database. A compiled query stays only if it saves 20% of a request.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

ROUNDS = 7
CALLS = 100


class Plain:
    """A queryset that is built and compiled for each call, with the values in place of the parameters."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build

    def __call__(self, **values: Any) -> list[Any]:
        from lori_assignment.db import compiled_queries

        def value_of(name: str, *field: object) -> Any:
            return values[name]

        with (
            mock.patch.object(compiled_queries, "Parameter", value_of),
            mock.patch("accounts.tokens.Parameter", value_of),
            mock.patch("rentals.availability.IdList", value_of),
            mock.patch("rentals.availability.InIds", lambda column, ids: _within(column, ids)),
        ):
            return list(self._build())


def _within(column: str, ids: list[int]) -> Any:
    from django.db.models import Q

    return Q(**{f"{column}__in": ids})


def milliseconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - began) / CALLS * 1000


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
    os.environ["RESPONSE_CACHE_SECONDS"] = "0"
    import django

    django.setup()
    from django.test import Client

    from accounts import tokens
    from accounts.models import User
    from rentals import availability

    member = User.objects.filter(is_staff=False, is_active=True).order_by("pk")[0]
    client = Client(headers={"Authorization": f"JWT {tokens.issue_tokens(member).access}"})
    owner = tokens._owner_query(with_second_factor=False)  # noqa: SLF001
    counts = availability._counts  # noqa: SLF001
    cases = {
        "the token's owner": mock.patch.object(tokens, "_owner_query", lambda **_: Plain(owner._build)),  # noqa: SLF001
        "the counts of copies": mock.patch.object(availability, "_counts", Plain(counts._build)),  # noqa: SLF001
    }

    def call() -> None:
        assert client.get("/api/v3/books/").status_code == 200  # noqa: S101

    milliseconds(call)
    for name, plain in cases.items():
        best = {"compiled": float("inf"), "plain": float("inf")}
        for _ in range(ROUNDS):
            best["compiled"] = min(best["compiled"], milliseconds(call))
            with plain:
                best["plain"] = min(best["plain"], milliseconds(call))
        gain = 1 - best["compiled"] / best["plain"]
        print(f"{name}: {best['plain']:.2f} ms plain, {best['compiled']:.2f} compiled: {gain:.0%} less")


if __name__ == "__main__":
    main()

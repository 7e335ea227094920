"""Measures the CPU time of the shop's pages, in one process and without a server.

    python -m benchmarks.pages [--profile] [--rounds 60]

Uses the shop in DATABASE_URL, as `make run` or `benchmarks.fill` leaves it, as a signed-in member and as a
visitor. Prints the minimum and the median CPU time of a request for each page, including Django and the
middleware but not PostgreSQL. `--profile` prints where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time
from statistics import median

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
    django.setup()

from django.test import Client, override_settings
from django.urls import reverse

from accounts.models import User
from books.models import Book

# Requests that are not counted: the first ones load templates and translations.
WARM_UP = 5


def pages() -> dict[str, str]:
    book = Book.objects.order_by("pk").first()
    if book is None:
        raise SystemExit("The shop has no books.")
    home = reverse("home")
    return {
        "book": reverse("book", args=[book.pk]),
        "home": home,
        "home, searched": f"{home}?search=the",
        "my rentals": reverse("my-rentals"),
        "front": reverse("front"),
    }


def member() -> User:
    found = User.objects.filter(is_staff=False, is_active=True, rentals__isnull=False).order_by("pk").first()
    if found is None:
        raise SystemExit("The shop has no member with a rental.")
    return found


def measured(client: Client, address: str, *, rounds: int) -> list[float]:
    """Return the CPU time of each request in milliseconds."""
    taken = []
    for number in range(WARM_UP + rounds):
        begun = time.process_time()
        response = client.get(address)
        spent = time.process_time() - begun
        if response.status_code != 200:
            raise SystemExit(f"{address} answers {response.status_code}.")
        if number >= WARM_UP:
            taken.append(spent * 1000)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the CPU time of the shop's pages.")
    parser.add_argument("--rounds", type=int, default=60, help="requests per page")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--only", choices=list(pages()), help="measure only this page")
    asked = parser.parse_args()
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        for name, visitor in (("signed in", member()), ("signed out", None)):
            client = Client()
            if visitor is not None:
                client.force_login(visitor)
            for page, address in pages().items():
                if (asked.only and page != asked.only) or (visitor is None and page == "my rentals"):
                    continue
                taken = measured(client, address, rounds=asked.rounds)
                print(f"{page:16} {name:11} minimum {min(taken):6.2f} ms   median {median(taken):6.2f} ms")
                if asked.profile:
                    profile = cProfile.Profile()
                    profile.enable()
                    measured(client, address, rounds=asked.rounds)
                    profile.disable()
                    pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()

"""Counts the project's files whose functions run while a member rents a book over the API.

    python checks/walk.py [--most N]

Sends one `POST /api/v3/book_rentals/` with a token through the whole WSGI stack, on a temporary SQLite
database. Another book has been rented before, so that imports and cold caches do not count. Lists each file
with the functions that ran, and exits with 1 if there are more than N files.
"""

# ruff: noqa: INP001, T201  # A script, which prints.
from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("accounts", "books", "rentals", "lori_assignment")


class Walk:
    """Collects the functions called inside the context, including those in threads started there."""

    def __init__(self) -> None:
        self.functions: dict[str, set[str]] = {}

    def __enter__(self) -> Walk:
        threading.setprofile(self.note)
        sys.setprofile(self.note)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        # Bodies of modules, classes and comprehensions do not count as functions.
        is_function = code.co_flags & 0x02 and not code.co_name.startswith("<")
        if event == "call" and is_function and code.co_filename.startswith(f"{ROOT}/"):
            file = str(Path(code.co_filename).relative_to(ROOT))
            if file.startswith(FOLDERS):
                self.functions.setdefault(file, set()).add(code.co_qualname)


def walk_of_a_rental() -> dict[str, set[str]]:
    from django.test import Client

    from accounts.models import User
    from books.stock import add_book

    User.objects.create_user("alice", "alice@example.org", "the-fourth-chapter")
    books = [add_book(name=name, author="A. Author", kind=1) for name in ("Emma", "Dune")]
    client = Client(enforce_csrf_checks=True)
    signed_in = client.post(
        "/api-token-auth/",
        {"username": "alice", "password": "the-fourth-chapter"},
        content_type="application/json",
    )
    token = Client(enforce_csrf_checks=True, headers={"authorization": f"JWT {signed_in.json()['token']}"})
    for book in books:
        with Walk() as walk:
            rented = token.post("/api/v3/book_rentals/", {"book": book.pk}, content_type="application/json")
        if rented.status_code != 201:
            sys.exit(f"walk: the rental was answered {rented.status_code}: {rented.content.decode()}")
    return walk.functions


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the files that run in one rental over the API.")
    parser.add_argument("--most", type=int, default=28, help="how many files may run (default: 28)")
    most = parser.parse_args().most
    sys.path.insert(0, str(ROOT))
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "lori_assignment.settings",
        "DEBUG": "on",
        "DATABASE_URL": "sqlite:///var/walk.sqlite3",
    }
    import django
    from django.conf import settings
    from django.test.utils import get_runner

    django.setup()
    runner = get_runner(settings)(verbosity=0, interactive=False)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    try:
        functions = walk_of_a_rental()
    finally:
        runner.teardown_databases(databases)
        runner.teardown_test_environment()
    for file, names in sorted(functions.items()):
        print(f"{file}: {', '.join(sorted(names))}")
    print(f"{len(functions)} files of ours run in one rental; at most {most} may.")
    return 1 if len(functions) > most else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the checks of drills/machines, which describes them."""

# ruff: noqa: INP001, T201  # A script, not part of a package; prints its results.
from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
django.setup()

import machines_books  # noqa: E402  # After django.setup(), like those below.
import machines_commands  # noqa: E402
import machines_lost  # noqa: E402
import machines_people  # noqa: E402
from machines_site import Failed, Site, expect  # noqa: E402

COUNTS = [int(number) for number in os.environ.get("COUNTS", "2 4").split()]
OF_SITES = (machines_lost.in_turn, *machines_people.CHECKS, *machines_books.CHECKS, *machines_lost.CHECKS)

began = time.monotonic()


def say(what: str) -> None:
    print(f"machines: {time.monotonic() - began:5.1f} s  {what}", flush=True)


def passes(name: str, check: Callable[[], str]) -> bool:
    try:
        say(f"{name}: {check()}")
    except (Failed, OSError, HTTPException, LookupError, TypeError) as problem:
        # LookupError and TypeError: a response does not have the expected shape.
        say(f"{name}: FAILED: {problem if isinstance(problem, Failed) else repr(problem)}")
        return False
    return True


def of_site(count: int, place: Path) -> list[str]:
    """Return the names of the checks that fail with `count` instances."""
    site = Site(count, place=place)
    try:
        say(f"{count} instances behind nginx")
        failed = [
            f"{count} instances, {check.__name__}"
            for check in OF_SITES
            if not passes(check.__name__, lambda check=check: check(site))
        ]

        def calm() -> str:
            expect("errors in their logs", "", "\n".join(site.log_errors()[-40:]))
            return "no errors in the logs"

        return failed if passes("logs", calm) else [*failed, f"{count} instances, logs"]
    finally:
        site.stop()


def main() -> int:
    place = Path(os.environ["MACHINES"])
    if not passes("migrate", machines_commands.migrate):
        return 1
    failed = [] if passes("commands", machines_commands.commands) else ["commands"]
    for count in COUNTS:
        folder = place / str(count)
        folder.mkdir()
        failed += of_site(count, folder)
    if failed:
        print(f"machines: failed: {'; '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Checks that scheduled commands and migrations, run on several machines at once, do their work once."""

# ruff: noqa: INP001, S603  # A script, not part of a package; it starts only our own commands.
from __future__ import annotations

import re
import subprocess
from collections import Counter
from datetime import timedelta
from uuid import uuid4

from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from machines_books import members, new_book
from machines_people import new_account
from machines_site import ROOT, expect

from accounts.mail import suppress_mail
from accounts.models import PasswordAttempts, TokenFamily, User
from accounts.tokens import new_family
from lori_assignment.models import IdempotencyRecord
from rentals.holds import place_hold
from rentals.models import Hold
from rentals.services import rent_book, return_rental

MACHINES = 2
STARTING = 4
BOOKS = 6
OLD = 200


def at_once(*words: str, count: int = MACHINES) -> list[str]:
    """Run a command `count` times at once; return the outputs. Raises Failed if one exits with an error."""
    running = [
        subprocess.Popen(
            [ROOT / "entrypoint.sh", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(count)
    ]
    said = [one.communicate(timeout=300)[0] for one in running]
    expect(
        f"{' '.join(words)}, by {count} at once:\n{''.join(said)}",
        [0] * count,
        [one.returncode for one in running],
    )
    return said


def migrate() -> str:
    said = at_once("migrate", count=STARTING)
    applied = sorted(text.count("Applying ") for text in said)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT (app, name)) FROM django_migrations")
        rows, different = cursor.fetchone()
    connection.close()
    expect("migrations that each of them applied", [0] * (STARTING - 1) + [rows], applied)
    expect("migrations recorded twice", 0, rows - different)
    return f"{STARTING} migrate an empty database at once: one applies the migrations, all exit with 0"


def _numbers(said: list[str]) -> list[int]:
    """Add up the numbers in the last lines of the outputs, position by position."""
    found = [[int(number) for number in re.findall(r"\d+", text.splitlines()[-1])] for text in said]
    return [sum(place) for place in zip(*found, strict=True)]


def commands() -> str:
    now, desk = timezone.now(), new_account(is_staff=True)
    long_ago = now - timedelta(days=20)
    for _ in range(BOOKS):
        had, first, second = User.objects.filter(pk__in=members(3))
        book = new_book(1)
        with suppress_mail():
            rental = rent_book(member=had, book=book, at=long_ago, now=long_ago)
            for member in (first, second):
                place_hold(member=member, book=book, at=long_ago)
            return_rental(rental=rental, at=long_ago + timedelta(days=1), actor=desk, now=long_ago)
    expect("ready holds past their pick-up deadline", BOOKS, Hold.objects.past_pick_up(now).count())
    said = at_once("expire_holds")
    # The line may be before or after the e-mails.
    lines = [line for text in said for line in text.splitlines() if line.startswith("Holds expired")]
    expect("holds expired and copies set aside, in total", [BOOKS, BOOKS], _numbers(lines))
    mailed = Counter(re.findall(r"^To: (\S+)$", "\n".join(said), re.MULTILINE))
    expect("members who got an e-mail", 2 * BOOKS, len(mailed))
    expect("e-mails per member", {1}, set(mailed.values()))

    member = desk
    TokenFamily.objects.bulk_create(
        TokenFamily(pk=new_family(), user=member, current="", began_at=long_ago, expires_at=long_ago)
        for _ in range(OLD)
    )
    PasswordAttempts.objects.bulk_create(
        PasswordAttempts(key=uuid4().hex, failures=1, most=5, ends=1, known_until=1) for _ in range(OLD)
    )
    IdempotencyRecord.objects.bulk_create(
        IdempotencyRecord(user=member, key=uuid4().hex, fingerprint="", status=201, body="", made_at=long_ago)
        for _ in range(OLD)
    )
    Session.objects.bulk_create(
        Session(session_key=uuid4().hex, session_data="", expire_date=long_ago) for _ in range(OLD)
    )
    for _ in range(OLD):
        cache.set(uuid4().hex, 1, 0.001)
    forgotten = _numbers(at_once("flushexpiredtokens"))
    expect("tokens, login attempts and rate-limit counts deleted", [OLD] * 3, forgotten)
    expect("idempotency records deleted", [OLD], _numbers(at_once("purge_idempotency_keys")))
    at_once("clearsessions")
    expect("expired sessions left", 0, Session.objects.filter(expire_date=long_ago).count())
    expect("output of check_books", ["", ""], at_once("check_books"))
    connection.close()
    return (
        f"{MACHINES} run each command at once: {BOOKS} holds expire once, {2 * BOOKS} members get one "
        "e-mail each, old rows are deleted, no errors"
    )

"""Fills an empty shop with books, people and a year of rentals, for a demonstration."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Q

from accounts.mail import suppress_mail
from accounts.models import User
from books.models import Book, Copy
from lori_assignment import clock
from lori_assignment.errors import Refusal
from rentals import ledger
from rentals.demo.history import Shop, play_history
from rentals.demo.people import EVERYBODY, MEMBERS, STAFF, SUPERUSER, email_of, open_accounts
from rentals.demo.shelves import add_new_copies, fill_shelves, take_out_of_service
from rentals.models import Hold, LedgerEntry, Policy, Rental

# Published in the README, for shops that only this machine can reach.
PUBLIC_PASSWORD = "a-book-a-day"  # noqa: S105  # Public on purpose.

SEED = 1895


class Command(BaseCommand):
    help = (
        "Fill an empty shop with 60 books, members, staff and a year of rentals and payments. "
        "Refuses, without changes, if there are books or accounts other than superusers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--password",
            help=f"Password for all demo accounts (default: {PUBLIC_PASSWORD}). The default is public, so it "
            "is refused unless the shop is only reachable from this machine.",
        )
        parser.add_argument(
            "--if-empty",
            action="store_true",
            help="Exit without an error if the shop already has data.",
        )

    def handle(self, *args: Any, password: str | None, if_empty: bool, **options: Any) -> None:
        now = clock.now()
        # Events of the past year send no mail.
        with suppress_mail(), transaction.atomic():
            # Of two concurrent runs the second waits here, and then finds the data of the first.
            Policy.objects.select_for_update().get(pk=1)
            empty = shop_is_empty()
            if empty:
                _refuse_unsafe(password)
                try:
                    fill_shop(now=now, password=password or PUBLIC_PASSWORD)
                except Refusal as refusal:
                    raise CommandError(
                        f"The demo data doesn't fit this shop's policy or prices: {refusal.message}"
                    ) from refusal
            elif not if_empty:
                raise CommandError("The shop already has members or books. The demo needs an empty shop.")
        self._say_lines(_counts(now) if empty else ["The shop already has data; nothing was changed."])
        self._say_lines(_sign_ins(password, now))

    def _say_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.stdout.write(line)


def shop_is_empty() -> bool:
    """Whether there are no books, and no accounts except superusers whose names the demo does not use."""
    taken = Q(is_superuser=False)
    for person in EVERYBODY:
        taken |= Q(username__iexact=person.username) | Q(email__iexact=email_of(person))
    return not User.objects.filter(taken).exists() and not Book.objects.exists()


def _refuse_unsafe(password: str | None) -> None:
    if password in {None, PUBLIC_PASSWORD} and not settings.SITE_IS_LOCAL:
        raise CommandError(
            "The demo password is public, and this shop can be reached from other machines. Set one "
            "with --password."
        )
    if password is not None:
        try:
            validate_password(password)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error


@transaction.atomic
def fill_shop(*, now: datetime, password: str) -> None:
    """Create the demo shop as of `now`; the same `now` and time zone give the same shop.

    The shop must be empty. Raises Refusal if its policy or prices do not allow the history.
    """
    chance = Random(SEED)  # noqa: S311  # Nothing here is a secret.
    books = fill_shelves(now=now, chance=chance)
    users = open_accounts(password=password, now=now)
    shop = Shop(books=books, staff=[users[person.username] for person in STAFF], now=now, chance=chance)
    play_history(shop, [(person, users[person.username]) for person in MEMBERS])
    take_out_of_service(now=now, actor=shop.staff[0])
    add_new_copies(now=now)


def _counts(now: datetime) -> list[str]:
    rentals, holds, entries = Rental.objects, Hold.objects, LedgerEntry.objects
    is_open, overdue = rentals.open().count(), rentals.overdue(now).count()
    return [
        "The demo shop is ready:",
        f"  {Book.objects.count():4} books, {Copy.objects.count()} copies",
        f"  {len(MEMBERS):4} members, {len(STAFF) + 1} staff",
        f"  {rentals.count():4} rentals, {is_open} open, {overdue} overdue",
        f"  {holds.count():4} holds, {holds.waiting().count()} waiting, {holds.ready().count()} ready",
        f"  {entries.count():4} ledger entries, {entries.payments().count()} payments",
    ]


def _sign_ins(password: str | None, now: datetime) -> list[str]:
    """Return a table of the main demo accounts that still have the demo's password."""
    names = [SUPERUSER.username, STAFF[0].username, "nora", "theo"]
    users = {user.username: user for user in User.objects.filter(username__in=names, is_active=True)}
    # A password given as an option stays out of the logs.
    password_text = PUBLIC_PASSWORD if password is None else "(as given)"
    rows = [
        (name, password_text, _role(users[name], now))
        for name in names
        if name in users and check_password(password or PUBLIC_PASSWORD, users[name].password)
    ]
    if not rows:
        return []
    table = [("username", "password", "role"), *rows]
    widths = [max(len(row[column]) for row in table) for column in (0, 1)]
    return [
        "",
        "Sign in as",
        *(f"  {name:{widths[0]}}  {word:{widths[1]}}  {who}" for name, word, who in table),
    ]


def _role(user: User, now: datetime) -> str:
    if user.is_superuser:
        return "superuser"
    if user.is_staff:
        return "staff"
    account = ledger.balance(user, at=now)
    return f"member, owes {account.total} {settings.CURRENCY}, books on loan: {len(account.open_rentals)}"

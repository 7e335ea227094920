"""Creates one or more superusers: all of them, or none if one is invalid."""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from getpass import getpass
from pathlib import Path
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.sign_up import open_account

COLUMNS = ["username", "email", "password"]


class NewSuperuser(NamedTuple):
    where: str
    username: str
    email: str
    password: str


class Command(BaseCommand):
    help = (
        "Create superusers. `createsuperusers dan:dan@example.org eve:eve@example.org` asks for each "
        "password; "
        "`createsuperusers --file FILE` reads lines of username,email,password. Creates all of them or none."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("accounts", nargs="*", metavar="username:email")
        parser.add_argument("--file", help="CSV file with or without a header; - reads standard input.")

    def handle(self, *args: Any, accounts: list[str], file: str | None, **options: Any) -> None:
        if bool(accounts) == bool(file):
            raise CommandError("Give accounts as username:email, or use --file.")
        wanted = list(_read(file) if file else self._ask(accounts))
        if not wanted:
            raise CommandError(f"{file} contains no accounts.")
        with transaction.atomic():
            for one in wanted:
                _create(one)
        for one in wanted:
            self.stdout.write(f"Created superuser {one.username}.")

    def _ask(self, accounts: list[str]) -> Iterator[NewSuperuser]:
        if not sys.stdin.isatty():
            raise CommandError("Passwords can't be asked for without a terminal; use --file.")
        for account in accounts:
            username, _colon, email = account.partition(":")
            if not (username and email):
                raise CommandError(f"{account}: use the form username:email.")
            yield NewSuperuser(account, username, email, self._ask_password(username))

    def _ask_password(self, username: str) -> str:
        while True:
            password = getpass(f"Password for {username}: ")
            if password == getpass(f"Repeat password for {username}: "):
                return password
            self.stderr.write("The two passwords don't match. Try again.")


def _read(name: str) -> Iterator[NewSuperuser]:
    try:
        if name == "-":
            yield from _rows(line.removeprefix("\ufeff") for line in sys.stdin)
            return
        # utf-8-sig drops the byte order mark that Excel writes.
        with Path(name).open(encoding="utf-8-sig", newline="") as lines:
            yield from _rows(lines)
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{name} is not a UTF-8 CSV file.") from error


def _rows(lines: Iterable[str]) -> Iterator[NewSuperuser]:
    reader = csv.reader(lines, strict=True)
    order = COLUMNS
    for number, row in enumerate(filter(None, reader)):
        names = [cell.strip().lower() for cell in row]
        if number == 0 and sorted(names) == sorted(COLUMNS):
            order = names
            continue
        # Never print a cell: if the columns are mixed up, it may be the password.
        if len(row) != len(COLUMNS):
            raise CommandError(f"Line {reader.line_num}: expected {','.join(order)}.")
        cells = dict(zip(order, row, strict=True))
        username, email = cells["username"].strip(), cells["email"].strip()
        yield NewSuperuser(f"Line {reader.line_num}", username, email, cells["password"])


def _create(one: NewSuperuser) -> None:
    if not one.email:
        raise CommandError(f"{one.where}: an e-mail address is required.")
    try:
        open_account(username=one.username, email=one.email, password=one.password, superuser=True)
    except ValidationError as error:
        sentences = " ".join(
            f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()
        )
        raise CommandError(f"{one.where}: {sentences}") from error

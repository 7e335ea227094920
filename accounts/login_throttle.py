"""Throttles password attempts at every entry point that takes a password.

Failures are counted in a database table that all workers share. Two statements count an attempt before the
password is hashed, and another takes the count back if the password was right; allauth's rate limits would
need 54 statements on the cache table. Because an attempt counts before its result is known, concurrent
attempts gain nothing over successive ones. The address is counted first and by itself, so that an attempt
that its limit refuses leaves no rows for a new name.

Every count is of what was typed, spelled in one way that does not depend on which accounts exist. Otherwise
the attempt at which a limit is reached would tell whether a name has an account, or which name and e-mail
address belong together. Each limit locks for LOCK_SECONDS after the failure that reaches it:

- 5 failures for one name from one address stop a guesser without locking out the owner elsewhere;
- 20 failures from one address, for any names, stop a client that tries one common password with a list of
  names;
- 50 failures for one name, from any address, stop guessing from many addresses.

An account has two names, its username and its e-mail address, so guesses at it are bounded by twice the first
limit and twice the third.

The third does not stop the owner at an address from which the right password was given in the last month. So
while it is reached, attempts within the other two are still checked, whether or not there is such an account,
and all are answered with 429 except the right password from a known address.

The table stores keyed hashes instead of names and addresses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

from accounts.models import PasswordAttempts, User
from lori_assignment.errors import Throttled
from lori_assignment.observability.client_address import client_address, keyed_hash

# The maximum length of an e-mail address; usernames are shorter.
MAX_LOGIN_LENGTH = 254
LOCK_SECONDS = 300
MAX_PER_NAME_AND_ADDRESS = 5
MAX_PER_ADDRESS = 20
MAX_PER_NAME = 50
KNOWN_ADDRESS_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt whose password is to be checked; it counts as a failure until `mark_success()` is called."""

    keys: Sequence[str]
    # Of the row that says that the account's right password was given from this address.
    known: str
    at: int
    # Seconds for which the name is locked, except for the right password from a known address.
    locked_for: int

    def may_succeed(self) -> bool:
        if not self.locked_for:
            return True
        return PasswordAttempts.objects.filter(pk=self.known, known_until__gt=self.at).exists()

    def mark_success(self) -> None:
        _decrement(self.keys, {self.known: self.at + KNOWN_ADDRESS_SECONDS})


def record_attempt(
    request: HttpRequest | None, *, login: str, account: User | None, at: datetime
) -> Attempt | None:
    """Count an attempt on the name `login`, which is one of `account` if there is such an account.

    Raises Throttled at a limit of the address; the attempt is then not counted. Returns None if RATE_LIMITS
    is off.
    """
    if settings.RATE_LIMITS != "on":
        return None
    address = client_address(request) if request else ""
    name = normalize_login(login)
    of_name = keyed_hash("name", name)
    counted: list[str] = []
    now = int(at.timestamp())
    for most in (
        {keyed_hash("address", address): MAX_PER_ADDRESS},
        {keyed_hash("pair", name, address): MAX_PER_NAME_AND_ADDRESS, of_name: MAX_PER_NAME},
    ):
        counted += most
        reached = [row for row in _increment(most, now) if row.failures > row.most]
        wait = max([1, *(row.ends - now for row in reached)])
        if any(row.key != of_name for row in reached):
            # A refused attempt is not a failure: repeating it must not lock out others at the same address.
            _decrement(counted)
            raise Throttled(wait)
    return Attempt(
        keys=counted, known=_known_key(account, address), at=now, locked_for=wait if reached else 0
    )


def clear_attempts(request: HttpRequest, account: User, *, at: datetime) -> None:
    """End the lock of `account` at this address after its owner has proved access to the mailbox.

    The counts of its names from all addresses stay, as those of names without an account do.
    """
    address = client_address(request)
    names = {normalize_login(name) for name in (account.username, account.email)}
    PasswordAttempts.objects.filter(pk__in=[keyed_hash("pair", name, address) for name in names]).delete()
    _decrement([], {_known_key(account, address): int(at.timestamp()) + KNOWN_ADDRESS_SECONDS})


def _known_key(account: User | None, address: str) -> str:
    return keyed_hash("known", str(account.pk) if account else "", address)


def delete_expired(*, at: datetime) -> int:
    """Delete the counts that no longer matter and return how many there were."""
    now = int(at.timestamp())
    deleted, _by_model = PasswordAttempts.objects.filter(ends__lte=now, known_until__lte=now).delete()
    return deleted


def delete_expired_cache_rows(*, at: datetime) -> int:
    """Delete expired rows of the cache table, such as request counts, and return how many there were.

    Django does so only above MAX_ENTRIES, a million, and counts all rows at every write.
    """
    held: dict[str, Any] = settings.CACHES["default"]
    if "db" not in held["BACKEND"].split("."):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {connection.ops.quote_name(held['LOCATION'])} WHERE expires < %s",  # noqa: S608  # nosec B608  # ours
            [connection.ops.adapt_datetimefield_value(at)],
        )
        return cursor.rowcount


def normalize_login(login: str) -> str:
    """Return one spelling for all names that `find_account` may take for one, and more: without accents."""
    # Cut, so that a long text costs nothing.
    letters = unicodedata.normalize("NFKD", login.strip()[: MAX_LOGIN_LENGTH + 1].upper())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _increment(most: dict[str, int], now: int) -> Iterable[PasswordAttempts]:
    """Count a failure for each key and return the updated rows."""
    # A count ends LOCK_SECONDS after its first failure; the failure that reaches the limit restarts the time.
    return _upsert(
        [(key, 1, limit, now + LOCK_SECONDS, 0) for key, limit in most.items()],
        """
        failures = CASE WHEN counted.ends <= %(now)s THEN 1 ELSE counted.failures + 1 END,
        ends = CASE
            WHEN counted.ends <= %(now)s OR counted.failures + 1 = counted.most THEN excluded.ends
            ELSE counted.ends
        END,
        most = excluded.most
        """,
        now=now,
    )


def _decrement(keys: Iterable[str], known: dict[str, int] | None = None) -> None:
    """Take back a failure for each of `keys`, and keep the times until which addresses are `known`."""
    _upsert(
        [(key, 0, 0, 0, until) for key, until in (dict.fromkeys(keys, 0) | (known or {})).items()],
        """
        failures = CASE WHEN counted.failures > 0 THEN counted.failures - 1 ELSE 0 END,
        known_until = CASE
            WHEN excluded.known_until > counted.known_until THEN excluded.known_until
            ELSE counted.known_until
        END
        """,
    )


def _upsert(rows: list[tuple[Any, ...]], change: str, **named: int) -> list[PasswordAttempts]:
    """Insert `rows`, or apply `change` to those that exist, atomically in one statement.

    The rows are sorted by key, so that statements that lock the same rows cannot deadlock.
    """
    values: dict[str, Any] = dict(named)
    places = []
    for number, row in enumerate(sorted(rows)):
        values |= {f"v{number}_{column}": value for column, value in enumerate(row)}
        places.append("(" + ", ".join(f"%(v{number}_{column})s" for column in range(len(row))) + ")")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO accounts_passwordattempts AS counted (key, failures, most, ends, known_until) "  # noqa: S608  # nosec B608  # ours
            f"VALUES {', '.join(places)} ON CONFLICT (key) DO UPDATE SET {change} "
            "RETURNING key, failures, most, ends, known_until",
            values,
        )
        columns = ("key", "failures", "most", "ends", "known_until")
        return [PasswordAttempts(**dict(zip(columns, row, strict=True))) for row in cursor.fetchall()]

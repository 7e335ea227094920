"""Throttles password attempts at every entry point that takes a password.

Failures are counted in a database table that all workers share. One statement counts an attempt before the
password is hashed, and another takes the count back if the password was right; allauth's rate limits would
need 54 statements on the cache table. Because an attempt counts before its result is known, concurrent
attempts gain nothing over successive ones.

There are three limits. Each locks for LOCK_SECONDS after the failure that reaches it:

- 5 failures for one account from one address stop a guesser without locking out the owner elsewhere;
- 20 failures from one address, for any accounts, stop a client that tries one common password with a list of
  names;
- 100 failures for one account, from any address, stop guessing from many addresses. An address from which
  the right password was given in the last month is exempt.

Attempts on an account are counted by its id, whichever of its names was given. Attempts on a name without an
account are counted by that name, ignoring case and accents. The table stores keyed hashes instead of names
and addresses.
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

LOCK_SECONDS = 300
MAX_PER_ACCOUNT_AND_ADDRESS = 5
MAX_PER_ADDRESS = 20
MAX_PER_ACCOUNT = 100
KNOWN_ADDRESS_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that may proceed; it counts as a failure until `mark_success()` is called."""

    keys: Sequence[str]
    pair: str
    at: int

    def mark_success(self) -> None:
        known = {key: self.at + KNOWN_ADDRESS_SECONDS if key == self.pair else 0 for key in self.keys}
        _decrement(self.keys, known)


def record_attempt(
    request: HttpRequest | None, *, login: str, account: User | None, at: datetime
) -> Attempt | None:
    """Count an attempt on `account`, or on the name `login` if there is no such account.

    Raises Throttled at a limit; the attempt is then not counted. Returns None if RATE_LIMITS is off.
    """
    if settings.RATE_LIMITS != "on":
        return None
    address = client_address(request) if request else ""
    name = f"account {account.pk}" if account else f"name {_normalize_login(login)}"
    pair = keyed_hash("pair", name, address)
    most = {
        pair: MAX_PER_ACCOUNT_AND_ADDRESS,
        keyed_hash("address", address): MAX_PER_ADDRESS,
        keyed_hash("account", name): MAX_PER_ACCOUNT,
    }
    now = int(at.timestamp())
    rows = _increment(most, now)
    known_here = any(row.key == pair and row.known_until > now for row in rows)
    refusing = [
        row for row in rows if row.failures > row.most and not (row.most == MAX_PER_ACCOUNT and known_here)
    ]
    if refusing:
        # A refused attempt is not a failure: repeating it must not lock out other people at the same address.
        _decrement(list(most), dict.fromkeys(most, 0))
        raise Throttled(max(1, *(row.ends - now for row in refusing)))
    return Attempt(keys=list(most), pair=pair, at=now)


def clear_attempts(request: HttpRequest, account: User) -> None:
    """Reset the counts of `account` after its owner has proved access to the mailbox."""
    name = f"account {account.pk}"
    keys = [keyed_hash("pair", name, client_address(request)), keyed_hash("account", name)]
    PasswordAttempts.objects.filter(pk__in=keys).delete()


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


def _normalize_login(login: str) -> str:
    letters = unicodedata.normalize("NFKD", login.strip().upper())
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


def _decrement(keys: Iterable[str], known: dict[str, int]) -> None:
    _upsert(
        [(key, 0, 0, 0, known[key]) for key in keys],
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

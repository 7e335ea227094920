"""Who may try a password now: the one lock of every place that takes one.

Failures are counted in a table of their own, so that all workers count the same ones: by one statement
before the hash is computed, and one more where the password was right, instead of the 54 that allauth's
limits took in the cache. An attempt counts from its beginning, so that of many at once no more are let
through than of as many in a row.

Three counts, each of which says no by itself, for LOCK_SECONDS after its last failure:

- an account from one address, after 5: whoever guesses is stopped, and the owner elsewhere is not;
- one address, after 20, whatever the accounts: a list of names is not tried with one common password;
- one account, after 100, from wherever: many addresses together get no further. From an address where the
  right password was given in the last month its owner is let in all the same.

An account is counted under its number, by whichever of its names it is called; what is no account under
its name, in any case and with any accents. The table knows neither names nor addresses, but keyed hashes.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.models import PasswordAttempts, User

LOCK_SECONDS = 300
MOST_OF_ACCOUNT_AND_ADDRESS = 5
MOST_OF_ADDRESS = 20
MOST_OF_ACCOUNT = 100
KNOWN_SECONDS = 30 * 24 * 3600


class TooMany(Exception):  # Named for what happened, as Refusal is.
    """Too many failures, or requests, for now; `seconds` later there are none."""

    code = "throttled"
    message = _("Too many attempts.")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(seconds)


class Busy(TooMany):
    """Nobody has tried too often: other work goes first, in `seconds` no more."""

    message = _("The shop is busy at the moment.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that was let through, and counts as a failure until it turns out otherwise."""

    keys: Sequence[str]
    pair: str
    at: int

    def was_right(self) -> None:
        known = {key: self.at + KNOWN_SECONDS if key == self.pair else 0 for key in self.keys}
        _take_back(self.keys, known)


def client_address(request: HttpRequest) -> str:
    """Where a request comes from, as far as our own proxies say: what is left of them can be forged.

    Who comes past the proxies, as another pod may, is who connects. Of an IPv6 address its network, since
    each client has billions of them.
    """
    header = request.headers.get("X-Forwarded-For", "")
    told = header.split(",") if header else []
    text = request.META.get("REMOTE_ADDR", "")
    if len(told) >= settings.TRUSTED_PROXIES > 0:
        text = told[-settings.TRUSTED_PROXIES].strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def client_mark(request: HttpRequest) -> str:
    """For the log: the same for the same address, of which it says nothing else."""
    return _key("address", client_address(request))[:12]


def begin(request: HttpRequest | None, *, login: str, account: User | None, at: datetime) -> Attempt | None:
    """Count one attempt on `account`, or on what `login` names where there is none.

    Raises TooMany before anything is counted. None where the shop runs without limits.
    """
    if settings.RATE_LIMITS != "on":
        return None
    address = client_address(request) if request else ""
    name = f"account {account.pk}" if account else f"name {_folded(login)}"
    pair = _key("pair", name, address)
    most = {
        pair: MOST_OF_ACCOUNT_AND_ADDRESS,
        _key("address", address): MOST_OF_ADDRESS,
        _key("account", name): MOST_OF_ACCOUNT,
    }
    now = int(at.timestamp())
    rows = _count(most, now)
    known_here = any(row.key == pair and row.known_until > now for row in rows)
    refusing = [
        row for row in rows if row.failures > row.most and not (row.most == MOST_OF_ACCOUNT and known_here)
    ]
    if refusing:
        # What was not tried is no failure: who goes on knocking does not lock out the others at the address.
        _take_back(list(most), dict.fromkeys(most, 0))
        raise TooMany(max(1, *(row.ends - now for row in refusing)))
    return Attempt(keys=list(most), pair=pair, at=now)


def forget(request: HttpRequest, account: User) -> None:
    """Whoever has proved to own the mailbox need not wait."""
    name = f"account {account.pk}"
    keys = [_key("pair", name, client_address(request)), _key("account", name)]
    PasswordAttempts.objects.filter(pk__in=keys).delete()


def forget_expired(*, at: datetime) -> int:
    """Delete the counts that no longer matter; how many."""
    now = int(at.timestamp())
    deleted, _by_model = PasswordAttempts.objects.filter(ends__lte=now, known_until__lte=now).delete()
    return deleted


def forget_counted_calls(*, at: datetime) -> int:
    """Delete what the cache's table has kept beyond its time, as the counts of an address's calls; how many.

    Django leaves that until there are a million rows, and counts them all with each call that it counts.
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


def _folded(login: str) -> str:
    letters = unicodedata.normalize("NFKD", login.strip().upper())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _key(*parts: str) -> str:
    return salted_hmac("accounts.attempts", "\0".join(parts), algorithm="sha256").hexdigest()


def _count(most: dict[str, int], now: int) -> Iterable[PasswordAttempts]:
    """One more failure for each key; the rows as they are then."""
    # From its first failure a count lasts LOCK_SECONDS, and from that which fills it once more.
    return _write(
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


def _take_back(keys: Iterable[str], known: dict[str, int]) -> None:
    _write(
        [(key, 0, 0, 0, known[key]) for key in keys],
        """
        failures = CASE WHEN counted.failures > 0 THEN counted.failures - 1 ELSE 0 END,
        known_until = CASE
            WHEN excluded.known_until > counted.known_until THEN excluded.known_until
            ELSE counted.known_until
        END
        """,
    )


def _write(rows: list[tuple[Any, ...]], change: str, **named: int) -> list[PasswordAttempts]:
    """Insert `rows`, or make the `change` where there is one already: one statement, and so one moment.

    Always in the order of their keys: two that lock the same rows must not wait for each other.
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

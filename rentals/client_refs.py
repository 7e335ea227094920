"""Makes a rental or a payment once for each `client_ref`, however often the caller sends it.

A `client_ref` is the caller's own name for what it sends, such as the number of a slip that was written while
the shop was offline. It is unique for the account that sends it, for rentals and payments together, and kept
for ever, unlike an idempotency key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from django.db.models import Model

from accounts.models import User
from lori_assignment.db.transactions import atomic_with_retry
from rentals import errors
from rentals.models import ClientRef, LedgerEntry, Rental

_Made = TypeVar("_Made", Rental, LedgerEntry)


@atomic_with_retry
def make_once(
    *, account: User, ref: str, content: Mapping[str, Any], make: Callable[[], _Made], at: datetime
) -> tuple[_Made, bool]:
    """Return what `make` returns, or returned for the same `ref` and `content` before, and whether it is new.

    A refusal of `make` leaves no trace, so the ref can be sent again. Raises ClientRefReused if the account
    used the ref for another content.
    """
    digest = digest_of(content)
    kept, is_new = _claim(account=account, ref=ref, digest=digest, at=at)
    if not is_new:
        if kept.content != digest:
            raise errors.ClientRefReused
        made: Any = kept.rental or kept.entry
        return made, False
    made = make()
    if isinstance(made, Rental):
        kept.rental = made
    else:
        kept.entry = made
    kept.save(update_fields=["rental", "entry"])
    return made, True


def _claim(*, account: User, ref: str, digest: str, at: datetime) -> tuple[ClientRef, bool]:
    """Return the row of `ref`, and whether it is new.

    On PostgreSQL a second call waits in the INSERT until the first has committed or rolled back.
    """
    facts = {"content": digest, "made_at": at}
    return ClientRef.objects.get_or_create(account=account, ref=ref, defaults=facts)


def digest_of(content: Mapping[str, Any]) -> str:
    """Return a digest of the values that a caller sent; leaving one out and sending none mean the same."""
    given = {name: value for name, value in content.items() if value not in (None, "")}
    canonical = json.dumps(given, sort_keys=True, default=_plain)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    raise TypeError(value)

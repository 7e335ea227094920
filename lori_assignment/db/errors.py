"""What the database says when it cannot, though nothing is wrong with what it was asked. A leaf.

Such a fault is no bug, and no client's doing: it passes, and whoever asks again then is served. So it is
answered 503 with `Retry-After`, by `api_errors` where a view of the API meets it and by `outer_errors`
everywhere else. What the database has against a statement itself stays a 500, to be found and mended.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass

from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection
from django.utils.translation import gettext_lazy as _

logger = logging.getLogger(__name__)

CODE = "unavailable"
# Nobody can say more: where the connection breaks at the commit, it may have been done.
DETAIL = _(
    "The shop cannot do this at the moment. Ask again: what was sent with an Idempotency-Key is done once."
)

# Somebody else was in the way, and is gone in a moment.
RETRY_SOON = 1
# Something has to come back first.
RETRY_LATER = 5

# Of two who wait for each other, and of two who saw what the other changed, one is sent away with nothing
# done: deadlock_detected, serialization_failure.
RETRYABLE = {"40P01", "40001"}
LOCK_NOT_AVAILABLE = "55P03"
# The second is what statement_timeout ends in, query_canceled.
TIMED_OUT = {LOCK_NOT_AVAILABLE, "57014"}
# read_only_sql_transaction, idle_in_transaction_session_timeout.
UNAVAILABLE_STATES = {"25006", "25P03"}
# Connections, resources (memory, disk, the number of connections), an operator, the system.
UNAVAILABLE_CLASSES = {"08", "53", "57", "58"}

SQLITE_TIMED_OUT = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
}


@dataclass(frozen=True, slots=True)
class Unavailable:
    """What it was, for the log, and after how many seconds to ask again."""

    name: str
    retry_after: int


def classify_error(error: BaseException | None) -> Unavailable | None:
    """The fault that `error` tells of; None for a bug."""
    if not isinstance(error, Error):
        return None
    if isinstance(error.__cause__, sqlite3.Error):
        return _classify_sqlite_error(error.__cause__)
    state = sqlstate(error)
    if state in RETRYABLE | TIMED_OUT:
        return Unavailable(state, RETRY_SOON)
    if state in UNAVAILABLE_STATES or state[:2] in UNAVAILABLE_CLASSES:
        return Unavailable(state, RETRY_LATER)
    if not state and type(error) in (DatabaseError, InterfaceError, OperationalError):
        # A connection that was refused, or broke while somebody waited for its answer, has no state.
        return Unavailable("no connection", RETRY_LATER)
    return None


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's SQLSTATE, or nothing."""
    return getattr(error.__cause__, "pgcode", None) or ""


def _classify_sqlite_error(error: sqlite3.Error) -> Unavailable | None:
    # The low byte is the kind, and the rest which of it.
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if kind in SQLITE_TIMED_OUT:
        return Unavailable(error.sqlite_errorname, RETRY_SOON)
    return Unavailable(error.sqlite_errorname, RETRY_LATER) if kind in SQLITE_UNAVAILABLE else None


def is_retryable(error: BaseException) -> bool:
    """Whether the database has undone everything, and would probably do it if asked once more."""
    return sqlstate(error) in RETRYABLE


def log_unavailable(fault: Unavailable, *, method: str | None, path: str) -> None:
    """Write one line, and let go of a connection that may be the trouble: to a server that has become a
    standby one can talk for a long time, and never write."""
    logger.warning("The database failed (%s): %s %s", fault.name, method, path)
    if fault.retry_after == RETRY_LATER and not connection.in_atomic_block:
        connection.close()

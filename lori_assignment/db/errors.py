"""Classifies errors of the database and of full disks: transient (503, retryable) or a bug (500).

A transient error is neither a bug nor the client's fault, and a later request succeeds. It is answered 503
with `Retry-After`, by `lori_assignment.rest.exception_handler` in the API's views and by
`lori_assignment.http.error_handlers` elsewhere. An error in a statement itself stays a 500.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from dataclasses import dataclass

from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection
from django.utils.translation import gettext_lazy as _

logger = logging.getLogger(__name__)

CODE = "unavailable"
# It cannot be more precise: if the connection broke at the commit, the change may have been made.
DETAIL = _(
    "Temporarily unavailable. Please try again; a request with an Idempotency-Key is carried out only once."
)

# Another transaction was in the way, and will be finished in a moment.
RETRY_SOON = 1
# The database has to recover first.
RETRY_LATER = 5

# deadlock_detected and serialization_failure: one of two conflicting transactions was rolled back.
RETRYABLE = {"40P01", "40001"}
LOCK_NOT_AVAILABLE = "55P03"
# The second is query_canceled, the result of statement_timeout.
TIMED_OUT = {LOCK_NOT_AVAILABLE, "57014"}
# read_only_sql_transaction, idle_in_transaction_session_timeout.
UNAVAILABLE_STATES = {"25006", "25P03"}
# Connections, resources (memory, disk, number of connections), operator intervention, the system.
UNAVAILABLE_CLASSES = {"08", "53", "57", "58"}

SQLITE_TIMED_OUT = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
}

# What the system says when a file cannot grow: the disk, or the quota of the user, is full.
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A transient error: its name, for the log, and after how many seconds to retry."""

    name: str
    retry_after: int
    kind: str = "Database"


def classify_error(error: BaseException | None) -> Unavailable | None:
    """Return the transient error behind `error`; None for a bug."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return Unavailable(errno.errorcode[error.errno], RETRY_LATER, "File")
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
        # A connection that was refused, or broke during a query, has no SQLSTATE.
        return Unavailable("no connection", RETRY_LATER)
    return None


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's SQLSTATE, or an empty string."""
    return getattr(error.__cause__, "pgcode", None) or ""


def _classify_sqlite_error(error: sqlite3.Error) -> Unavailable | None:
    # The low byte is the kind of error; the rest is more specific.
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if kind in SQLITE_TIMED_OUT:
        return Unavailable(error.sqlite_errorname, RETRY_SOON)
    return Unavailable(error.sqlite_errorname, RETRY_LATER) if kind in SQLITE_UNAVAILABLE else None


def is_retryable(error: BaseException) -> bool:
    """Whether the database has rolled everything back, and would probably succeed on a second try."""
    return sqlstate(error) in RETRYABLE


def log_unavailable(fault: Unavailable, *, method: str | None, path: str) -> None:
    """Log one line, and close a connection that may be the cause.

    Otherwise a connection to a server that has become a standby would be kept, and could never write.
    """
    logger.warning("%s error (%s): %s %s", fault.kind, fault.name, method, path)
    if fault.retry_after == RETRY_LATER and not connection.in_atomic_block:
        connection.close()

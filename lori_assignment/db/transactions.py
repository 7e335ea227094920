"""A unit of work: all of it is done, or nothing, in one transaction; and done again at this address only.

A leaf. Where PostgreSQL ends a transaction because two waited for each other (a deadlock), or because it
cannot be put in a row with the others (a serialization failure), nothing of it was done, and it is done once
more. A second failure is answered 503; see `faults`.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, connection, transaction
from django.db.models import Model, QuerySet

from lori_assignment.db.errors import is_retryable, sqlstate

logger = logging.getLogger(__name__)

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Model = TypeVar("_Model", bound=Model)


class _RetryState(threading.local):
    """What this thread's unit has done so far."""

    retry_disabled = False


_retry_state = _RetryState()


def atomic_with_retry(work: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Do `work` in one transaction; a unit within another is part of that one, which is done again whole.

    So `work` has to read anew what it changes, and leave what it was given as it is. What waits for the
    commit (`transaction.on_commit`) is forgotten with the first try.
    """

    @functools.wraps(work)
    def done(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        if connection.in_atomic_block:
            with transaction.atomic():
                return work(*args, **kwargs)
        _retry_state.retry_disabled = False
        try:
            with transaction.atomic():
                return work(*args, **kwargs)
        except DatabaseError as error:
            if _retry_state.retry_disabled or not is_retryable(error):
                raise
            logger.info("Once more, after %s: %s", sqlstate(error), work.__qualname__)
        with transaction.atomic():
            return work(*args, **kwargs)

    return done


def disable_retry() -> None:
    """Called before something is done that a rollback does not undo, as the storing of a file: this unit
    is not done again."""
    _retry_state.retry_disabled = True


def lock(row: _Model) -> _Model:
    """`row`, read again: nobody else changes it until the transaction ends. Raises DoesNotExist.

    A caller who locks several rows does it in one order: member, book, copy, rate. Under a member's lock
    nothing else changes their rentals and ledger; under a book's lock no copy of it is given out, added or
    changed. FOR NO KEY UPDATE, because a plain FOR UPDATE would stop every insert that refers to the row.
    On SQLite a transaction is the only writer from its first statement (settings: IMMEDIATE).
    """
    # Not type(): `request.user` is a lazy object, which has the class of the account all the same.
    model = row.__class__
    return model._default_manager.select_for_update(no_key=True).get(pk=row.pk)  # noqa: SLF001


def lock_first(rows: QuerySet[_Model]) -> _Model | None:
    """The first of `rows`, chosen and locked in one statement; None when there is none. See `lock`.

    For rows that do not change while the caller waits, because of a lock that the caller holds already.
    """
    return rows.select_for_update(no_key=True).first()

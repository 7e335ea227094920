"""Runs functions in a transaction that is retried once after a deadlock or a serialization failure.

In both cases PostgreSQL has rolled the whole transaction back. A second failure is answered with 503; see
`lori_assignment.db.errors`. Nothing else in the project retries a transaction.
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
    """Whether this thread's transaction may be retried."""

    retry_disabled = False


_retry_state = _RetryState()


def atomic_with_retry(work: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Run `work` in a transaction that is retried once. A nested call is part of the outer transaction.

    Because `work` may run twice, it must read again the rows that it changes, and must not modify its
    arguments. Callbacks registered with `transaction.on_commit` are discarded with the first attempt.
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
            logger.info("Retrying after %s: %s", sqlstate(error), work.__qualname__)
        with transaction.atomic():
            return work(*args, **kwargs)

    return done


def disable_retry() -> None:
    """Exclude this transaction from the retry. Call it before a change that no rollback undoes, such as
    storing a file."""
    _retry_state.retry_disabled = True


def lock(row: _Model) -> _Model:
    """Return `row`, read again and locked until the transaction ends. Raises DoesNotExist.

    Lock several rows in this order: member, book, copy, rate. While a member is locked, no other transaction
    changes that member's rentals or ledger; while a book is locked, none hands out, adds or changes a copy of
    it. The lock is FOR NO KEY UPDATE, because a plain FOR UPDATE would block every insert that refers to the
    row. On SQLite a transaction is the only writer from its first statement (IMMEDIATE in the settings).
    """
    # Not type(): `request.user` is a lazy object, whose __class__ is that of the account.
    model = row.__class__
    return model._default_manager.select_for_update(no_key=True).get(pk=row.pk)  # noqa: SLF001


def lock_first(rows: QuerySet[_Model]) -> _Model | None:
    """Return the first of `rows`, chosen and locked in one statement; None if there is none. See `lock`.

    For rows that cannot change while the caller waits, because the caller already holds another lock.
    """
    return rows.select_for_update(no_key=True).first()

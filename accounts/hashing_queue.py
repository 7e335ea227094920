"""Limits how many passwords are hashed at a time, so that many sign-ins do not starve other requests.

A hash costs as much as ten pages of the catalogue, and a request that waits for one holds a server thread. So
each process hashes MAX_CONCURRENT passwords at a time, MAX_WAITING requests wait, and any others are refused
at once with `Busy`, before a query is made or an attempt is counted. Hashing threads have low priority: on an
idle processor a hash takes 25 ms, and on a busy one hashes get about a tenth of the time.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from lori_assignment.errors import Busy

# Together less than `threads` in server/gunicorn_conf.py, so that threads are left for other requests.
MAX_CONCURRENT = 1
MAX_WAITING = 1
# Seconds, after which the queue will have moved on.
RETRY_AFTER = 1
# On the scale of `nice`.
NICENESS = 10

_Result = TypeVar("_Result")


class HashingQueue:
    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._places = threading.BoundedSemaphore(at_once + waiting)
        # Starts its threads on first use, so in the workers and not in the process that forks them.
        self._hashing = ThreadPoolExecutor(max(at_once, 1), initializer=_lower_priority)
        self._mine = threading.local()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a place in the queue for a whole sign-in; reentrant within a thread. Raises Busy."""
        if getattr(self._mine, "is_taken", False):
            yield
            return
        if not self._places.acquire(blocking=False):
            raise Busy(RETRY_AFTER)
        self._mine.is_taken = True
        try:
            yield
        finally:
            self._mine.is_taken = False
            self._places.release()

    def hash(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` on a hashing thread and return its result. Raises Busy."""
        with self.slot():
            return self._hashing.submit(work).result()


def _lower_priority() -> None:
    # On Linux setpriority() applies to one thread, elsewhere to the whole process.
    if sys.platform == "linux":
        me = threading.get_native_id()
        # Never lower the niceness: only root may do that.
        os.setpriority(os.PRIO_PROCESS, me, max(os.getpriority(os.PRIO_PROCESS, me), NICENESS))


hashing_queue = HashingQueue(at_once=MAX_CONCURRENT, waiting=MAX_WAITING)

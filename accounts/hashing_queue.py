"""How many passwords are hashed at a time, so that a storm of sign-ins leaves the shop to everybody else.

A hash is worth ten pages of the catalogue, and whoever waits for one holds a thread of the server. So each
process computes one at a time, a few wait for theirs, and the next is told at once to come again: before a
query is made or an attempt is counted. What computes it steps back for all else: on a processor that nobody
wants, a hash takes its 25 ms; where many do, a tenth of that processor is for hashes.
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

# A thread of each worker has to be left for everything else: see `threads` in server/gunicorn_conf.py.
MAX_CONCURRENT = 1
MAX_WAITING = 1
# By then their turn has come, or that of others.
RETRY_AFTER = 1
# As `nice` has it.
NICENESS = 10

_Result = TypeVar("_Result")


class HashingQueue:
    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._places = threading.BoundedSemaphore(at_once + waiting)
        # Its threads begin when they are needed: in each process of the server, and not in that which forks.
        self._hashing = ThreadPoolExecutor(max(at_once, 1), initializer=_lower_priority)
        self._mine = threading.local()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A place among those who wait, for all that a sign-in does. Raises Busy where there is none."""
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
        """What `work` returns, when its turn has come. Raises Busy."""
        with self.slot():
            return self._hashing.submit(work).result()


def _lower_priority() -> None:
    # Linux takes a thread for what others take a process for.
    if sys.platform == "linux":
        me = threading.get_native_id()
        # Forward again only root may step.
        os.setpriority(os.PRIO_PROCESS, me, max(os.getpriority(os.PRIO_PROCESS, me), NICENESS))


hashing_queue = HashingQueue(at_once=MAX_CONCURRENT, waiting=MAX_WAITING)

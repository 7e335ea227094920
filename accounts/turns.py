"""How many passwords are hashed at a time, so that a storm of sign-ins leaves the shop to everybody else.

A hash is worth ten pages of the catalogue, and whoever waits for one holds a thread of the server. So each
process computes one at a time, a few wait for theirs, and the next is told at once to come again: before a
query is made or an attempt is counted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from accounts.attempts import TooMany

# Beside whom a thread of a worker is left for all else; see `threads` in lori_assignment/gunicorn_conf.py.
AT_ONCE = 1
WAITING = 1
# By then their turn has come, or that of others.
LATER_SECONDS = 1


class Turns:
    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._hashes = threading.BoundedSemaphore(at_once)
        self._mine = threading.local()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait, for all that a sign-in does. Raises TooMany where there is none."""
        if getattr(self._mine, "is_taken", False):
            yield
            return
        if not self._places.acquire(blocking=False):
            raise TooMany(LATER_SECONDS)
        self._mine.is_taken = True
        try:
            yield
        finally:
            self._mine.is_taken = False
            self._places.release()

    @contextmanager
    def hash(self) -> Iterator[None]:
        """One's turn, waited for on one's place. Raises TooMany."""
        with self.place(), self._hashes:
            yield


turns = Turns(at_once=AT_ONCE, waiting=WAITING)

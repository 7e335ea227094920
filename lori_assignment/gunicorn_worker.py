"""gunicorn's worker with threads, mended where it could hold up or lose somebody's request."""

from __future__ import annotations

import socket
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

# Time for a client to read its answer and to close its end.
LINGER_SECONDS = 2.0


class Worker(ThreadWorker):
    """Two things that gunicorn 27 does otherwise.

    *When it stops*, it answers what its workers have accepted, kept-alive connections included. But it leaves
    who waits at the door: the kernel has accepted those connections, their requests may have been sent before
    the stop, and all are reset when the last worker ends. Until then the door stays open, so that more
    come to wait for nothing. This worker lets in who waits, then closes its door. The server has closed its
    own by then, so that with the last worker's the next connection is refused at once, and whoever asks may
    try another server.

    *When a connection is to be closed*, it waits for the client to close its end, up to two seconds in which
    it attends to nobody else: twenty clients that just did not close held up all others for fourteen seconds.
    This worker waits for all of them at the same time, and goes on meanwhile.

    What is left: a request that comes over a kept-alive connection two seconds after the stop, or crosses
    with its closing, is not answered, not even in part; one connection may fall between the last look for who
    waits and the closing of the door; and what takes longer than `graceful_timeout` is cut off.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lingering: deque[TConn] = deque()

    def set_accept_enabled(self, enabled: Any) -> None:
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        for listener in self.sockets:
            while self._lets_in(listener):
                pass
            listener.close()

    def _lets_in(self, listener: Any) -> bool:
        before = self.nr_conns
        self.accept(listener)
        return bool(self.nr_conns > before)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:  # Nothing more is to come of it.
            self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        """Say that this was the last answer, and close when the client has: closed at once, a connection on
        which the client still sends is reset, and the answer with it."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, EVENT_READ, partial(self._read_on, conn))
        except (OSError, ValueError):  # It is closed already.
            self._forget(conn)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self.lingering.append(conn)

    def _read_on(self, conn: TConn, _socket: socket.socket) -> None:
        try:
            if conn.sock.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.lingering.remove(conn)
        self.poller.unregister(conn.sock)
        self._forget(conn)

    def _forget(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Asked in every round, for connections on which nothing came."""
        super().murder_pending()
        while self.lingering and self.lingering[0].timeout <= time.monotonic():
            conn = self.lingering.popleft()
            self.poller.unregister(conn.sock)
            self._forget(conn)

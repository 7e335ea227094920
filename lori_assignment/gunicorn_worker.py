"""gunicorn's worker with threads, mended where it could hold up or lose somebody's request. For plain http:
TLS ends before it."""

from __future__ import annotations

import socket
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from lori_assignment.heard import Heard

# Time for a client to read its answer and to close its end.
LINGER_SECONDS = 2.0
# Time for another worker to let in whoever comes next.
ASIDE_SECONDS = 0.0002


class Worker(ThreadWorker):
    """Five things that gunicorn 27 does otherwise.

    *When many connect at the same moment*, as a load balancer does, the worker that wakes first lets in as
    many as it can, at times all of them: they are kept alive, so that it serves everybody from then on, and
    the others nobody. This worker steps aside after each that it has let in.

    *While a request comes in*, it has a thread wait for the rest of it: eight clients that sent half of one
    stood in everybody's way, for as long as they liked. This worker listens to all of them at the same time,
    without a thread, and hands a request to one when nothing of it is missing. Who is slower than `heard`
    allows is told 408.

    *When it stops*, it answers what its workers have accepted, kept-alive connections included. But it leaves
    who waits at the door: the kernel has accepted those connections, their requests may have been sent before
    the stop, and all are reset when the last worker ends. Until then the door stays open, so that more
    come to wait for nothing. This worker lets in who waits, then closes its door. The server has closed its
    own by then, so that with the last worker's the next connection is refused at once, and whoever asks may
    try another server.

    *When a connection is to be closed*, it waits for the client to close its end, up to two seconds in which
    it attends to nobody else: twenty clients that just did not close held up all others for fourteen seconds.
    This worker waits for all of them at the same time, and goes on meanwhile.

    *When the shop has not read a body*, as of a call that is refused for its size, it reads at most a
    megabyte of it, and closes the connection after all, over which it has promised to hear the next request.
    This worker has the body already, and keeps the promise.

    What is left: a request that comes over a kept-alive connection two seconds after the stop, or crosses
    with its closing, is not answered, not even in part; one connection of each worker may fall between the
    last look for who waits and the closing of the door; and what takes longer than `graceful_timeout` is cut
    off.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lingering: deque[TConn] = deque()
        # Whose next request is not there yet, or not all of it.
        self.listening: set[TConn] = set()
        self.let_in = 0
        self.looked_at = 0.0

    def set_accept_enabled(self, enabled: Any) -> None:
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        for listener in self.sockets:
            while self._lets_in(listener):
                pass
            listener.close()

    def accept(self, listener: Any) -> None:
        if self._lets_in(listener):
            time.sleep(ASIDE_SECONDS)

    def _lets_in(self, listener: Any) -> bool:
        before = self.let_in
        super().accept(listener)
        return self.let_in > before

    def enqueue_req(self, conn: TConn) -> None:
        """Called when something may have come of a connection's next request."""
        if hasattr(conn, "heard"):
            conn.heard.listen()
        else:
            self.let_in += 1
            conn.heard = Heard()
            conn.timeout = time.monotonic() + self.cfg.keepalive
        conn.sock.setblocking(False)
        self.listening.add(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._hear, conn))
        if conn.heard.is_done:
            self._hand_over(conn)
        else:
            self._hear(conn)

    def _hear(self, conn: TConn, _socket: socket.socket | None = None) -> None:
        heard: Heard = conn.heard
        try:
            data = conn.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # The client has given up.
            self._stop_listening(conn)
            self._forget(conn)
            return
        heard.add(data)
        if heard.is_done:
            self._hand_over(conn)
        elif heard.is_too_long:
            self._refuse(conn, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif heard.expects_a_word:
            heard.expects_a_word = False
            self._say(conn, HTTPStatus.CONTINUE)

    def _hand_over(self, conn: TConn) -> None:
        self._stop_listening(conn)
        conn.data_ready = True
        conn.init()
        conn.parser.unreader = conn.heard
        self._answer(conn)

    def _answer(self, conn: TConn) -> None:
        """Let a thread answer a request that is there."""
        super().enqueue_req(conn)

    def _stop_listening(self, conn: TConn) -> None:
        self.listening.remove(conn)
        self.poller.unregister(conn.sock)

    def _say(self, conn: TConn, status: HTTPStatus, *headers: str) -> None:
        """A few bytes, which any connection takes at once; one that is broken shows it elsewhere."""
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *headers, "", ""]
        with suppress(OSError):
            conn.sock.send("\r\n".join(lines).encode())

    def _refuse(self, conn: TConn, status: HTTPStatus) -> None:
        self._stop_listening(conn)
        self._say(conn, status, "Connection: close", "Content-Length: 0")
        self._linger(conn)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        # Who has asked whether to send the body has been told: by `_hear`, or by the answer that comes now.
        req._expected_100_continue = False  # noqa: SLF001
        if not conn.heard.is_whole:
            req.force_close()
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> bool:
        # A request that was not heard whole ends its connection. Of any other all is here, so that what the
        # shop has not read of it can be passed over, however much that is.
        return bool(keepalive) and bool(conn.parser.finish_body())

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        if fs.cancelled() or fs.exception():
            super().finish_request(conn, fs)
        elif fs.result() and conn.heard.has_surplus:
            self.enqueue_req(conn)
        elif fs.result():
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
        self._murder_slow(time.monotonic())
        while self.lingering and self.lingering[0].timeout <= time.monotonic():
            conn = self.lingering.popleft()
            self.poller.unregister(conn.sock)
            self._forget(conn)

    def _murder_slow(self, now: float) -> None:
        if now < self.looked_at + 1:
            return
        self.looked_at = now
        for conn in list(self.listening):
            if conn.heard.began_at is not None:
                if conn.heard.ends_at() <= now:
                    self._refuse(conn, HTTPStatus.REQUEST_TIMEOUT)
                continue
            if not self.alive:
                conn.timeout = min(conn.timeout, now + STOP_KEEPALIVE_LINGER)
            if conn.timeout <= now:  # It has never said anything.
                self._stop_listening(conn)
                self._forget(conn)

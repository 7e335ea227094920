"""gunicorn's worker with threads, which also stops without losing who has just come in."""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):
    """gunicorn 27 answers, when it stops, what its workers have accepted, and closes kept-alive connections
    only after two seconds in which nothing came. But it leaves what waits at the door: the kernel has
    accepted those connections, their requests may have been sent before the stop, and all are reset when
    the last worker ends. And until then the door stays open, so that more come to wait for nothing.

    This one lets in who waits, then closes its door. The server has closed its own by then, so that with
    the last worker's the next connection is refused at once, and whoever asks may try another server.
    """

    def set_accept_enabled(self, enabled: Any) -> None:
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        for listener in self.sockets:
            while self._accepts(listener):
                pass
            listener.close()

    def _accepts(self, listener: Any) -> bool:
        before = self.nr_conns
        self.accept(listener)
        return bool(self.nr_conns > before)

"""How gunicorn serves the shop. `entrypoint.sh serve` and `make run` use this file."""

import os
import signal
from typing import Any

from lori_assignment import metrics_files

# In a container the outside is the only way in; `make run` binds 127.0.0.1.
bind = f"{os.environ.get('BIND', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"  # noqa: S104  # as said
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# Threads, so that a slow client holds up one of them and not a whole worker.
worker_class = "gthread"
threads = 4
# Settings that are missing or unsafe stop the start once, not each worker again and again.
preload_app = True
timeout = 30
graceful_timeout = 20
keepalive = 5
# A search with a long cursor still fits.
limit_request_line = 8190
accesslog = "-"
# Some addresses are secrets.
logger_class = "lori_assignment.logs.AccessLog"
# Nobody steers a running server by a socket in somebody's home folder.
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """A terminal's Ctrl-C reaches the workers too, beside the master's word to stop: a worker that is
    told twice hangs until it is killed. Only the master listens to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# Only gunicorn itself loads this file under that name, and before the shop.
if __name__ == "__config__":
    metrics_files.begin(bind.rpartition(":")[2])


def child_exit(server: Any, worker: Any) -> None:
    metrics_files.fold(worker.pid)

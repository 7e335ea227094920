"""How gunicorn serves the shop. `entrypoint.sh serve` and `make run` use this file."""

import gc
import os
import resource
import signal
import tempfile
from typing import Any

from lori_assignment import metrics_files

# In a container the outside is the only way in; `make run` binds 127.0.0.1.
bind = f"{os.environ.get('BIND', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"  # noqa: S104  # nosec B104  # as said
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# Threads, so that who waits for the database holds up one of them and not a whole worker. Who is slow in
# sending holds up none.
worker_class = "lori_assignment.gunicorn_worker.Worker"
threads = 5
# Settings that are missing or unsafe stop the start once, not each worker again and again.
preload_app = True
timeout = 30
# A stop waits this long for answers. Kubernetes has to wait longer: its grace period is this, and what its
# preStop takes, and some seconds.
graceful_timeout = 20
# Longer than the 60 seconds that a load balancer of AWS keeps an idle connection: else it would send a
# request over one that is just being closed here, and tell a member 502. An idle connection holds no thread.
keepalive = 75
# Workers say by a file that they live: in memory, so that a slow disk does not make them seem dead, and so
# that a read-only root file system is enough.
_memory = "/dev/shm"  # noqa: S108  # nosec B108  # As said.
worker_tmp_dir = _memory if os.access(_memory, os.W_OK) else tempfile.gettempdir()
# No max_requests: no leak is known that it would have to hide, and every new worker starts cold.
# A search with a long cursor still fits.
limit_request_line = 8190
accesslog = "-"
# Some addresses are secrets.
logger_class = "lori_assignment.logs.AccessLog"
# Nobody steers a running server by a socket in somebody's home folder.
control_socket_disable = True


def when_ready(server: Any) -> None:
    """What is loaded now stays for good. Python need not look through it for garbage: that takes time, makes
    garbage wait longer, and writes to each piece, of which every worker gets its own copy then."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """A terminal's Ctrl-C reaches the workers too, beside the master's word to stop: a worker that is
    told twice hangs until it is killed. Only the master listens to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# Only gunicorn itself loads this file under that name, and before the shop.
if __name__ == "__config__":
    metrics_files.begin(bind.rpartition(":")[2])
    # Each connection is an open file, and 1,000 of them are let in: the usual 1,024 are too few for the rest.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if most < 0 else min(4096, most), most))


def child_exit(server: Any, worker: Any) -> None:
    metrics_files.fold(worker.pid)

"""How gunicorn serves the shop. `entrypoint.sh serve` and `make run` use this file."""

import gc
import os
import resource
import signal
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any


def read_number(name: str, default: int) -> int:
    """The whole number from 1 in an environment variable. Anything else ends the program with a sentence."""
    given = os.environ.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and int(given) > 0):
        sys.exit(f"Lori Books cannot start: {name} must be a whole number from 1, not {given!r}.")
    return int(given)


# In a container the outside is the only way in; `make run` binds 127.0.0.1.
bind = f"{os.environ.get('BIND', '0.0.0.0')}:{read_number('PORT', 8000)}"  # noqa: S104  # nosec B104  # as said
workers = read_number("WEB_CONCURRENCY", 2)
# A request that waits for the database holds one thread and not a whole worker. A slow client holds one too:
# nginx stands in front for that (deploy/nginx.conf).
worker_class = "gthread"
threads = 5
# The kernel spreads new connections over the workers. With one shared socket the worker that wakes first
# takes as many as it can, and keeps them.
reuse_port = True
# Django decides by X-Forwarded-Proto and TRUSTED_PROXIES whether a request came by https; gunicorn believes
# nobody.
forwarded_allow_ips = ""
# Settings that are missing or unsafe stop the start once, not each worker again and again.
preload_app = True
timeout = 30
# A stop waits this long for responses. Kubernetes has to wait longer: its grace period is this, what preStop
# takes, and a few seconds.
graceful_timeout = 20
# Longer than the 60 seconds that nginx keeps an idle connection: else nginx could send a request on one that
# is just being closed here, and answer 502. An idle connection holds no thread.
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
logger_class = "lori_assignment.observability.logs.GunicornLogger"
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


def prepare_metrics_folder(port: str) -> None:
    """Name an empty folder to prometheus_client, in which the workers at `port` count their requests.

    Called before anything imports prometheus_client, which reads the variable once, on import.
    """
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    folder = Path(name or Path(tempfile.gettempdir()) / f"lori-metrics-{port}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RuntimeError(f"{folder}, where metrics would be kept, belongs to somebody else.")
    for left in folder.glob("*.db"):
        left.unlink()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


# Only gunicorn itself loads this file under that name, and before the shop.
if __name__ == "__config__":
    prepare_metrics_folder(bind.rpartition(":")[2])
    # Each connection is an open file, and a worker accepts 1,000 of them: the usual 1,024 are too few for the
    # rest, and a worker that cannot open another one ends.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if most < 0 else min(4096, most), most))


def child_exit(server: Any, worker: Any) -> None:
    # Not above: see prepare_metrics_folder.
    from prometheus_client import multiprocess

    # It removes what only a living process can say. Counters stay, so that no sum falls: two files for each
    # worker that has ended.
    multiprocess.mark_process_dead(worker.pid)

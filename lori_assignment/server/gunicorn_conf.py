"""Configures gunicorn for `entrypoint.sh serve` and `make run`."""

import gc
import ipaddress
import os
import resource
import signal
import socket
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

from lori_assignment.server.environment import read_environment

try:
    _given = read_environment()
except ValueError as problem:
    sys.exit(f"Lori Books cannot start: {problem}")

bind = f"{_given.bind}:{_given.port}"
workers = _given.workers
# A request that waits for the database occupies one thread and not a whole worker. So would a slow client,
# which nginx prevents (deploy/nginx.conf).
worker_class = "gthread"
threads = 5
# The kernel distributes new connections over the workers. With one shared socket the worker that wakes first
# accepts as many as it can, and keeps them.
reuse_port = True
# Django decides by X-Forwarded-Proto and TRUSTED_PROXIES whether a request came by https; gunicorn trusts no
# forwarded headers.
forwarded_allow_ips = ""
# Missing or unsafe settings stop the start once, instead of each worker again and again.
preload_app = True
timeout = 30
# A stop waits this long for responses. Kubernetes has to wait longer: its grace period is this, plus the time
# for preStop, plus a few seconds.
graceful_timeout = 20
# Longer than the 60 seconds for which nginx keeps an idle connection. Otherwise nginx could send a request on
# one that is just being closed here, and answer 502. An idle connection occupies no thread.
keepalive = 75
# Workers show by a file that they are alive. It is in memory, so that a slow disk does not make them seem
# dead and a read-only root file system is enough.
_memory = "/dev/shm"  # noqa: S108  # nosec B108  # As said.
worker_tmp_dir = _memory if os.access(_memory, os.W_OK) else _given.temporary_folder
# max_requests is not set: no memory leak is known, and every new worker starts cold.
# Enough for a search with a long cursor.
limit_request_line = 8190
accesslog = "-"
# It redacts paths that contain secrets.
logger_class = "lori_assignment.observability.logs.GunicornLogger"
# gunicorn would create a control socket in the user's home folder.
control_socket_disable = True


def on_starting(server: Any) -> None:
    check_debug(server.cfg.address)
    check_addresses(server.cfg.address)
    keep_master(server)


def check_debug(addresses: list[Any]) -> None:
    """Exit with a message if other machines could see Django's error pages for development.

    Checked here and not in the settings, since gunicorn's arguments can name another address than BIND.
    """
    # Not imported at the top: see prepare_metrics_folder.
    from django.apps import apps
    from django.conf import settings

    # The benchmarks serve applications without Django by this configuration.
    if not apps.ready or not settings.DEBUG:
        return
    for host, _port in (address for address in addresses if isinstance(address, tuple)):
        if not is_loopback(host):
            sys.exit(
                f"Lori Books cannot start: DEBUG must be off where the server listens at {host} and not at "
                "127.0.0.1, or error pages show settings and data to anybody."
            )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def keep_master(server: Any) -> None:
    """Let the master go on when a worker cannot be started, and try again a second later.

    A worker needs a file for its heartbeat, and a process. If it cannot get one, gunicorn's master would
    end, and the workers that still serve with it.
    """
    spawn_worker = server.spawn_worker

    def spawn_if_possible() -> None:
        try:
            spawn_worker()
        except (OSError, RuntimeError) as problem:
            server.log.error("A worker could not be started: %s", problem)

    server.spawn_worker = spawn_if_possible


def check_addresses(addresses: list[Any]) -> None:
    """Exit with a message if the server cannot listen at an address. Workers would try again for ever."""
    for host, port in (address for address in addresses if isinstance(address, tuple)):
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
                # As gunicorn binds it, so that another server may end while this one starts.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.bind((host, port))
        except OSError as error:
            sys.exit(f"Lori Books cannot start: it cannot listen at {host}, port {port} ({error.strerror}).")


def when_ready(server: Any) -> None:
    """Check the database, then exempt everything loaded so far from garbage collection.

    It is never freed. Scanning it takes time, delays the collection of real garbage, and writes to each
    object, so that every worker would get a copy of the shared memory.
    """
    check_database()
    gc.collect()
    gc.freeze()


def check_database() -> None:
    """Exit with a message if one of Django's checks of the database finds an error or warns.

    The start does not wait for a database that is unreachable: until it is there, requests are answered 503.
    """
    # Not imported at the top: see prepare_metrics_folder.
    from django.apps import apps
    from django.core import checks
    from django.db import DEFAULT_DB_ALIAS, connections

    if not apps.ready:
        # The benchmarks serve applications without Django by this configuration.
        return
    found = checks.run_checks(tags=[checks.Tags.database], databases=[DEFAULT_DB_ALIAS])
    # A forked worker must not share a connection with the master.
    connections.close_all()
    for problem in found:
        if problem.level >= checks.WARNING and not problem.is_silenced():
            sys.exit(f"Lori Books cannot start: {problem.msg}")


def post_worker_init(worker: Any) -> None:
    """Ignore SIGINT in workers, so that only the master handles it.

    Ctrl-C in a terminal reaches the workers too. A worker that also gets the master's signal to stop would
    hang until it is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def prepare_metrics_folder(port: str) -> None:
    """Create an empty folder for the metrics of the workers at `port`, and set PROMETHEUS_MULTIPROC_DIR.

    Called before anything imports prometheus_client, which reads the variable on import. Exits with a message
    if the folder cannot be created or belongs to another user.
    """
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    folder = Path(name or Path(_given.temporary_folder) / f"lori-metrics-{port}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            sys.exit(f"Lori Books cannot start: the metrics folder {folder} belongs to another user.")
        for left in folder.glob("*.db"):
            left.unlink()
    except OSError as error:
        sys.exit(
            f"Lori Books cannot start: the metrics folder {str(folder)!r} cannot be used ({error.strerror})."
        )
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


# gunicorn loads this file under that name, before the application.
if __name__ == "__config__":
    # Workers use this folder also if it is full when they look for one.
    tempfile.tempdir = _given.temporary_folder
    prepare_metrics_folder(bind.rpartition(":")[2])
    # Each connection is an open file, and a worker accepts 1,000 of them. The usual limit of 1,024 leaves too
    # few for the rest, and a worker that cannot open another file exits.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if most < 0 else min(4096, most), most))


def child_exit(server: Any, worker: Any) -> None:
    # Not imported at the top: see prepare_metrics_folder.
    from prometheus_client import multiprocess

    # Removes the worker's gauges. Counters stay, so that no total decreases: two files for each worker that
    # has ended.
    multiprocess.mark_process_dead(worker.pid)

"""The servers and the database of the torture drill."""

# ruff: noqa: INP001, S603  # A script, not part of a package; it starts only our own commands.
from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg2
from stop_under_load import children
from torture_clients import Answer, Client

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A check failed."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fill_disk(ballast: Path) -> None:
    """Write to the file `ballast` until its disk is full."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


class Server:
    """gunicorn, started by entrypoint.sh; ready when the constructor returns, unless `ready` is false."""

    def __init__(
        self, *, workers: int = 2, arguments: str = "", ready: bool = True, temporary: Path | None = None
    ) -> None:
        self.port = free_port()
        self.log = Path(os.environ["TORTURE"]) / f"server-{self.port}.log"
        facts = {"PORT": str(self.port), "WEB_CONCURRENCY": str(workers), "GUNICORN_CMD_ARGS": arguments}
        # Errors of the database are logged as warnings.
        facts["LOG_LEVEL"] = "WARNING"
        if temporary:
            # Also for the heartbeat of workers, as where there is no /dev/shm.
            facts["TMPDIR"] = str(temporary)
            facts["GUNICORN_CMD_ARGS"] = f"{arguments} --worker-tmp-dir={temporary}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [ROOT / "entrypoint.sh", "serve"], env=os.environ | facts, stdout=log, stderr=log
            )
        if ready:
            self.wait_for("/readyz", 200, seconds=30)

    def ask(self, path: str, **headers: str) -> Answer | None:
        """Send a GET request. Returns None if there is no response."""
        try:
            return Client(self.port).call("GET", path, **headers)
        except OSError:
            return None

    def wait_for(self, path: str, status: int, *, seconds: float) -> tuple[float, Any]:
        """Wait until `path` returns `status`; return the seconds that it took, and the body."""
        began = time.monotonic()
        answer = None
        while time.monotonic() - began < seconds:
            answer = self.ask(path)
            if answer is not None and answer[0] == status:
                return time.monotonic() - began, answer[2]
            time.sleep(0.05)
        raise Failed(f"{path} did not return {status} within {seconds} s, but {answer and answer[::2]}")

    def log_errors(self) -> list[str]:
        """Return the lines of the log other than requests and refusals."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if not line.startswith("127.0.0.1 ") and " WARNING django" not in line]

    def workers(self) -> list[int]:
        return children(self.process.pid)

    def stop(self) -> None:
        """Stop the server with SIGTERM. Raises Failed unless it exits with 0 in time."""
        self.process.terminate()
        try:
            status = self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed("a server did not stop in time") from None
        if status:
            raise Failed(f"a stopped server exited {status}")

    def kill(self) -> None:
        for worker in self.workers() if self.process.poll() is None else []:
            os.kill(worker, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


class Database:
    """The PostgreSQL server of checks/with-postgres, which the drill stops and whose disk it fills."""

    def __init__(self) -> None:
        self.url = os.environ["DATABASE_URL"]
        self.ballast = Path(os.environ["POSTGRES_FOLDER"]) / "ballast"

    def control(self, *words: str) -> None:
        # No pipes: a server that this starts would keep them open.
        done = subprocess.run(
            [os.environ["POSTGRES_CTL"], *words],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if done.returncode:
            raise Failed(f"pg_ctl {' '.join(words)} exited {done.returncode}")

    def run(self, statement: str) -> list[Any]:
        connection = psycopg2.connect(self.url, options="-c default_transaction_read_only=off")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def end_connections(self) -> int:
        """Terminate all other connections; return their number."""
        ended = self.run(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(ended[0][0])

    def fill_disk(self) -> None:
        fill_disk(self.ballast)

    def empty_disk(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def read_only(self, *, on: bool) -> None:
        self.run(
            f"ALTER SYSTEM {'SET' if on else 'RESET'} default_transaction_read_only {'TO on' if on else ''}"
        )
        self.run("SELECT pg_reload_conf()")

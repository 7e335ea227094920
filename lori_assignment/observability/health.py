"""Liveness and readiness checks for the cluster and the load balancer.

`/healthz` answers as long as the process does and checks nothing else. `/readyz` checks that the database
can be reached, accepts writes and has every migration that this code knows, and that the folder for temporary
files has room. If not, the response names the check that fails, and no more than that.

The load balancer and the cluster address a pod by its IP over plain http, so `MonitoringMiddleware` answers
before the Host is checked. ALLOWED_HOSTS stays strict for everything else.
"""

from __future__ import annotations

import functools
import logging
import tempfile
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from lori_assignment.db.errors import NO_SPACE

logger = logging.getLogger(__name__)

# More frequent requests get the previous result, so that they cannot overload the database.
CACHE_SECONDS = 1.0
# A database that does not respond within this time counts as unavailable.
TIMEOUT_SECONDS = 2.0
# A folder for temporary files that cannot take this much counts as full.
TEMPORARY_BYTES = 64 * 1024

OK, FAILED, FULL, TIMEOUT, READ_ONLY, UNAPPLIED, UNKNOWN = (
    "ok",
    "failed",
    "full",
    "timeout",
    "read_only",
    "unapplied",
    "unknown",
)
# Queries that return `off` if the database accepts writes; a database that is not listed always does.
READ_ONLY_QUERIES = {"postgresql": "SHOW transaction_read_only"}


class Check:
    """One run of the checks, and its result so far."""

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.finished = threading.Event()
        self.checks = {"database": UNKNOWN, "migrations": UNKNOWN, "temporary_files": TIMEOUT}
        self.reason = "no answer"


class Readiness:
    """Runs the checks in a thread and over a separate connection, one run at a time.

    So a database that never responds delays a request by at most `timeout`.
    """

    def __init__(
        self,
        connect: Callable[[], BaseDatabaseWrapper],
        *,
        timeout: float = TIMEOUT_SECONDS,
        max_age: float = CACHE_SECONDS,
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._max_age = max_age
        self._lock = threading.Lock()
        self._check: Check | None = None
        self._connection: BaseDatabaseWrapper | None = None
        self._told: dict[str, str] = {}
        # Once all migrations are applied they stay so, and their files are not read again.
        self._migrated = False

    def checks(self) -> dict[str, str]:
        """Return the state of each check by its name, at most `max_age` seconds old."""
        check = self._current()
        check.finished.wait(timeout=max(check.started_at + self._timeout - time.monotonic(), 0))
        checks, reason = check.checks, check.reason
        with self._lock:
            news, self._told = checks != self._told, checks
        if news:  # One line for each change, however frequent the requests.
            level = logging.INFO if is_ready(checks) else logging.WARNING
            logger.log(
                level,
                "Database %s, migrations %s, temporary files %s%s",
                *checks.values(),
                f": {reason}" if reason else ".",
            )
        return checks

    def close(self) -> None:
        """Close the connection after the run in progress."""
        if self._check is not None:
            self._check.finished.wait(timeout=self._timeout)
        if self._connection is not None:
            self._connection.close()

    def _current(self) -> Check:
        with self._lock:
            now, check = time.monotonic(), self._check
            if check is None or (check.finished.is_set() and now - check.started_at >= self._max_age):
                check = self._check = Check(now)
                threading.Thread(target=self._run, args=(check,), daemon=True).start()
            return check

    def _run(self, check: Check) -> None:
        try:
            state, problem = check_temporary_files()
            check.checks = {"database": TIMEOUT, "migrations": UNKNOWN, "temporary_files": state}
            self._query(check)
            if problem:
                check.reason = f"{check.reason}; {problem}" if check.reason else problem
        finally:
            check.finished.set()

    def _query(self, check: Check) -> None:
        if self._connection is None:
            self._connection = self._connect()
            # Each run has a new thread; they use the connection one after the other.
            self._connection.inc_thread_sharing()
        # The migration recorder queries by alias, so this thread's connection of that alias has to be ours.
        connections[self._connection.alias] = self._connection
        try:
            # As at the beginning of a request: replaces a connection that has broken.
            self._connection.close_if_unusable_or_obsolete()
            with self._connection.cursor() as cursor:
                cursor.execute(READ_ONLY_QUERIES.get(self._connection.vendor, "SELECT 'off'"))
                is_read_only = cursor.fetchone() != ("off",)
            if not self._migrated:
                executor = MigrationExecutor(self._connection)
                # Only migrations that this code knows count. While a newer version rolls out, the database
                # also has newer ones, with which this code works.
                self._migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        except Error as error:
            check.checks = check.checks | {"database": FAILED}
            check.reason = str(error).strip() or type(error).__name__
            self._connection.close()
        else:
            state = READ_ONLY if is_read_only else OK
            migrations = OK if self._migrated else UNAPPLIED
            check.checks = check.checks | {"database": state, "migrations": migrations}
            check.reason = "the database is read-only" if is_read_only else ""
            if is_read_only:
                # The server was demoted to a standby; the next connection may reach the new primary.
                self._connection.close()


def check_temporary_files() -> tuple[str, str]:
    """Return the state of the folder that uploads and PDFs need, and what is wrong with it."""
    try:
        with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as file:
            file.write(bytes(TEMPORARY_BYTES))
            file.flush()
    except OSError as error:
        return FULL if error.errno in NO_SPACE else FAILED, str(error.strerror)
    return OK, ""


def is_ready(checks: dict[str, str]) -> bool:
    return all(state == OK for state in checks.values())


readiness = Readiness(lambda: connections["default"].copy())


def _probe(check: Callable[[], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    @functools.wraps(check)
    def respond(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            response = check()
        else:
            response = HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        response["Content-Length"] = str(len(response.content))
        if request.method == "HEAD":
            response.content = b""
        return response

    return respond


@_probe
def alive() -> HttpResponse:
    return JsonResponse({"status": "alive"})


@_probe
def ready() -> HttpResponse:
    checks = readiness.checks()
    good = is_ready(checks)
    answer = {"status": "ready" if good else "not ready", "checks": checks}
    response = JsonResponse(answer, status=200 if good else 503)
    # Readiness.checks() logs changes; Django would log every 503 as a server error.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return response

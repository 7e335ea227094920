"""Whether the shop is alive, and whether it is ready: for the cluster and the load balancer.

`/healthz` says that the process answers; it asks nobody. `/readyz` says whether the database can be
reached, takes what is written, and is migrated as far as this code knows; if not, which of the two fails,
and no more than that.

Load balancer and cluster address a pod by its IP over plain http, so `MonitoringMiddleware` answers before
the Host is checked. ALLOWED_HOSTS stays strict for everything else.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

logger = logging.getLogger(__name__)

# Whoever asks more often gets the answer of before: readiness is no lever to load the database with.
CACHE_SECONDS = 1.0
# A database that says nothing for so long is as good as none.
TIMEOUT_SECONDS = 2.0

OK, FAILED, TIMEOUT, READ_ONLY, UNAPPLIED, UNKNOWN = (
    "ok",
    "failed",
    "timeout",
    "read_only",
    "unapplied",
    "unknown",
)
# What any database answers, and whether this one can be written to.
READ_ONLY_QUERIES = {"postgresql": "SHOW transaction_read_only"}


class DatabaseCheck:
    """What the database was asked at one time, and what it has answered by now."""

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.finished = threading.Event()
        self.checks = {"database": TIMEOUT, "migrations": UNKNOWN}
        self.reason = "no answer"


class Readiness:
    """Asks in a thread and over a connection of its own, one question at a time: a database that never
    answers holds up nobody for longer than `timeout`."""

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
        self._check: DatabaseCheck | None = None
        self._connection: BaseDatabaseWrapper | None = None
        self._told: dict[str, str] = {}
        # Once all are applied they stay so, and the files of all migrations are not read again.
        self._migrated = False

    def checks(self) -> dict[str, str]:
        """The state of each check by its name, at most `max_age` seconds old."""
        check = self._current()
        check.finished.wait(timeout=max(check.started_at + self._timeout - time.monotonic(), 0))
        checks, reason = check.checks, check.reason
        with self._lock:
            news, self._told = checks != self._told, checks
        if news:  # One line when it changes, however often it is asked.
            level = logging.INFO if is_ready(checks) else logging.WARNING
            logger.log(
                level, "Database %s, migrations %s%s", *checks.values(), f": {reason}" if reason else "."
            )
        return checks

    def close(self) -> None:
        """Give the connection back, after the question that is out."""
        if self._check is not None:
            self._check.finished.wait(timeout=self._timeout)
        if self._connection is not None:
            self._connection.close()

    def _current(self) -> DatabaseCheck:
        with self._lock:
            now, check = time.monotonic(), self._check
            if check is None or (check.finished.is_set() and now - check.started_at >= self._max_age):
                check = self._check = DatabaseCheck(now)
                threading.Thread(target=self._run, args=(check,), daemon=True).start()
            return check

    def _run(self, check: DatabaseCheck) -> None:
        try:
            self._query(check)
        finally:
            check.finished.set()

    def _query(self, check: DatabaseCheck) -> None:
        if self._connection is None:
            self._connection = self._connect()
            # Each question is asked by a new thread, one after the other.
            self._connection.inc_thread_sharing()
        # What is applied is read by whatever connection the thread has under this name.
        connections[self._connection.alias] = self._connection
        try:
            # As at the beginning of a request: a connection that broke meanwhile is made anew.
            self._connection.close_if_unusable_or_obsolete()
            with self._connection.cursor() as cursor:
                cursor.execute(READ_ONLY_QUERIES.get(self._connection.vendor, "SELECT 'off'"))
                is_read_only = cursor.fetchone() != ("off",)
            if not self._migrated:
                executor = MigrationExecutor(self._connection)
                # Only what this code knows counts: while a newer version rolls out, the database has
                # migrations that the older one has never heard of, and with which it works.
                self._migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        except Error as error:
            check.checks = {"database": FAILED, "migrations": UNKNOWN}
            check.reason = str(error).strip() or type(error).__name__
            self._connection.close()
        else:
            state = READ_ONLY if is_read_only else OK
            check.checks = {"database": state, "migrations": OK if self._migrated else UNAPPLIED}
            check.reason = "it takes nothing that is written" if is_read_only else ""
            if is_read_only:
                # A server that was demoted to a standby: the next connection may lead to the new one.
                self._connection.close()


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
    # What changes is logged above, once; Django would log every 503 as an error of the shop.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return response

"""Health checks, as the cluster and the load balancer request them."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock, skipUnless

from django.conf import settings
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client, SimpleTestCase, TransactionTestCase, override_settings

from lori_assignment.observability import health
from lori_assignment.observability.health import Readiness

HEALTH = "lori_assignment.observability.metrics.MonitoringMiddleware"
# The load balancer sends plain http, with the pod's address as the Host.
BY_ADDRESS = {"headers": {"host": "10.0.47.11:8000"}, "secure": False}

GOOD = {"database": "ok", "migrations": "ok", "temporary_files": "ok"}

in_production = override_settings(
    DEBUG=False, ALLOWED_HOSTS=["shop.example"], SECURE_SSL_REDIRECT=True, SECURE_PROXY_SSL_HEADER=None
)


def asked(**details: Any) -> Readiness:
    """Return a Readiness that queries the tests' database each time."""
    return Readiness(lambda: connections["default"].copy(), **{"max_age": 0.0, "timeout": 20.0} | details)


def postgresql_at(port: int) -> DatabaseWrapper:
    facts = {"ENGINE": "", "NAME": "shop", "USER": "u", "PASSWORD": "p", "HOST": "127.0.0.1", "PORT": port}
    defaults = connections["default"].settings_dict
    return DatabaseWrapper({**defaults, **facts, "OPTIONS": {}, "CONN_HEALTH_CHECKS": True}, "default")


def behind_host_check() -> list[str]:
    middleware = [name for name in settings.MIDDLEWARE if name != HEALTH]
    middleware.insert(middleware.index("django.middleware.common.CommonMiddleware") + 1, HEALTH)
    return middleware


@in_production
class LivenessTest(SimpleTestCase):
    # SimpleTestCase refuses every query, so liveness does not depend on the database.
    def test_any_host_over_http_is_alive(self) -> None:
        for path in ("/healthz", "/healthz/"):
            for host in ("10.0.47.11:8000", "shop.example", "", "[fd00::1]:8000", "under_score", "a b"):
                with self.subTest(path=path, host=host):
                    answer = self.client.get(path, headers={"host": host})
                    self.assertEqual((answer.status_code, answer.json()), (200, {"status": "alive"}))
                    self.assertEqual(answer["Cache-Control"], "no-store")
                    self.assertFalse(answer.cookies)

    def test_check_fails_behind_host_validation(self) -> None:
        for middleware in (
            behind_host_check(),
            [name for name in settings.MIDDLEWARE if name != HEALTH],
        ):
            with override_settings(MIDDLEWARE=middleware):
                self.assertNotEqual(Client().get("/healthz", **BY_ADDRESS).status_code, 200)

    def test_other_paths_still_check_the_host(self) -> None:
        for path in ("/", "/healthz/x", "/healthzz", "/x/healthz", "//healthz", "/robots.txt"):
            with self.subTest(path=path):
                self.assertEqual(self.client.get(path, **BY_ADDRESS | {"secure": True}).status_code, 400)
                answer = self.client.get(path, headers={"host": "shop.example"})
                self.assertEqual(answer.status_code, 301)

    def test_only_get_and_head_are_allowed(self) -> None:
        head = self.client.head("/healthz", **BY_ADDRESS)
        self.assertEqual((head.status_code, head.content, head["Content-Length"]), (200, b"", "19"))
        for method in ("post", "put", "delete", "patch", "options"):
            for path in ("/healthz", "/readyz"):
                answer = getattr(self.client, method)(path, **BY_ADDRESS)
                self.assertEqual((answer.status_code, answer["Allow"]), (405, "GET, HEAD"))


@in_production
class ReadinessTest(TransactionTestCase):
    serialized_rollback = True

    def use(self, readiness: Readiness) -> Readiness:
        self.addCleanup(readiness.close)
        patched = mock.patch.object(health, "readiness", readiness)
        patched.start()
        self.addCleanup(patched.stop)
        return readiness

    def ask(self) -> tuple[int, dict[str, str]]:
        answer = self.client.get("/readyz", **BY_ADDRESS)
        self.assertEqual(answer["Cache-Control"], "no-store")
        self.assertEqual(set(answer.json()), {"status", "checks"})
        self.assertEqual(answer.json()["status"], "ready" if answer.status_code == 200 else "not ready")
        return answer.status_code, answer.json()["checks"]

    def test_migrated_database_is_ready(self) -> None:
        self.use(asked())
        self.assertEqual(self.ask(), (200, GOOD))
        self.assertEqual(self.client.get("/readyz/", **BY_ADDRESS).status_code, 200)
        with override_settings(MIDDLEWARE=behind_host_check()):
            self.assertNotEqual(Client().get("/readyz", **BY_ADDRESS).status_code, 200)

    def test_full_temporary_folder_is_not_ready(self) -> None:
        self.use(asked())
        # Writing to this device fails as it does on a full disk.
        device = Path("/dev/full").open("wb")  # noqa: SIM115  # The check closes it.
        full = mock.patch("tempfile.TemporaryFile", return_value=device)
        with full, self.assertLogs("lori_assignment.observability.health", "WARNING") as told:
            self.assertEqual(self.ask(), (503, GOOD | {"temporary_files": "full"}))
        self.assertIn("temporary files full: No space left on device", told.output[0])
        self.assertEqual(self.ask(), (200, GOOD))

    def test_missing_temporary_folder_is_not_ready(self) -> None:
        self.use(asked())
        with override_settings(FILE_UPLOAD_TEMP_DIR="/nowhere"):
            self.assertEqual(self.ask(), (503, GOOD | {"temporary_files": "failed"}))

    def test_all_that_is_wrong_is_logged(self) -> None:
        self.use(Readiness(lambda: postgresql_at(1)))
        missing = override_settings(FILE_UPLOAD_TEMP_DIR="/nowhere")
        with missing, self.assertLogs("lori_assignment.observability.health", "WARNING") as told:
            self.assertEqual(self.ask()[0], 503)
        self.assertRegex(told.output[0], "(?s)refused.*; No such file or directory")

    def test_unapplied_migration_is_not_ready(self) -> None:
        applied = MigrationRecorder(connection).migration_qs.filter(app="rentals").latest("pk")
        applied.delete()
        self.addCleanup(applied.save)
        self.use(asked())
        self.assertEqual(self.ask(), (503, GOOD | {"migrations": "unapplied"}))
        applied.save()
        self.assertEqual(self.ask(), (200, GOOD))

    @skipUnless(connection.vendor == "postgresql", "SQLite has no such state.")
    def test_read_only_database_is_not_ready(self) -> None:
        self.use(asked())
        self.assertEqual(self.ask()[0], 200)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            (name,) = cursor.fetchone()
            cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only TO on')
        try:
            health.readiness.close()
            self.assertEqual(self.ask(), (503, GOOD | {"database": "read_only"}))
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        self.assertEqual(self.ask(), (200, GOOD))

    @skipUnless(connection.vendor == "postgresql", "SQLite counts no connections.")
    def test_check_uses_its_own_connection(self) -> None:
        applied = MigrationRecorder(connection).migration_qs.filter(app="rentals").latest("pk")
        applied.delete()
        self.addCleanup(applied.save)
        self.use(asked())
        for _ in range(3):
            self.assertEqual(self.ask()[1]["migrations"], "unapplied")
        with connection.cursor() as cursor:
            # In the order of their start: the tests' connection, and that of the check.
            cursor.execute(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() ORDER BY backend_start"
            )
            queries = [query for (query,) in cursor.fetchall()]
        self.assertEqual(len(queries), 2, queries)
        self.assertIn("django_migrations", queries[1])

    def test_newer_migration_is_ignored(self) -> None:
        recorder = MigrationRecorder(connection)
        recorder.record_applied("rentals", "9999_of_tomorrow")
        self.addCleanup(recorder.record_unapplied, "rentals", "9999_of_tomorrow")
        self.use(asked())
        self.assertEqual(self.ask()[0], 200)

    def test_applied_migrations_are_read_once(self) -> None:
        self.use(asked())
        self.assertEqual(self.ask()[0], 200)
        with mock.patch.object(MigrationExecutor, "__init__", side_effect=AssertionError("read again")):
            self.assertEqual(self.ask()[0], 200)

    def test_result_is_cached_for_a_second(self) -> None:
        self.assertLessEqual(health.CACHE_SECONDS, 1)
        readiness = self.use(asked(max_age=0.5))
        self.assertEqual(self.ask()[0], 200)
        with mock.patch.object(readiness, "_query", wraps=readiness._query) as look:
            for _ in range(20):
                self.ask()
            self.assertEqual(look.call_count, 0)
            time.sleep(0.5)
            self.ask()
            self.assertEqual(look.call_count, 1)

    @skipUnless(connection.vendor == "postgresql", "SQLite's connections do not break.")
    def test_broken_connection_is_reopened(self) -> None:
        readiness = self.use(asked())
        self.assertEqual(self.ask()[0], 200)
        with connection.cursor() as cursor:
            theirs = readiness._connection.connection.info.backend_pid
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [theirs])
        self.assertEqual(self.ask()[0], 200)

    def test_refused_connection_reveals_nothing(self) -> None:
        with socket.socket() as taken:  # Bound, but not listening.
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            self.use(Readiness(lambda: postgresql_at(port)))
            with (
                self.assertLogs("lori_assignment.observability.health", "WARNING") as told,
                self.assertNoLogs("django"),
            ):
                answer = self.client.get("/readyz", **BY_ADDRESS)
        self.assertEqual(answer.status_code, 503)
        self.assertEqual(answer.json()["checks"], GOOD | {"database": "failed", "migrations": "unknown"})
        self.assertNotIn("127.0.0.1", answer.text)
        self.assertIn("127.0.0.1", told.output[0])

    def test_unresponsive_database_times_out(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            readiness = self.use(Readiness(lambda: postgresql_at(port), timeout=0.3, max_age=0))
            begun, threads = time.monotonic(), threading.active_count()
            outcomes: list[Any] = []
            askers = [threading.Thread(target=lambda: outcomes.append(readiness.checks())) for _ in range(8)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            waiting = GOOD | {"database": "timeout", "migrations": "unknown"}
            self.assertEqual(outcomes, [waiting] * 8)
            # A request during the timeout gets the result at once.
            self.assertEqual(self.ask(), (503, waiting))
            self.assertLess(time.monotonic() - begun, 2)
            self.assertEqual(threading.active_count(), threads + 1)

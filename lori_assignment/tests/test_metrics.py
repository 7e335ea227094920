"""Requests are counted by route, and the metrics require a token."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import TestCase, mock

from django.conf import settings
from django.test import Client, SimpleTestCase, override_settings, tag
from django.test import TestCase as DatabaseTestCase
from prometheus_client.parser import text_string_to_metric_families

from lori_assignment.server import gunicorn_conf
from lori_assignment.server.gunicorn_conf import prepare_metrics_folder

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
TOKEN = "a-token-that-is-only-for-these-tests-1234"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def told(client: Client) -> dict[tuple[str, ...], float]:
    """Return the counted requests by method, route and status, and the timed ones by method and route."""
    answer = client.get("/metrics", headers=BEARER)
    return {
        (
            *(sample.labels[name] for name in ("method", "route", "status") if name in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name in ("http_requests_total", "http_request_duration_seconds_count")
    }


@override_settings(METRICS_TOKEN=TOKEN, ALLOWED_HOSTS=["testserver"])
class AccessTest(SimpleTestCase):
    def test_token_allows_any_host_over_http(self) -> None:
        with override_settings(SECURE_SSL_REDIRECT=True):
            for path in ("/metrics", "/metrics/"):
                answer = self.client.get(path, headers=BEARER | {"host": "10.0.47.11:8000"})
                self.assertEqual(answer.status_code, 200)
                self.assertIn("# TYPE http_requests_total counter", answer.text)
                self.assertEqual(answer["Cache-Control"], "no-store")
                self.assertTrue(answer["Content-Type"].startswith("text/plain"))
        head = self.client.head("/metrics", headers=BEARER)
        self.assertEqual((head.status_code, head.content), (200, b""))
        self.assertEqual(self.client.post("/metrics", headers=BEARER).status_code, 405)

    def test_missing_or_wrong_token_is_404(self) -> None:
        for given in (
            "",
            "Bearer",
            "Bearer ",
            f"bearer {TOKEN}",
            TOKEN,
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            "Bearer ü",
        ):
            for method in ("get", "head", "post"):
                with self.subTest(given=given, method=method):
                    answer = getattr(self.client, method)("/metrics", headers={"authorization": given})
                    self.assertEqual(answer.status_code, 404)
                    self.assertNotIn("http_requests", answer.text)

    def test_unset_token_is_404(self) -> None:
        with override_settings(METRICS_TOKEN=""):
            for given in ("Bearer ", "Bearer", ""):
                self.assertEqual(
                    self.client.get("/metrics", headers={"authorization": given}).status_code, 404
                )


@override_settings(METRICS_TOKEN=TOKEN, ALLOWED_HOSTS=["testserver"])
class RequestCountTest(DatabaseTestCase):
    def test_requests_are_counted_by_route(self) -> None:
        before = told(self.client)
        for path in ("/books/987654/", "/books/987655/", "/api/v3/books/987654", "/robots.txt"):
            self.client.get(path)
        self.client.post("/api-token-auth/", {})
        self.client.get("/robots.txt", headers={"host": "elsewhere.example"})
        self.client.get("/no/such/secret-address/")
        self.client.get("/healthz")
        self.client.generic("BREW", "/robots.txt")
        after = told(self.client)
        self.assertEqual(
            {
                labels: value - before.get(labels, 0)
                for labels, value in after.items()
                if value != before.get(labels, 0)
            },
            {
                ("GET", "/books/<int:pk>/", "404"): 2,
                ("GET", "/books/<int:pk>/"): 2,
                ("GET", "/api/v3/books/<pk>/", "404"): 1,
                ("GET", "/api/v3/books/<pk>/"): 1,
                ("GET", "/robots.txt", "200"): 1,
                ("GET", "/robots.txt"): 1,
                ("POST", "/api-token-auth/", "400"): 1,
                ("POST", "/api-token-auth/"): 1,
                # One with an unknown Host and one with an unknown path.
                ("GET", "none", "400"): 1,
                ("GET", "none", "404"): 1,
                ("GET", "none"): 2,
                # A request with an unknown method is refused before its path is resolved.
                ("other", "none", "405"): 1,
                ("other", "none"): 1,
            },
        )
        self.assertNotIn("secret-address", self.client.get("/metrics", headers=BEARER).text)

    def test_middleware_precedes_the_security_checks(self) -> None:
        order = settings.MIDDLEWARE.index
        refusing = "django.middleware.common.CommonMiddleware"
        self.assertLess(order("lori_assignment.observability.metrics.MonitoringMiddleware"), order(refusing))


@tag("any_database")
class MultiprocessTest(TestCase):
    """The metrics of several processes, such as gunicorn's workers, are added up."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "metrics"
        given = mock.patch.dict(os.environ, {FOLDER: str(self.folder)})
        given.start()
        self.addCleanup(given.stop)

    def run_code(self, code: str) -> tuple[int, str]:
        """Run `code` in another process; return its id and output."""
        start = "import os, sys, django; django.setup()\nfrom lori_assignment.observability import metrics\n"
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "lori_assignment.settings",
            "DEBUG": "on",
            "METRICS_TOKEN": TOKEN,
        }
        process = subprocess.Popen(  # noqa: S603  # Our own interpreter and code.
            [sys.executable, "-c", start + code],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        said, _ = process.communicate()
        self.assertEqual(process.returncode, 0)
        return process.pid, said

    def counted(self) -> str:
        return self.run_code("print(metrics.generate_latest(metrics._registry()).decode())")[1]

    def test_sum_includes_ended_processes(self) -> None:
        prepare_metrics_folder("8000")
        count = (
            "metrics.REQUESTS.labels('GET', '/', 200).inc(2); metrics.SECONDS.labels('GET', '/').observe(0.3)"
        )
        pids = [self.run_code(count)[0] for _ in range(3)]
        for pid in pids:
            gunicorn_conf.child_exit(None, mock.Mock(pid=pid))
        reported = self.counted()
        self.assertIn('http_requests_total{method="GET",route="/",status="200"} 6.0', reported)
        self.assertIn('http_request_duration_seconds_count{method="GET",route="/"} 3.0', reported)

    def test_a_worker_that_has_ended_leaves_two_files(self) -> None:
        prepare_metrics_folder("8000")
        pid, _ = self.run_code(
            "metrics.REQUESTS.labels('GET', '/', 200).inc(); metrics.SECONDS.labels('GET', '/').observe(1)"
        )
        gunicorn_conf.child_exit(None, mock.Mock(pid=pid))
        left = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(left, [f"counter_{pid}.db", f"histogram_{pid}.db"])

    def test_old_files_are_removed_at_start(self) -> None:
        self.folder.mkdir()
        (self.folder / "counter_1.db").write_bytes(b"of another life")
        prepare_metrics_folder("8000")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_default_folder_is_private(self) -> None:
        with (
            mock.patch.dict(os.environ),
            mock.patch.object(gunicorn_conf, "_given", mock.Mock(temporary_folder=self.folder.parent)),
        ):
            del os.environ[FOLDER]
            prepare_metrics_folder("8123")
            made = Path(os.environ[FOLDER])
            self.assertEqual(made, self.folder.parent / "lori-metrics-8123")
            self.assertEqual(made.stat().st_mode & 0o777, 0o700)

    def test_foreign_folder_is_refused(self) -> None:
        (self.folder.parent / "elsewhere").mkdir()
        self.folder.symlink_to(self.folder.parent / "elsewhere")
        with self.assertRaisesRegex(SystemExit, "belongs to another user"):
            prepare_metrics_folder("8000")

    def test_request_is_not_counted_while_there_is_no_room(self) -> None:
        """Writing to /dev/full fails as it does on a full disk."""
        prepare_metrics_folder("8000")
        code = (
            "from pathlib import Path\n"
            f"folder = Path({str(self.folder)!r})\n"
            "files = [folder / f'{kind}_{os.getpid()}.db' for kind in metrics._KINDS]\n"
            "for file in files: file.symlink_to('/dev/full')\n"
            "metrics.count_request('GET', '/full', 200, 0.1)\n"
            "print(*map(os.path.lexists, files))\n"
            "for file in files: file.unlink(missing_ok=True)\n"
            "metrics.count_request('GET', '/room', 200, 0.1)\n"
        )
        _, said = self.run_code(code)
        # A file without content would be an error when the metrics are read.
        self.assertEqual(said.split()[0], "False")
        reported = self.counted()
        self.assertNotIn("/full", reported)
        self.assertIn('http_requests_total{method="GET",route="/room",status="200"} 1.0', reported)

    def test_request_is_not_counted_without_the_folder(self) -> None:
        code = "metrics.count_request('GET', '/', 200, 0.1); print(os.path.exists(os.environ[FOLDER]))"
        self.assertEqual(self.run_code(code.replace("FOLDER", repr(FOLDER)))[1], "False\n")

    def test_series_fit_into_the_room_that_was_made(self) -> None:
        """Otherwise the kernel would end a worker whose disk is full."""
        prepare_metrics_folder("8000")
        code = """
import struct
from pathlib import Path
from django.urls import get_resolver
longest = "/" + "x" * 300 + "/"
def used(kind):
    file = Path(os.environ["FOLDER"], f"{kind}_{os.getpid()}.db")
    return struct.unpack("i", file.read_bytes()[:4])[0] if file.exists() else 0
for number in range(60):
    before = {kind: used(kind) for kind in metrics._KINDS}
    metrics.count_request("OPTIONS", f"{longest}{number}", 200, 0.1)
    for kind in metrics._KINDS:
        assert 0 < used(kind) - before[kind] < metrics.SERIES_BYTES, (kind, used(kind), before)
        file = Path(os.environ["FOLDER"], f"{kind}_{os.getpid()}.db")
        assert file.stat().st_size >= used(kind)
metrics.count_request("OPTIONS", f"{longest}59", 200, 0.1)
"""
        self.run_code(code.replace("FOLDER", FOLDER).replace("from django.urls import get_resolver\n", ""))
        self.assertIn(" 2.0\n", self.counted())

    def test_a_worker_that_has_ended_is_marked_dead(self) -> None:
        with mock.patch("prometheus_client.multiprocess.mark_process_dead") as mark_process_dead:
            gunicorn_conf.child_exit(None, mock.Mock(pid=77))
        mark_process_dead.assert_called_once_with(77)

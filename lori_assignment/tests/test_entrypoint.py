"""`entrypoint.sh` runs the right program for each argument."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import TestCase, mock

from django.conf import settings
from django.test import SimpleTestCase, override_settings, tag

from lori_assignment.server import gunicorn_conf
from lori_assignment.server.environment import ServerEnvironment, read_environment


class ServerEnvironmentTest(SimpleTestCase):
    def test_bad_variable_is_named(self) -> None:
        for name, values in {
            "WEB_CONCURRENCY": ("x", "0", "-1", "1.5", "", "²", "101", "9" * 5000),
            "PORT": ("x", "0", "65536", "99999", " 80", "8\n0"),
            "BIND": ("", "nonsense", "::1", "[127.0.0.1]", "127.0.0.1:80", "[::1", "1.2.3.4\n"),
            "TMPDIR": ("/nowhere", __file__),
        }.items():
            for given in values:
                with (
                    self.subTest(name=name, given=given),
                    mock.patch.dict(os.environ, {name: given}),
                    self.assertRaisesRegex(ValueError, rf"\A{name} must be [^\n]*\.\Z"),
                ):
                    read_environment()

    def test_good_variables_are_read(self) -> None:
        given = {"BIND": "[::1]", "PORT": "65535", "WEB_CONCURRENCY": "100", "TMPDIR": "/"}
        with mock.patch.dict(os.environ, given):
            self.assertEqual(read_environment(), ServerEnvironment("[::1]", 65_535, 100, "/"))
        with mock.patch.dict(os.environ, BIND="localhost"):
            self.assertEqual(read_environment().bind, "localhost")

    def test_defaults_are_used_where_nothing_is_given(self) -> None:
        with mock.patch.dict(os.environ, clear=True):
            self.assertEqual(read_environment(), ServerEnvironment("0.0.0.0", 8000, 2, "/tmp"))  # noqa: S104, S108


@tag("any_database")
class RefusedStartTest(SimpleTestCase):
    """Every way to start ends with one sentence, with the real programs."""

    def assert_refused(self, sentence: str, *words: str, **given: str) -> None:
        programs = Path(sys.executable).parent
        done = subprocess.run(  # noqa: S603  # Our own programs.
            words,
            cwd=settings.BASE_DIR,
            env={"PATH": f"{programs}:{os.environ['PATH']}", "DEBUG": "on"} | given,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, f"Lori Books cannot start: {sentence}\n")

    def test_number_of_workers(self) -> None:
        sentence = "WEB_CONCURRENCY must be a whole number from 1 to 100."
        for words in (
            ["./entrypoint.sh", "serve"],
            ["./entrypoint.sh", "migrate"],
            [sys.executable, "manage.py", "check"],
        ):
            with self.subTest(words=words):
                self.assert_refused(sentence, *words, WEB_CONCURRENCY="x")

    def test_port(self) -> None:
        gunicorn = [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            "lori_assignment/server/gunicorn_conf.py",
            "x",
        ]
        for words in (["./entrypoint.sh"], ["./entrypoint.sh", "check"], gunicorn):
            with self.subTest(words=words):
                self.assert_refused("PORT must be a whole number from 1 to 65535.", *words, PORT="99999")

    def test_debug_of_a_public_site(self) -> None:
        sentence = (
            "DEBUG must be off where SITE_URL is public, or error pages show settings and data to anybody."
        )
        for words in (["./entrypoint.sh", "migrate"], [sys.executable, "-m", "lori_assignment.wsgi"]):
            with self.subTest(words=words):
                self.assert_refused(sentence, *words, SITE_URL="http://shop.example")

    def test_debug_for_other_machines(self) -> None:
        """By default the server listens at all addresses."""
        self.assert_refused(
            "DEBUG must be off where the server listens at 0.0.0.0 and not at 127.0.0.1, or error pages show "
            "settings and data to anybody.",
            *("./entrypoint.sh", "serve", "--log-level=warning"),
        )

    def test_metrics_folder(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            self.assert_refused(
                f"the metrics folder {file.name + '/x'!r} cannot be used (Not a directory).",
                *("./entrypoint.sh", "serve"),
                PROMETHEUS_MULTIPROC_DIR=f"{file.name}/x",
            )


class MasterTest(SimpleTestCase):
    """gunicorn's master, without its processes."""

    def test_it_goes_on_without_a_worker(self) -> None:
        spawn = mock.Mock(side_effect=[OSError(28, "No space left on device"), RuntimeError("no folder"), 7])
        server = SimpleNamespace(spawn_worker=spawn, log=mock.Mock(), cfg=SimpleNamespace(address=[]))
        gunicorn_conf.on_starting(server)
        for _ in range(3):
            server.spawn_worker()
        self.assertEqual((spawn.call_count, server.log.error.call_count), (3, 2))

    def test_other_errors_end_it(self) -> None:
        server = SimpleNamespace(spawn_worker=mock.Mock(side_effect=ZeroDivisionError))
        gunicorn_conf.keep_master(server)
        with self.assertRaises(ZeroDivisionError):
            server.spawn_worker()

    @override_settings(DEBUG=True)
    def test_debug_is_for_this_machine(self) -> None:
        gunicorn_conf.check_debug(
            [(host, 80) for host in ("127.0.0.1", "::1", "localhost")] + ["/run/socket"]
        )
        for host in ("0.0.0.0", "10.0.0.1", "::", "shop.example"):  # noqa: S104
            with self.subTest(host), self.assertRaises(SystemExit):
                gunicorn_conf.check_debug([("127.0.0.1", 80), (host, 80)])
        with override_settings(DEBUG=False):
            gunicorn_conf.check_debug([("0.0.0.0", 80)])  # noqa: S104

    def test_address_that_is_taken_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with self.assertRaises(SystemExit) as ended:
                gunicorn_conf.check_addresses(["/run/shop.socket", ("127.0.0.1", port)])
        self.assertEqual(
            ended.exception.code,
            f"Lori Books cannot start: it cannot listen at 127.0.0.1, port {port} (Address already in use).",
        )

    def test_address_of_a_server_that_is_replaced_is_free(self) -> None:
        with socket.create_server(("127.0.0.1", 0), reuse_port=True) as old:
            gunicorn_conf.check_addresses([old.getsockname()])


class EntrypointTest(TestCase):
    """Runs the real script with fake programs that record how they are called."""

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.calls = Path(place.name) / "calls"
        self.calls.touch()
        for name in ("python", "gunicorn"):
            program = Path(place.name) / name
            program.write_text(f'#!/bin/sh\necho "$PWD: {name} $*" >>"{self.calls}"\nexit "${{STATUS:-0}}"\n')
            program.chmod(0o755)
        self.path = f"{place.name}:{os.environ['PATH']}"

    def start(self, *words: str, status: int = 0) -> tuple[int, list[str]]:
        """Return the exit status and the recorded calls."""
        self.calls.write_text("")
        done = subprocess.run(  # noqa: S603  # Our own script.
            [settings.BASE_DIR / "entrypoint.sh", *words],
            cwd="/",
            env={"PATH": self.path, "STATUS": str(status)},
            check=False,
        )
        return done.returncode, self.calls.read_text().splitlines()

    def test_each_word_runs_its_program(self) -> None:
        gunicorn = "gunicorn --config lori_assignment/server/gunicorn_conf.py"
        serve = f"{gunicorn} lori_assignment.wsgi"
        check = "python -m lori_assignment.server.environment"
        for words, call in [
            ((), serve),
            (("serve",), serve),
            (("serve", "--threads=8"), f"{gunicorn} --threads=8 lori_assignment.wsgi"),
            # Only migrate, never makemigrations: new migrations would be in no repository.
            (("migrate",), "python manage.py migrate --no-input --if-needed"),
            (("expire_holds",), "python manage.py expire_holds"),
            (("shell", "-c", "print(1)"), "python manage.py shell -c print(1)"),
        ]:
            with self.subTest(words=words):
                calls = [call] if call.startswith("python") else [check, call]
                told = [f"{settings.BASE_DIR}: {one}" for one in calls]
                self.assertEqual(self.start(*words), (0, told))

    def test_server_gets_malloc_settings(self) -> None:
        """glibc reads these when a program starts, so they must be set before."""
        gunicorn = Path(self.path.split(":")[0]) / "gunicorn"
        gunicorn.write_text(f'#!/bin/sh\nenv >"{self.calls}"\n')
        _status, told = self.start("serve")
        wanted = {"MALLOC_MMAP_THRESHOLD_=262144", "MALLOC_TRIM_THRESHOLD_=131072", "MALLOC_ARENA_MAX=1"}
        self.assertLessEqual(wanted, set(told))

    def test_failure_status_is_passed_on(self) -> None:
        for words in ((), ("migrate",), ("expire_holds",)):
            with self.subTest(words=words):
                status, calls = self.start(*words, status=3)
                self.assertEqual((status, len(calls)), (3, 1))

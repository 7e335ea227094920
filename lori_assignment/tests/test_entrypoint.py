"""`entrypoint.sh` runs the right program for each argument."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from unittest import TestCase, mock

from django.conf import settings
from django.test import SimpleTestCase

from lori_assignment.server.gunicorn_conf import read_number


class ServerNumbersTest(SimpleTestCase):
    def test_bad_number_ends_the_start_with_one_sentence(self) -> None:
        for given in ("x", "0", "-1", "1.5", "", "²"):
            with self.subTest(given=given), mock.patch.dict(os.environ, WEB_CONCURRENCY=given):
                with self.assertRaises(SystemExit) as ended:
                    read_number("WEB_CONCURRENCY", 2)
                self.assertEqual(
                    ended.exception.code,
                    f"Lori Books cannot start: WEB_CONCURRENCY must be a whole number from 1, not {given!r}.",
                )

    def test_default_is_used_where_nothing_is_given(self) -> None:
        self.assertEqual(read_number("NO_SUCH_NUMBER", 2), 2)


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
                self.assertEqual(self.start(*words), (0, [f"{settings.BASE_DIR}: {call}"]))

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

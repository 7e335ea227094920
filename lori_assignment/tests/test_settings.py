"""What the environment must and must not say, each time in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import TestCase

from django.conf import settings

PRODUCTION = {
    "SECRET_KEY": "".join(chr(33 + number) for number in range(60)),
    "SITE_URL": "https://shop.example",
    "ALLOWED_HOSTS": "shop.example",
    "DATABASE_URL": "postgres://lori@127.0.0.1/lori",
    "EMAIL_URL": "smtp+tls://user:password@mail.example:587",
}


def start(shown: str = "", **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Load the settings with `environment` over the production one; print settings.`shown`."""
    given = PRODUCTION | environment
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ
    }
    code = (
        "import environ; environ.Env.read_env = lambda *a, **k: None\n"
        "from django.conf import settings\n"
        "from django.core.exceptions import ImproperlyConfigured\n"
        "try:\n    settings.DEBUG\n"
        "except ImproperlyConfigured as problem:\n    raise SystemExit(f'cannot start: {problem}')\n"
        f"print(repr(settings.{shown or 'DEBUG'}))\n"
    )
    return subprocess.run(  # noqa: S603  # Our own interpreter and code.
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env=kept
        | {"DJANGO_SETTINGS_MODULE": "lori_assignment.settings"}
        | {name: value for name, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


class ProductionTest(TestCase):
    def test_a_complete_environment_starts(self) -> None:
        started = start()
        self.assertEqual((started.stdout.strip(), started.stderr), ("False", ""))

    def test_what_is_missing_or_unsafe_stops_the_start_with_a_sentence_that_names_it(self) -> None:
        cases: list[tuple[str, str | None]] = [
            *((name, None) for name in PRODUCTION),
            ("SECRET_KEY", "short"),
            ("SECRET_KEY", "x" * 60),
            ("SECRET_KEY", "only-for-development-" * 3),
            ("TOKEN_SIGNING_KEY", "short"),
            ("TOKEN_SIGNING_KEY", PRODUCTION["SECRET_KEY"]),
            ("SITE_URL", "https://shop.example:abc"),
            ("SITE_URL", "https://shop.example/?x"),
            ("DATABASE_URL", ""),
            ("DATABASE_URL", "shop"),
            ("DATABASE_URL", "oranges://x"),
            ("EMAIL_URL", "smtp://mail.example:99999"),
            ("EMAIL_URL", "pigeon://mail.example"),
            ("TRUSTED_PROXIES", "-1"),
            ("TRUSTED_PROXIES", "some"),
            ("SITE_URL", "http://shop.example"),
            ("SITE_URL", "shop.example"),
            ("ALLOWED_HOSTS", "*"),
            ("ALLOWED_HOSTS", ""),
            ("TIME_ZONE", "Mars/Olympus"),
            ("CURRENCY", "dollars"),
            ("RATE_LIMITS", "maybe"),
            ("STAFF_SECOND_FACTOR", "perhaps"),
            ("LOG_LEVEL", "loud"),
        ]
        for name, value in cases:
            with self.subTest(name=name, value=value):
                stopped = start(**{name: value})
                self.assertEqual(stopped.returncode, 1)
                self.assertRegex(stopped.stderr, rf"\Acannot start: {name} .*[.]\n\Z")

    def test_tokens_have_a_key_of_their_own_that_follows_the_secret_unless_it_is_given(self) -> None:
        show = "SIMPLE_JWT['SIGNING_KEY']"
        derived = start(show).stdout
        self.assertEqual(derived, start(show).stdout)
        self.assertGreaterEqual(len(derived), 64)
        self.assertNotIn(PRODUCTION["SECRET_KEY"], derived)
        other = "".join(chr(97 - number) for number in range(60))
        self.assertNotEqual(derived, start(show, SECRET_KEY=other).stdout)
        self.assertEqual(start(show, TOKEN_SIGNING_KEY=other).stdout, f"{other!r}\n")

    def test_manage_py_says_the_sentence_and_no_traceback(self) -> None:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
        stopped = subprocess.run(  # Our own interpreter and code.
            [sys.executable, "manage.py", "check"],
            cwd=settings.BASE_DIR,
            env=kept | PRODUCTION | {"SECRET_KEY": "short"},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(stopped.returncode, 1)
        self.assertEqual(
            stopped.stderr,
            "Lori Books cannot start: SECRET_KEY is too weak; give it at least 50 random characters.\n",
        )

    def test_a_shop_without_rate_limits_says_so(self) -> None:
        setup = "DEBUG and __import__('django').setup()"
        for limits, said in (("on", ""), ("off", "RATE_LIMITS is off")):
            started = start(setup, RATE_LIMITS=limits, DEBUG="on")
            self.assertEqual(started.returncode, 0)
            self.assertEqual("RATE_LIMITS is off" in started.stderr, bool(said))

    def test_https_insists_on_itself_and_a_local_shop_does_not(self) -> None:
        for site, expected in (("https://shop.example", "True"), ("http://localhost:8000", "False")):
            for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
                self.assertEqual(start(name, SITE_URL=site).stdout.strip(), expected)

    def test_postgresql_connections_are_kept_and_checked(self) -> None:
        database = start("DATABASES['default']").stdout
        self.assertIn("'CONN_MAX_AGE': 600", database)
        self.assertIn("'CONN_HEALTH_CHECKS': True", database)

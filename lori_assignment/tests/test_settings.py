"""Valid and invalid environments, each loaded in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import TestCase

from django.conf import settings
from django.test import tag

from lori_assignment.aws.secrets import BOTO_CONFIG

PRODUCTION = {
    "SECRET_KEY": "".join(chr(33 + number) for number in range(60)),
    "SITE_URL": "https://shop.example",
    "ALLOWED_HOSTS": "shop.example",
    "DATABASE_URL": "postgres://lori@127.0.0.1/lori",
    "EMAIL_URL": "smtp+tls://user:password@mail.example:587",
}
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-AbCdEf"
# botocore signs its requests; the signature is not checked.
KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}


class StandIn:
    """A fake Secrets Manager with one secret or none."""

    def __init__(self, held: dict[str, str] | None) -> None:
        found = {"Name": "shop", "ARN": ARN, "SecretString": json.dumps(held)}
        missing = {"__type": "ResourceNotFoundException", "message": "Not here."}
        status, body = (200, found) if held else (400, missing)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> StandIn:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def start(shown: str = "", **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Load the settings with `environment` in addition to the production one, and print settings.`shown`."""
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
        f"print(repr((settings.{shown or 'DEBUG'})))\n"
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


@tag("any_database")
class ProductionTest(TestCase):
    def test_a_complete_environment_starts(self) -> None:
        started = start()
        self.assertEqual((started.stdout.strip(), started.stderr), ("False", ""))

    def test_missing_or_unsafe_variable_is_named(self) -> None:
        cases: list[tuple[str, str | None]] = [
            *((name, None) for name in PRODUCTION),
            ("SECRET_KEY", "short"),
            ("SECRET_KEY", "x" * 60),
            ("SECRET_KEY", "only-for-development-" * 3),
            ("METRICS_TOKEN", "short"),
            ("METRICS_TOKEN", "x" * 40),
            ("TOKEN_SIGNING_KEY", "short"),
            ("TOKEN_SIGNING_KEY", PRODUCTION["SECRET_KEY"]),
            ("SITE_URL", "https://shop.example:abc"),
            ("SITE_URL", "https://shop.example/?x"),
            ("DATABASE_URL", ""),
            ("DATABASE_URL", "shop"),
            ("DATABASE_URL", "oranges://x"),
            ("EMAIL_URL", "smtp://mail.example:99999"),
            ("EMAIL_URL", "pigeon://mail.example"),
            ("EMAIL_URL", "ses://"),
            ("EMAIL_URL", "ses://Frankfurt"),
            ("EMAIL_URL", "ses://eu-central-1/x"),
            ("MEDIA_BUCKET", "No Bucket"),
            ("DATABASE_SECRET_ARN", "secret"),
            ("APP_SECRET_ARN", "secret"),
            ("TRUSTED_PROXIES", "-1"),
            ("TRUSTED_PROXIES", "some"),
            ("SITE_URL", "http://shop.example"),
            ("SITE_URL", "shop.example"),
            ("ALLOWED_HOSTS", "*"),
            ("ALLOWED_HOSTS", ""),
            ("TIME_ZONE", "Mars/Olympus"),
            ("CURRENCY", "dollars"),
            ("CURRENCY", "ABC"),
            ("CURRENCY", "usd"),
            # Four decimal places.
            ("CURRENCY", "CLF"),
            ("RATE_LIMITS", "maybe"),
            ("RESPONSE_CACHE_SECONDS", "soon"),
            ("STAFF_SECOND_FACTOR", "perhaps"),
            ("LOG_LEVEL", "loud"),
            ("LOG_FORMAT", "xml"),
            ("WEB_CONCURRENCY", "x"),
            ("PORT", "99999"),
            ("BIND", "shop"),
            ("TMPDIR", "/nowhere"),
            ("DEBUG", "maybe"),
            ("DEBUG", "on"),
            ("SITE_URL", "https://shop.example:99999"),
            ("SITE_URL", "https://shop.example:0"),
            ("SITE_URL", "https://[:::]"),
            ("ALLOWED_HOSTS", "https://shop.example"),
            ("ALLOWED_HOSTS", "shop.example:8000"),
            ("ALLOWED_HOSTS", "shop.example:8000,shop.example"),
            ("CSRF_TRUSTED_ORIGINS", "shop.example"),
            ("CSRF_TRUSTED_ORIGINS", "https://shop.example/"),
            ("DATABASE_URL", "postgres://lori@127.0.0.1:99999/lori"),
            ("DATABASE_URL", "sqlite:////dev/null/shop.sqlite3"),
            ("STATIC_ROOT", ""),
            ("STATIC_ROOT", "/dev/null/static"),
            ("MEDIA_URL", "/media"),
            ("MEDIA_URL", "ftp://shop.example/"),
            ("MEDIA_URL", "https://shop.example:99999/"),
            ("DEFAULT_FROM_EMAIL", "the desk"),
            ("DEFAULT_FROM_EMAIL", "desk@shop.example\nBcc: all@shop.example"),
        ]
        for name, value in cases:
            with self.subTest(name=name, value=value):
                stopped = start(**{name: value})
                self.assertEqual(stopped.returncode, 1)
                self.assertRegex(stopped.stderr, rf"\Acannot start: {name} .*[.]\n\Z")

    def test_usual_variables_are_accepted(self) -> None:
        for given in (
            {"SITE_URL": "https://[2001:db8::1]:8443"},
            {"ALLOWED_HOSTS": ".shop.example,10.0.0.1,[::1]"},
            {"CSRF_TRUSTED_ORIGINS": "https://shop.example,https://*.shop.example:8443"},
            {"MEDIA_URL": "https://covers.example/a/b/"},
            {"MEDIA_URL": "/"},
            {"DEFAULT_FROM_EMAIL": "Lori Books <desk@shop.example>"},
            {"DEFAULT_FROM_EMAIL": "desk@shop.example"},
            {"DEBUG": "1", "SITE_URL": "http://127.0.0.1:8000"},
        ):
            with self.subTest(given=given):
                started = start(**given)
                self.assertEqual((started.returncode, started.stderr), (0, ""))

    def test_sqlite_file_is_private(self) -> None:
        engine = start("DATABASES['default']['ENGINE']", DATABASE_URL="sqlite:///var/none.sqlite3").stdout
        self.assertEqual(engine, "'lori_assignment.db.backends.sqlite'\n")

    def test_token_key_is_derived_from_the_secret_key(self) -> None:
        show = "SIMPLE_JWT['SIGNING_KEY']"
        derived = start(show).stdout
        self.assertEqual(derived, start(show).stdout)
        self.assertGreaterEqual(len(derived), 64)
        self.assertNotIn(PRODUCTION["SECRET_KEY"], derived)
        other = "".join(chr(97 - number) for number in range(60))
        self.assertNotEqual(derived, start(show, SECRET_KEY=other).stdout)
        self.assertEqual(start(show, TOKEN_SIGNING_KEY=other).stdout, f"{other!r}\n")

    def test_manage_py_prints_no_traceback(self) -> None:
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
            "Lori Books cannot start: SECRET_KEY is too weak. Use at least 50 random characters.\n",
        )

    def test_disabled_rate_limits_are_reported(self) -> None:
        setup = "DEBUG and __import__('django').setup()"
        for limits, said in (("on", ""), ("off", "RATE_LIMITS is off")):
            started = start(setup, RATE_LIMITS=limits, DEBUG="on", SITE_URL="http://localhost:8000")
            self.assertEqual(started.returncode, 0)
            self.assertEqual("RATE_LIMITS is off" in started.stderr, bool(said))

    def test_https_is_enforced_except_locally(self) -> None:
        for site, expected in (("https://shop.example", "True"), ("http://localhost:8000", "False")):
            for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
                self.assertEqual(start(name, SITE_URL=site).stdout.strip(), expected)

    def test_postgresql_connections_are_persistent(self) -> None:
        database = start("DATABASES['default']").stdout
        for expected in ("'CONN_MAX_AGE': 600", "'CONN_HEALTH_CHECKS': True", "'connect_timeout': 5"):
            self.assertIn(expected, database)
        url = f"{PRODUCTION['DATABASE_URL']}?sslmode=require&connect_timeout=9"
        database = start("DATABASES['default']", DATABASE_URL=url).stdout
        for expected in ("'sslmode': 'require'", "'connect_timeout': 9", "'tcp_user_timeout': 15000"):
            self.assertIn(expected, database)


@tag("any_database")
class AwsTest(TestCase):
    def test_bucket_stores_covers_and_needs_a_region(self) -> None:
        self.assertIn("FileSystemStorage", start("STORAGES['default']").stdout)
        storage = start("STORAGES['default']", MEDIA_BUCKET="covers", AWS_REGION="eu-central-1").stdout
        for expected in (
            "lori_assignment.aws.s3_storage.Bucket",
            "covers",
            "eu-central-1",
            "'file_overwrite': False",
        ):
            self.assertIn(expected, storage)
        timeout = start(
            "STORAGES['default']['OPTIONS']['client_config'].read_timeout",
            MEDIA_BUCKET="covers",
            AWS_REGION="eu-central-1",
        )
        self.assertEqual(timeout.stdout, f"{BOTO_CONFIG.read_timeout}\n")
        for region in (None, "Frankfurt"):
            stopped = start(MEDIA_BUCKET="covers", AWS_REGION=region)
            self.assertRegex(stopped.stderr, r"\Acannot start: AWS_REGION .*[.]\n\Z")

    def test_mail_is_sent_by_ses(self) -> None:
        for name, expected in (
            ("EMAIL_BACKEND", "lori_assignment.aws.ses_email.SESEmailBackend"),
            ("AWS_SES_REGION_NAME", "eu-central-1"),
        ):
            self.assertEqual(start(name, EMAIL_URL="ses://eu-central-1").stdout.strip(), repr(expected))

    def test_database_password_comes_from_a_secret(self) -> None:
        database = start("DATABASES['default']", DATABASE_SECRET_ARN=ARN).stdout
        self.assertIn("'ENGINE': 'lori_assignment.db.backends.rotating_password'", database)
        self.assertIn(f"'SECRET_ARN': '{ARN}'", database)
        for url in ("postgres://lori:password@127.0.0.1/lori", "sqlite:///shop.sqlite3"):
            stopped = start(DATABASE_URL=url, DATABASE_SECRET_ARN=ARN)
            self.assertRegex(
                stopped.stderr, r"\Acannot start: With DATABASE_SECRET_ARN, DATABASE_URL .*[.]\n\Z"
            )

    def test_secret_provides_unset_variables(self) -> None:
        # In an environment variable such a value is read as the name of another variable.
        held = {"SECRET_KEY": f"${PRODUCTION['SECRET_KEY']}", "METRICS_TOKEN": "abcdefgh" * 5}
        with StandIn(held) as aws:
            shop = {"APP_SECRET_ARN": ARN, "AWS_ENDPOINT_URL": aws.url, **KEYS}
            shown = start("SECRET_KEY, settings.METRICS_TOKEN", SECRET_KEY=None, **shop).stdout
            self.assertEqual(shown.strip(), repr(tuple(held.values())))
            self.assertEqual(start("SECRET_KEY", **shop).stdout.strip(), repr(PRODUCTION["SECRET_KEY"]))
        with StandIn({"SECRET_KEY": "short"}) as aws:
            weak = start(SECRET_KEY=None, **shop | {"AWS_ENDPOINT_URL": aws.url})
            self.assertRegex(weak.stderr, r"\Acannot start: SECRET_KEY is too weak.*\n\Z")

    def test_unneeded_secret_is_not_read(self) -> None:
        given = {
            "APP_SECRET_ARN": ARN,
            "METRICS_TOKEN": "abcdefgh" * 5,
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        }
        self.assertEqual(start(**given, **KEYS).returncode, 0)

    def test_unreadable_secret_stops_the_start(self) -> None:
        for endpoint, why in (
            ("http://127.0.0.1:1", "EndpointConnectionError"),
            (None, "ResourceNotFoundException"),
        ):
            with self.subTest(why=why), StandIn(None) as aws:
                shop = {"APP_SECRET_ARN": ARN, "AWS_ENDPOINT_URL": endpoint or aws.url, **KEYS}
                stopped = start(SECRET_KEY=None, **shop)
                self.assertEqual(
                    stopped.stderr, f"cannot start: The secret in APP_SECRET_ARN can't be read: {why}.\n"
                )

    def test_boto3_is_not_loaded_without_aws(self) -> None:
        loaded = "DEBUG or 'boto3' in __import__('sys').modules"
        self.assertEqual(start(loaded).stdout.strip(), "False")


@tag("any_database")
class DeploymentCheckTest(TestCase):
    def test_deployment_check_passes(self) -> None:
        aws = {
            "MEDIA_BUCKET": "covers",
            "AWS_REGION": "eu-central-1",
            "EMAIL_URL": "ses://eu-central-1",
            "METRICS_TOKEN": "abcdefgh" * 5,
            "DATABASE_SECRET_ARN": ARN,
            "LOG_FORMAT": "json",
            "TRUSTED_PROXIES": "1",
        }
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
        for more in ({}, aws):
            with self.subTest(more=more):
                said = subprocess.run(  # Our own interpreter and code.
                    [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "DEBUG"],
                    cwd=settings.BASE_DIR,
                    env=kept | PRODUCTION | more,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual(
                    (said.returncode, said.stdout, said.stderr),
                    (0, "System check identified no issues (0 silenced).\n", ""),
                )

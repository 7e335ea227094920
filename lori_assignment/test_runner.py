"""The test runner: Django's own, with coverage on request and a password hash that takes no time."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.db import connection
from django.test.runner import DiscoverRunner
from django.utils.log import configure_logging

from lori_assignment.test_coverage import report_coverage


class LoriTestRunner(DiscoverRunner):
    """`manage.py test [--with-coverage]`."""

    def __init__(self, *, with_coverage: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.with_coverage = with_coverage

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--with-coverage",
            action="store_true",
            help="Measure line and branch coverage; fail when it is below the bar in pyproject.toml.",
        )

    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        # The real hash is slow by design; the suite makes thousands of users.
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        # Static files are found when one is asked for. Else each test's client looks for all of them
        # first, which took longer than the requests that it makes.
        settings.WHITENOISE_AUTOREFRESH = True
        # Tests look at fresh data; those of the cache turn it on.
        settings.RESPONSE_CACHE_SECONDS = 0
        # A thread does not see what a test has not committed, and most tests commit nothing.
        settings.MAIL_AFTERWARDS = False
        # Thousands of refusals are meant; only what is a bug is worth a line. In the settings, because
        # a test that loads the WSGI application sets up the log anew.
        settings.LOGGING["loggers"]["django.request"] = {"level": "ERROR"}
        settings.LOGGING["loggers"]["django.security"] = {"level": "CRITICAL"}
        settings.LOGGING["loggers"]["security"] = {"level": "CRITICAL"}
        configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)

    def setup_databases(self, **kwargs: Any) -> Any:
        # Django copies SQLite's file for each parallel process, and not the write-ahead log beside
        # it, where most of a fresh database still is: so the log goes into the file first.
        processes, self.parallel = self.parallel, 0
        created = super().setup_databases(**kwargs)
        self.parallel = processes
        if processes > 1:
            if connection.vendor == "sqlite":
                with connection.cursor() as cursor:
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for number in range(processes):
                connection.creation.clone_test_db(suffix=str(number + 1), verbosity=self.verbosity)
        return created

    def run_tests(self, test_labels: list[str], **kwargs: Any) -> int:
        failures = super().run_tests(test_labels, **kwargs)
        if self.with_coverage and not report_coverage():
            self.log("Coverage is below the bar.", level=logging.ERROR)
            failures += 1
        return failures

"""Django's test runner with optional coverage and a fast password hash.

SQLite runs all tests. PostgreSQL, with `--database-tests`, runs those whose result can depend on the
database. That excludes tests without database access (SimpleTestCase) and tests tagged `any_database`, which
check wording, layout, permissions or documents: in the browser, the table of permissions, HTML and PDF files.
Tests that send their own SQL are never tagged.
"""

import logging
import unittest
from argparse import ArgumentParser
from typing import Any

import hypothesis
from django.conf import settings
from django.db import connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.test.runner import DiscoverRunner, ParallelTestSuite, test_match_tags
from django.test.utils import iter_test_cases  # type: ignore[attr-defined]  # the stubs leave it out
from django.utils.log import configure_logging

from lori_assignment.testing.coverage import report_coverage


def depends_on_database(test: unittest.TestCase) -> bool:
    """Whether the result of `test` can depend on the database."""
    # A test outside Django's classes may start a program that uses the database.
    has_none = isinstance(test, SimpleTestCase) and not isinstance(test, TransactionTestCase)
    return not has_none and test_match_tags(test, set(), {"any_database"})


class SlowestFirst(ParallelTestSuite):
    """Starts the slowest test classes first, so that none of them runs alone at the end.

    Classes that commit come last, as in Django, since they empty the tables.
    """

    def __init__(self, subsuites: list[unittest.TestSuite], *args: Any, **kwargs: Any) -> None:
        def order(subsuite: unittest.TestSuite) -> tuple[bool, bool, int]:
            test = next(iter(subsuite))
            commits = isinstance(test, TransactionTestCase) and not isinstance(test, TestCase)
            in_browser = "browser" in getattr(test, "tags", ())
            return commits, not in_browser, -subsuite.countTestCases()

        super().__init__(sorted(subsuites, key=order), *args, **kwargs)


class LoriTestRunner(DiscoverRunner):
    """`manage.py test [--with-coverage] [--database-tests]`."""

    parallel_test_suite = SlowestFirst

    def __init__(self, *, with_coverage: bool = False, database_tests: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.with_coverage = with_coverage
        self.database_tests = database_tests

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--with-coverage",
            action="store_true",
            help="Measure line and branch coverage; fail when it is below the bar in pyproject.toml.",
        )
        parser.add_argument(
            "--database-tests",
            action="store_true",
            help="Run only the tests whose result can depend on the database.",
        )

    def load_tests_for_label(self, label: str, discover_kwargs: dict[str, Any]) -> unittest.TestSuite:
        tests = super().load_tests_for_label(label, discover_kwargs)
        if self.database_tests:
            return unittest.TestSuite(test for test in iter_test_cases(tests) if depends_on_database(test))
        return tests

    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        # A busy machine must not cause failures.
        hypothesis.settings.register_profile("lori", deadline=None)
        hypothesis.settings.load_profile("lori")
        # The real hash is slow by design, and the tests create thousands of users.
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        # Static files are looked up when they are requested. Otherwise each test's client would list all of
        # them first, which takes longer than its requests.
        settings.WHITENOISE_AUTOREFRESH = True
        # Tests need fresh data; those of the cache turn it on.
        settings.RESPONSE_CACHE_SECONDS = 0
        # A thread does not see uncommitted data, and most tests commit nothing.
        settings.MAIL_IN_BACKGROUND = False
        # Tests cause thousands of refusals, so only bugs are logged. This is in the settings, because a test
        # that loads the WSGI application configures logging again.
        settings.LOGGING["loggers"]["django.request"] = {"level": "ERROR"}
        settings.LOGGING["loggers"]["django.security"] = {"level": "CRITICAL"}
        settings.LOGGING["loggers"]["security"] = {"level": "CRITICAL"}
        configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)

    def setup_databases(self, **kwargs: Any) -> Any:
        # Django copies SQLite's file for each parallel process, but not the write-ahead log, which still has
        # most of a new database. So the log is written to the file first.
        processes, self.parallel = self.parallel, 0
        if connection.vendor == "sqlite":
            # A test database need not survive a power cut.
            connection.settings_dict["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"
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

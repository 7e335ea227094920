"""Options of `manage.py test`: the minimum of coverage, the selection of tests, and their order."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import TestCase, TestSuite, mock

from django import test
from django.conf import settings
from django.test import SimpleTestCase, tag

from lori_assignment.testing.coverage import coverage_paused
from lori_assignment.testing.runner import LoriTestRunner, SlowestFirst, depends_on_database


@tag("any_database")
class CoverageThresholdTest(TestCase):
    def run_tests(self, bar: int) -> subprocess.CompletedProcess[str]:
        """Run small tests of books/languages.py, measuring books/stock.py; the minimum is `bar` percent."""
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        # In separate files, since an outer run may be measuring too.
        rules = Path(place.name) / "coveragerc"
        rules.write_text(
            f"[run]\nbranch = true\nparallel = true\nsource = books\ndata_file = {place.name}/data\n"
            f"[report]\ninclude = books/stock.py\nfail_under = {bar}\n"
        )
        environment = os.environ | {"COVERAGE_RCFILE": str(rules)}
        environment |= {"SQLITE_TEST_FILE": f"{place.name}/test.sqlite3"}
        label = "books.tests.test_import_languages"
        return subprocess.run(  # noqa: S603  # Our own interpreter and code.
            [sys.executable, "manage.py", "test", label, "--with-coverage"],
            cwd=settings.BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def test_coverage_below_the_bar_fails(self) -> None:
        enough, too_little = self.run_tests(bar=10), self.run_tests(bar=90)
        self.assertEqual(enough.returncode, 0, enough.stderr)
        self.assertEqual(too_little.returncode, 1, too_little.stdout)
        self.assertIn("books/stock.py", enough.stdout)
        self.assertIn("Coverage is below the bar.", too_little.stdout)
        self.assertNotIn("Coverage is below the bar.", enough.stdout)


def example(base: type[TestCase], *tags: str) -> TestCase:
    """Return a test of a new class."""
    return tag(*tags)(type("Example", (base,), {"test_it": lambda self: None}))("test_it")


class SelectionTest(SimpleTestCase):
    def test_what_depends_on_the_database(self) -> None:
        for case, depends in (
            (example(test.TestCase), True),
            (example(test.TransactionTestCase), True),
            # It may start a program that uses the database.
            (example(TestCase), True),
            (example(test.SimpleTestCase), False),
            (example(test.TestCase, "any_database"), False),
        ):
            self.assertEqual(depends_on_database(case), depends, type(case).__bases__)

    def test_the_option_selects_those(self) -> None:
        labels = ["lori_assignment.tests.test_runner", "lori_assignment.tests.test_keyset_pagination"]
        for chosen in (True, False):
            runner = LoriTestRunner(database_tests=chosen, verbosity=0)
            names = {type(case).__name__ for case in runner.build_suite(labels)}
            self.assertIn("PageOfTest", names)
            self.assertEqual("SelectionTest" in names, not chosen)

    def test_slow_classes_start_first(self) -> None:
        commits, browser = example(test.TransactionTestCase), example(test.TransactionTestCase, "browser")
        small, large = example(test.TestCase), example(test.SimpleTestCase)
        suites = [TestSuite([commits] * 2), TestSuite([browser]), TestSuite([small]), TestSuite([large] * 2)]
        ordered = [next(iter(suite)) for suite in SlowestFirst(suites, 2).subsuites]
        self.assertEqual(ordered, [large, small, browser, commits])


class PauseTest(SimpleTestCase):
    def test_nothing_is_measured_meanwhile(self) -> None:
        measurement = mock.Mock()
        with mock.patch("coverage.Coverage.current", return_value=measurement):
            with coverage_paused():
                self.assertNotIn(mock.call.start(), measurement.method_calls)
            self.assertEqual(
                measurement.method_calls, [mock.call.stop(), mock.call.get_data(), mock.call.start()]
            )

    def test_without_a_measurement_nothing_happens(self) -> None:
        with mock.patch("coverage.Coverage.current", return_value=None), coverage_paused():
            pass

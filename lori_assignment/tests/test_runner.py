"""`manage.py test --with-coverage` fails when too little was run, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import TestCase

from django.conf import settings


class CoverageBarTest(TestCase):
    def run_tests(self, bar: int) -> subprocess.CompletedProcess[str]:
        """Run one small test of books/isbn.py, measuring books/stock.py, with `bar` percent to reach."""
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        # Files of its own: an outer run may be measuring too.
        rules = Path(place.name) / "coveragerc"
        rules.write_text(
            f"[run]\nbranch = true\nparallel = true\nsource = books\ndata_file = {place.name}/data\n"
            f"[report]\ninclude = books/stock.py\nfail_under = {bar}\n"
        )
        environment = os.environ | {"COVERAGE_RCFILE": str(rules)}
        environment |= {"SQLITE_TEST_FILE": f"{place.name}/test.sqlite3"}
        label = "books.tests.test_isbn"
        return subprocess.run(  # noqa: S603  # Our own interpreter and code.
            [sys.executable, "manage.py", "test", label, "--with-coverage"],
            cwd=settings.BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def test_enough_passes_and_too_little_fails(self) -> None:
        enough, too_little = self.run_tests(bar=10), self.run_tests(bar=90)
        self.assertEqual(enough.returncode, 0, enough.stderr)
        self.assertEqual(too_little.returncode, 1, too_little.stdout)
        self.assertIn("books/stock.py", enough.stdout)
        self.assertIn("Coverage is below the bar.", too_little.stdout)
        self.assertNotIn("Coverage is below the bar.", enough.stdout)

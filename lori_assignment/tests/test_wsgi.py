"""Loading the application loads all views, but not the modules that are rarely needed."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import TestCase

from django.conf import settings
from django.test import tag

from lori_assignment.tests.test_settings import PRODUCTION


@tag("any_database")
class PreloadTest(TestCase):
    def test_views_are_loaded_at_start(self) -> None:
        code = (
            "import environ; environ.Env.read_env = lambda *a, **k: None\n"
            "import sys, lori_assignment.wsgi\n"
            "views = {'accounts.views', 'books.views', 'rentals.views', 'lori_assignment.api_urls'}\n"
            "print(*sorted(views - set(sys.modules)))\n"
        )
        self.assertEqual(self.printed(code), "\n")

    def test_modules_of_rare_requests_are_not_loaded(self) -> None:
        code = (
            "import environ; environ.Env.read_env = lambda *a, **k: None\n"
            "import sys, lori_assignment.wsgi\n"
            "rare = {'boto3', 'botocore', 'drf_yasg.views', 'fontTools', 'fpdf', 'icalendar', 'langcodes'}\n"
            "print(*sorted(rare & set(sys.modules)))\n"
        )
        self.assertEqual(self.printed(code), "\n")

    def printed(self, code: str) -> str:
        done = subprocess.run(  # noqa: S603  # Our own interpreter and code.
            [sys.executable, "-c", code],
            cwd=settings.BASE_DIR,
            env={"PATH": os.environ["PATH"]} | PRODUCTION,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stderr, "")
        return done.stdout

"""No secret gets into a log."""

from __future__ import annotations

import io
import logging
from datetime import timedelta
from types import SimpleNamespace
from unittest import TestCase

from django.conf import settings
from django.test import Client
from django.test import TestCase as DatabaseTestCase
from gunicorn.config import Config

from lori_assignment import gunicorn_conf
from lori_assignment.logs import AccessLog, WithoutSecrets, without_secrets

SECRET = "Zm9yIG5vYm9keSdzIGV5ZXMgYnV0IGFsaWNlJ3M"


class WithoutSecretsTest(TestCase):
    def test_addresses_that_open_something_lose_the_part_that_does(self) -> None:
        for path in ("/rentals/calendar/", "/user/password/reset/key/", "/user/confirm-email/"):
            for line in (f"GET {path}{SECRET} HTTP/1.1", f"Not Found: {path}{SECRET}/?x=1", path + SECRET):
                self.assertNotIn(SECRET, without_secrets(line))
                self.assertIn(path, without_secrets(line))
        self.assertEqual(without_secrets("GET /books/7/ HTTP/1.1"), "GET /books/7/ HTTP/1.1")

    def test_the_log_of_requests_names_neither_the_address_nor_where_one_came_from(self) -> None:
        self.assertEqual(gunicorn_conf.logger_class, f"{AccessLog.__module__}.AccessLog")
        path = f"/rentals/calendar/{SECRET}.ics"
        environ = {
            "REQUEST_METHOD": "GET",
            "RAW_URI": path,
            "PATH_INFO": path,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_REFERER": f"https://shop.example{path}",
        }
        answer, request = SimpleNamespace(status="200 OK", headers=[]), SimpleNamespace(headers=[])
        atoms = AccessLog(Config()).atoms(answer, request, environ, timedelta())
        line = Config().access_log_format % AccessLog(Config()).atoms_wrapper_class(atoms)
        self.assertIn("GET /rentals/calendar/… HTTP/1.1", line)
        self.assertNotIn(SECRET, line)


class ShopsLogTest(DatabaseTestCase):
    def test_an_address_that_is_not_found_is_named_without_its_secret(self) -> None:
        self.assertIn("without_secrets", settings.LOGGING["handlers"]["stderr"]["filters"])
        written = io.StringIO()
        handler = logging.StreamHandler(written)
        handler.addFilter(WithoutSecrets())
        logger = logging.getLogger("django.request")
        logger.addHandler(handler)
        logger.propagate = False
        self.addCleanup(setattr, logger, "propagate", True)
        self.addCleanup(logger.removeHandler, handler)
        level = logger.level
        logger.setLevel(logging.WARNING)
        self.addCleanup(logger.setLevel, level)
        Client().get(f"/rentals/calendar/{SECRET}.ics")
        self.assertIn("Not Found: /rentals/calendar/…", written.getvalue())
        self.assertNotIn(SECRET, written.getvalue())

"""Each request has an id, in its response and in the log."""

from __future__ import annotations

import io
import logging
from typing import Any

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse
from django.test import SimpleTestCase, override_settings
from django.test.client import RequestFactory
from django.urls import path
from django_guid import get_guid
from django_guid.log_filters import CorrelationId

from lori_assignment import wsgi

logger = logging.getLogger(__name__)


def logged(request: HttpRequest) -> HttpResponse:
    logger.warning("Seen.")
    return HttpResponse()


urlpatterns = [path("logged/", logged)]


def asked(path: str = "/healthz", **environ: Any) -> tuple[str, list[str]]:
    """Return the status and every X-Request-ID of the response."""
    told: list[Any] = []
    host = {"HTTP_HOST": "testserver"}
    facts = {**RequestFactory().get(path).environ, **host, "wsgi.input": io.BytesIO(), **environ}
    body = wsgi.application(facts, lambda *answer: told.append(answer))
    b"".join(body)
    (status, headers, *_), *_ = told
    if hasattr(body, "close"):
        body.close()
    return status[:3], [value for name, value in headers if name == "X-Request-ID"]


class RequestIdTest(SimpleTestCase):
    def test_every_response_has_its_own(self) -> None:
        seen = set()
        for address, status, environ in (
            ("/healthz", "200", {}),
            ("/favicon.ico", "302", {}),
            ("/static/icon.svg", "200", {}),
            ("/nowhere", "404", {}),
            ("/api/v3/nowhere", "404", {}),
            ("/robots.txt", "400", {"HTTP_HOST": "elsewhere.example"}),
        ):
            with self.subTest(path=address, status=status):
                told, ids = asked(address, **environ)
                self.assertEqual(told, status)
                self.assertRegex(ids[0], "\\A[0-9a-f]{32}\\Z")
                self.assertEqual(len(ids), 1)
                seen.update(ids)
        self.assertEqual(len(seen), 6)

    def test_a_uuid_of_the_client_is_kept(self) -> None:
        for good in ("8c5f2a6e3b7d4f0e9a510d5c7e1f2b3a", "8c5f2a6e-3b7d-4f0e-9a51-0d5c7e1f2b3a"):
            self.assertEqual(asked(HTTP_X_REQUEST_ID=good)[1], [good])

    def test_anything_else_is_replaced(self) -> None:
        for bad in (
            *("", "short", "z" * 32, "z" * 65, "with space", "line\nfeed-12", "header\r\nX: 1"),
            *("<script>1", '{"a":"bcdef"}', "ümlaut-1234", "12345678\n", "--------", "../../etc/passwd"),
        ):
            with self.subTest(bad=bad):
                ids = asked(HTTP_X_REQUEST_ID=bad)[1]
                self.assertEqual(len(ids), 1)
                self.assertRegex(ids[0], "\\A[0-9a-f]{32}\\Z")

    @override_settings(ROOT_URLCONF="lori_assignment.tests.test_request_ids")
    def test_request_id_is_logged_and_cleared(self) -> None:
        with self.assertLogs(logger) as log:
            log_filter = CorrelationId("request_id")
            logger.addFilter(log_filter)
            self.addCleanup(logger.removeFilter, log_filter)
            ids = asked("/logged/", HTTP_HOST="localhost")[1]
        self.assertEqual([vars(record)["request_id"] for record in log.records], ids)
        request_finished.send(sender=None)
        self.assertIsNone(get_guid())

"""One name for one request, in its answer and in the log."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from django.core.signals import request_finished
from django.test import SimpleTestCase
from django.test.client import RequestFactory

from lori_assignment import wsgi
from lori_assignment.request_ids import NONE, request_id, with_request_id


def asked(application: Any, path: str = "/healthz", **environ: Any) -> tuple[str, list[str]]:
    """The status, and every X-Request-ID of the answer."""
    told: list[Any] = []
    facts = {**RequestFactory().get(path).environ, "wsgi.input": io.BytesIO(), **environ}
    body = application(facts, lambda *answer: told.append(answer))
    b"".join(body)
    (status, headers, *_), *_ = told
    if hasattr(body, "close"):
        body.close()
    return status[:3], [value for name, value in headers if name == "X-Request-ID"]


class RequestIdTest(SimpleTestCase):
    def test_every_answer_has_one_of_its_own(self) -> None:
        seen = set()
        for path, status, environ in (
            ("/healthz", "200", {}),
            ("/favicon.ico", "302", {}),
            ("/static/icon.svg", "200", {}),
            ("/nowhere", "404", {}),
            ("/api/v3/nowhere", "404", {}),
            ("/robots.txt", "400", {"HTTP_HOST": "elsewhere.example"}),
            ("/robots.txt", "400", {"CONTENT_TYPE": "a/b; charset=rot13"}),
        ):
            with self.subTest(path=path, status=status):
                told, ids = asked(wsgi.application, path, **environ)
                self.assertEqual(told, status)
                self.assertRegex(ids[0], "\\A[0-9a-f]{32}\\Z")
                self.assertEqual(len(ids), 1)
                seen.update(ids)
        self.assertEqual(len(seen), 7)

    def test_one_that_is_brought_along_is_kept_if_it_is_harmless(self) -> None:
        for good in ("a" * 8, "A-b_c.d-1234", "z" * 64, "8c5f2a6e-3b7d-4f0e-9a51-0d5c7e1f2b3a"):
            self.assertEqual(asked(wsgi.application, HTTP_X_REQUEST_ID=good)[1], [good])
        for bad in (
            *(
                "",
                "short",
                "z" * 65,
                "with space",
                "line\nfeed-12",
                "header\r\nX: 1",
                "<script>1",
                '{"a":"bcdef"}',
            ),
            *("ümlaut-1234", "12345678\n", "--------", "../../etc/passwd", "٣٣٣٣٣٣٣٣"),
        ):
            with self.subTest(bad=bad):
                self.assertNotEqual(asked(wsgi.application, HTTP_X_REQUEST_ID=bad)[1], [bad])

    def test_it_is_known_while_the_request_is_answered_and_forgotten_after(self) -> None:
        known: list[str] = []

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            known.append(request_id())
            return [b""]

        ids = asked(with_request_id(application))[1]
        self.assertEqual(known, ids)
        # The server's line about the answer comes now, and Django's end of the request after it.
        self.assertEqual(request_id(), ids[0])
        request_finished.send(sender=None)
        self.assertEqual(request_id(), NONE)

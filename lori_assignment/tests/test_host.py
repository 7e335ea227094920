"""A request above HTTP/1.0 without Host is refused before Django reads it."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.util import setup_testing_defaults

from django.test import SimpleTestCase, tag

from lori_assignment.wsgi import application


@tag("any_database")
class HostTest(SimpleTestCase):
    def ask(self, path: str, **more: str) -> tuple[str, dict[str, str], bytes]:
        told: list[Any] = []
        environ: dict[str, Any] = {"PATH_INFO": path, "SERVER_NAME": "127.0.0.1", **more}
        given = "HTTP_HOST" in environ
        setup_testing_defaults(environ)
        if not given:
            del environ["HTTP_HOST"]
        body = b"".join(application(environ, lambda status, headers: told.extend((status, dict(headers)))))
        return told[0][:3], told[1], body

    def test_http_1_1_without_host_is_400(self) -> None:
        """The address of the server is an allowed host in a test, as it is for `make run`."""
        for path in ("/robots.txt", "/api/v3/books/", "/healthz", "/user/login/"):
            with self.subTest(path=path), self.assertNoLogs(level="DEBUG"):
                status, headers, body = self.ask(path, SERVER_PROTOCOL="HTTP/1.1")
                self.assertEqual((status, headers["X-Frame-Options"]), ("400", "DENY"))
                self.assertEqual(json.loads(body), {"detail": "Send a Host header.", "code": "bad_request"})

    def test_answer_to_head_has_no_body(self) -> None:
        status, headers, body = self.ask("/", SERVER_PROTOCOL="HTTP/1.1", REQUEST_METHOD="HEAD")
        self.assertEqual((status, body), ("400", b""))
        self.assertGreater(int(headers["Content-Length"]), 0)

    def test_other_versions_need_a_host(self) -> None:
        for version in ("HTTP/1.2", "HTTP/1.9", "HTTP/2.0", ""):
            with self.subTest(version):
                self.assertEqual(self.ask("/robots.txt", SERVER_PROTOCOL=version)[0], "400")

    def test_http_1_0_and_a_host_are_answered(self) -> None:
        for more in (
            {"SERVER_PROTOCOL": "HTTP/1.0"},
            {"SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"},
        ):
            for path in ("/healthz", "/robots.txt"):
                with self.subTest(path=path, **more):
                    self.assertEqual(self.ask(path, **more)[0], "200")

"""Charsets other than UTF-8 are refused before Django reads the request."""

from __future__ import annotations

import json
from typing import Any
from unittest import TestCase

from lori_assignment.http.charset import refuse_other_charsets
from lori_assignment.wsgi import application


def status_of(server: Any, content_type: str, **more: str) -> tuple[str, bytes]:
    told: list[str] = []
    environ = {"CONTENT_TYPE": content_type, **more}
    body = b"".join(server(environ, lambda status, headers: told.append(status)))
    return told[0][:3], body


def shop(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"come in"]


class CharsetTest(TestCase):
    def test_utf8_or_no_charset_passes(self) -> None:
        for content_type in ("", "application/json", "a/b; charset=utf-8", 'a/b; x=y; Charset="UTF-8"'):
            with self.subTest(content_type=content_type):
                self.assertEqual(status_of(refuse_other_charsets(shop), content_type), ("200", b"come in"))

    def test_other_charset_is_400(self) -> None:
        for charset in ("rot13", "undefined", "idna", "base64", "unicode_escape", "punycode", "latin-1", ""):
            with self.subTest(charset=charset):
                status, body = status_of(application, f"application/json; charset={charset}")
                self.assertEqual((status, json.loads(body)["code"]), ("400", "parse_error"))
        self.assertEqual(status_of(application, "text/plain; x*=bogus''%41")[0], "400")

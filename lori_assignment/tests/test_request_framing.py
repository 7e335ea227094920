"""gunicorn refuses requests whose end two servers could determine differently."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from lori_assignment.server import gunicorn_conf

HEAD = "POST /api-token-auth/ HTTP/1.1\r\nHost: shop.example\r\n"
ONE, CHUNKS = b"abc", b"0\r\n\r\n"


def config(**changes: Any) -> Config:
    """Return gunicorn's configuration, with `changes`."""
    shop = Config()
    known = {name: value for name, value in vars(gunicorn_conf).items() if name in shop.settings}
    for name, value in (known | changes).items():
        shop.set(name, value)
    return shop


def read(head: str, body: bytes, *, by: Config | None = None) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body as gunicorn reads them. Raises ParseException."""
    raw = (head + "\r\n").encode("latin-1") + body
    message = next(RequestParser(by or config(), iter([raw]), ("203.0.113.9", 4711)))
    return dict(message.headers), message.body.read()


class FramingTest(TestCase):
    def test_unambiguous_request_is_read(self) -> None:
        self.assertEqual(read(f"{HEAD}Content-Length: 3\r\n", ONE)[1], ONE)
        self.assertEqual(read(f"{HEAD}Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n" + CHUNKS)[1], ONE)

    def test_ambiguous_request_is_refused(self) -> None:
        for headers, body in (
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"),
            ("Content-Length: 3, 3\r\n", ONE),
            ("Content-Length: +3\r\n", ONE),
            ("Transfer-Encoding: xchunked\r\n", CHUNKS),
            ("Transfer-Encoding : chunked\r\n", CHUNKS),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKS),
            ("Content-Length: 3\r\n folded: yes\r\n", ONE),
            ("X-A: b\x00c\r\n", b""),
        ):
            with self.subTest(headers=headers), self.assertRaises(ParseException):
                read(HEAD + headers, body)
        with self.assertRaises(ParseException):
            read(HEAD.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n", CHUNKS)

    def test_underscore_header_is_dropped(self) -> None:
        forged = f"{HEAD}X_Forwarded_For: 198.51.100.7\r\nContent-Length: 3\r\n"
        self.assertEqual(set(read(forged, ONE)[0]), {"HOST", "CONTENT-LENGTH"})

    def test_laxer_server_would_accept_it(self) -> None:
        forged = f"{HEAD}X_Forwarded_For: 198.51.100.7\r\nContent-Length: 3\r\n"
        self.assertIn("X_FORWARDED_FOR", read(forged, ONE, by=config(header_map="dangerous"))[0])

"""Debian's nginx with `deploy/nginx.conf`, in front of a server that returns what it receives."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from unittest import TestCase, skipUnless

from django.test import LiveServerTestCase

from benchmarks.nginx import NOBODY, TEMPLATE, balance
from benchmarks.processes import Server, free_port
from books.models import Book
from books.stock import add_book
from lori_assignment.db.keyset_pagination import Cursor
from lori_assignment.http import charset, request_limits

UUID = "8c5f2a6e-3b7d-4f0e-9a51-0d5c7e1f2b3a"
Answer = tuple[int, dict[str, str], bytes]
HAS_NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is not None


class Upstream(BaseHTTPRequestHandler):
    """Replaces gunicorn: answers with the request's headers, or as the path says."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/lost"):
            self.close_connection = True
            return
        body = json.dumps(dict(self.headers)).encode()
        if self.path.startswith("/head"):
            self.send_response(200)
            self.send_header("Link", "x" * 100_000)
            self.end_headers()
            self.close_connection = True
            return
        if self.path.startswith("/large"):
            body = b"x" * 5_000_000
            # Otherwise the kernel would buffer most of it.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.seen.append(f"sent {self.path}")

    do_POST = do_GET  # noqa: N815  # As http.server names it.

    def log_message(self, *_: Any) -> None:
        pass


class UpstreamServer(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Ignore connections that nginx has reset."""


@skipUnless(HAS_NGINX, "needs Debian's package nginx")
class NginxTestCase(TestCase):
    trusted = NOBODY
    nginx: Server

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.server = UpstreamServer(("127.0.0.1", 0), Upstream)
        cls.addClassCleanup(cls.server.server_close)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.shutdown)
        # The second port has no server.
        cls.nginx = cls.start([cls.server.server_address[1]])
        cls.orphan = cls.start([free_port()])

    @classmethod
    def start(cls, ports: list[int]) -> Server:
        folder = tempfile.TemporaryDirectory(prefix="lori-nginx.")
        cls.addClassCleanup(folder.cleanup)
        nginx = balance(ports, folder=Path(folder.name), trusted=cls.trusted)
        cls.addClassCleanup(nginx.stop)
        return nginx

    def setUp(self) -> None:
        Upstream.seen.clear()

    def asked(self) -> list[str]:
        """The requests that have reached the upstream server."""
        return [line for line in Upstream.seen if not line.startswith("sent ")]

    def connect(self, server: Server | None = None) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", (server or self.nginx).port), timeout=10)
        self.addCleanup(client.close)
        return client

    def ask(self, path: str, body: Any = None, *, server: Server | None = None, **headers: str) -> Answer:
        client = http.client.HTTPConnection("127.0.0.1", (server or self.nginx).port, timeout=10)
        self.addCleanup(client.close)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        client.request("GET" if body is None else "POST", path, body, sent)
        answer = client.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def received(self, **headers: str) -> dict[str, str]:
        """Return the headers that reach the upstream server."""
        received: dict[str, str] = json.loads(self.ask("/", **headers)[2])
        return received


class ErrorTest(NginxTestCase):
    def assert_error(self, answer: Answer, status: int, code: str) -> None:
        self.assertEqual((answer[0], answer[1]["Content-Type"]), (status, "application/json"))
        error = json.loads(answer[2])
        self.assertEqual((list(error), error["code"]), (["detail", "code"], code))

    def test_api_errors_are_json(self) -> None:
        self.assert_error(self.ask("/api/v3/books/", server=self.orphan), 502, "unavailable")
        too_much = b"x" * (request_limits.MAX_UPLOAD_BYTES + 1)
        self.assert_error(self.ask("/api/v3/books/", too_much), 413, "too_large")
        self.assert_error(self.ask("/api-token-auth/", too_much), 413, "too_large")
        self.assert_error(self.ask("/api/v3/books/", iter([b"{}"])), 411, "length_required")
        self.assertEqual(self.asked(), [])

    def test_error_page_is_html_for_people(self) -> None:
        for answer in (
            self.ask("/home", server=self.orphan),
            self.ask("/user/profile/", b"x" * (request_limits.MAX_UPLOAD_BYTES + 1)),
        ):
            self.assertTrue(answer[1]["Content-Type"].startswith("text/html"))
            self.assertIn(b"<h1>Lori Books</h1>", answer[2])

    def test_the_largest_body_is_let_through(self) -> None:
        self.assertEqual(self.ask("/api/v3/books/", b"x" * request_limits.MAX_UPLOAD_BYTES)[0], 200)

    def test_errors_have_the_headers_of_all_answers(self) -> None:
        _, headers, _ = self.ask("/api/v3/books/", server=self.orphan)
        self.assertLessEqual((charset.ERROR_HEADERS | {"Retry-After": "5"}).items(), headers.items())
        self.assertEqual(self.ask("/api/", iter([b"{}"]))[1].get("Retry-After"), None)
        self.assertRegex(headers["X-Request-ID"], "^[0-9a-f]{32}$")

    def test_unreadable_request_gets_the_same_error(self) -> None:
        for path in ("/api/v3/books/", "/home"):
            for request, status in (
                (f"GET {path}%00 HTTP/1.1\r\nHost: shop", 400),
                (f"GET {path}..%2f..%2f..%2f..%2f HTTP/1.1\r\nHost: shop", 400),
                (f"GET {path} HTTP/1.1\r\nHost: shop\r\nHost: other", 400),
                (f"GET {path} HTTP/1.1\r\nHost: shop\r\nX-Long: {9000 * 'x'}", 400),
                (f"GET {path} HTTP/1.1", 400),
                (f"TRACE {path} HTTP/1.1\r\nHost: shop", 405),
                (f"GET {path}?{9000 * 'x'} HTTP/1.1\r\nHost: shop", 414),
                (f"POST {path} HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: x", 501),
                (f"GET {path} HTTP/2.1\r\nHost: shop", 505),
            ):
                with self.subTest(request[:40], status=status):
                    client = self.connect()
                    client.sendall(f"{request}\r\nConnection: close\r\n\r\n".encode())
                    response = http.client.HTTPResponse(client)
                    response.begin()
                    headers, body = dict(response.getheaders()), response.read()
                    self.assertEqual(response.status, status)
                    self.assertLessEqual(charset.ERROR_HEADERS.items(), headers.items())
                    if path == "/home":
                        self.assertIn(b"<h1>Lori Books</h1>", body)
                    else:
                        self.assert_error((status, headers, body), status, json.loads(body)["code"])

    def test_shop_responses_are_unchanged(self) -> None:
        _, headers, _ = self.ask("/")
        self.assertNotIn("X-Frame-Options", headers)

    def test_error_pages_have_no_address(self) -> None:
        status, headers, _ = self.ask("/nginx-error/api")
        self.assertEqual(status, 404)
        self.assertLessEqual(charset.ERROR_HEADERS.items(), headers.items())


class ForwardingTest(NginxTestCase):
    """Clients connect to nginx directly, with TRUSTED_PROXIES=1."""

    def test_forged_address_is_ignored(self) -> None:
        received = self.received(X_Forwarded_For="198.51.100.7", X_Forwarded_Proto="https")
        self.assertEqual(received["X-Forwarded-For"], "198.51.100.7, 127.0.0.1")
        self.assertEqual(received["X-Forwarded-Proto"], "http")

    def test_proxy_headers_cannot_be_respelled(self) -> None:
        self.assertNotIn("X_Forwarded_For", self.ask_raw("X_Forwarded_For: 198.51.100.7"))

    def ask_raw(self, header: str) -> str:
        client = self.connect()
        client.sendall(f"GET / HTTP/1.1\r\nHost: shop\r\n{header}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()

    def test_host_is_passed_on(self) -> None:
        self.assertEqual(self.received(Host="shop.example:8080")["Host"], "shop.example:8080")

    def test_request_id_must_be_a_uuid(self) -> None:
        for good in (UUID, UUID.upper(), UUID.replace("-", "")):
            self.assertEqual(self.received(X_Request_ID=good)["X-Request-ID"], good)
        for bad in (
            "a-name-of-a-client",
            UUID + "\x0b",
            3000 * "-" + UUID,
            1000 * "urn:" + UUID,
            "urn:uuid:" + UUID,
            f"{{{UUID}}}",
            f"{UUID}, {UUID}",
            "",
        ):
            with self.subTest(bad=bad[:40]):
                self.assertRegex(self.received(X_Request_ID=bad)["X-Request-ID"], r"\A[0-9a-f]{32}\Z")


class LogTest(NginxTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="lori-nginx.")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        template = TEMPLATE.read_text().replace("/dev/stdout", "access.log")
        self.orphan = balance([free_port()], folder=self.folder, template=template)
        self.addCleanup(self.orphan.stop)
        self.log = self.folder / "access.log"

    def lines(self, number: int) -> list[dict[str, str]]:
        """Wait for `number` lines and return them, without those of the health checks at the start."""
        until = time.monotonic() + 5
        while True:
            lines = [json.loads(line) for line in self.log.read_text().splitlines()]
            lines = [line for line in lines if line["path"] != "/healthz"]
            if len(lines) >= number or time.monotonic() > until:
                return lines
            time.sleep(0.05)

    def test_error_line_has_the_request_id(self) -> None:
        answer = self.ask("/balance/statements/2026-11/?a=b", b"x", server=self.orphan, X_Request_ID=UUID)
        self.assertEqual(answer[1]["X-Request-ID"], UUID)
        [line] = self.lines(1)
        self.assertEqual(
            [line[name] for name in ("method", "path", "status", "request_id")],
            ["POST", "/balance", "502", UUID],
        )

    def test_full_disk_error_quotes_no_request(self) -> None:
        folder = self.folder / "client_body"
        folder.rmdir()
        # A file in place of the folder, so that nginx cannot write there.
        folder.touch()
        status, headers, body = self.ask("/api/secret", b"x" * 100_000, server=self.orphan)
        self.assertEqual((status, json.loads(body)["code"]), (500, "unavailable"))
        self.assertLessEqual(charset.ERROR_HEADERS.items(), headers.items())
        self.assertEqual(self.lines(1)[0]["status"], "500")
        self.assertNotIn("secret", (self.folder / "nginx.log").read_text())

    def test_incomplete_request_has_no_line(self) -> None:
        for sent in (
            b"GET /half HTTP/1.1\r\nHost: shop\r\nX-A: b",
            b"GET /ha",
            b"\x16\x03\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\n\r\n",
        ):
            client = self.connect(self.orphan)
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        self.ask("/whole", server=self.orphan)
        self.assertEqual([line["path"] for line in self.lines(1)], ["/whole"])

    def test_line_has_only_the_first_part_of_a_path(self) -> None:
        paths = ("/calendar%2fsecret", "/?secret", "/balance?secret", "/" + 60 * "x")
        for path in paths:
            self.ask(path, server=self.orphan)
        lines = self.lines(len(paths))
        self.assertEqual([line["path"] for line in lines], ["/calendar", "/", "/balance", "/" + 40 * "x"])


class BehindLoadBalancerTest(NginxTestCase):
    """As in a pod, with TRUSTED_PROXIES=2: the load balancer has appended the client's address."""

    trusted = "127.0.0.0/8"

    def test_client_is_the_last_address_but_one(self) -> None:
        received = self.received(X_Forwarded_For="198.51.100.7, 203.0.113.9", X_Forwarded_Proto="https")
        self.assertEqual(received["X-Forwarded-For"].split(", ")[-2], "203.0.113.9")
        self.assertEqual(received["X-Forwarded-Proto"], "https")

    def test_connections_are_counted_by_client(self) -> None:
        """Each client may have 100. A forged address is useless: the load balancer appends the real one."""

        def half_sent(address: str) -> socket.socket:
            client = self.connect()
            head = f"POST /api/ HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 192.0.2.1, {address}\r\n"
            client.sendall(head.encode() + b"Content-Length: 9\r\n\r\nhalf")
            return client

        for _ in range(100):
            half_sent("203.0.113.9")
        refused = self.first_answer(half_sent("203.0.113.9") for _ in range(20))
        self.assertTrue(refused.startswith("HTTP/1.1 429 "), refused)
        self.assertIn("Retry-After: 1\r\n", refused)
        other = half_sent("203.0.113.10")
        other.sendall(b" done")
        self.assertTrue(other.recv(65536).startswith(b"HTTP/1.1 200 "))

    def first_answer(self, clients: Iterator[socket.socket]) -> str:
        """Return the response to the first client that gets one; nginx reads the requests before it first."""
        for client in clients:
            client.settimeout(0.5)
            with suppress(TimeoutError):
                return client.recv(65536).decode()
        return ""


class BufferingTest(NginxTestCase):
    def test_half_a_request_is_not_passed_on(self) -> None:
        client = self.connect()
        client.sendall(b"POST /api/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nhalf")
        time.sleep(0.3)
        self.assertEqual(self.asked(), [])
        client.sendall(b" done")
        self.assertTrue(client.recv(65536).startswith(b"HTTP/1.1 200 "))

    def read_slowly(self, server: Server, seconds: float) -> None:
        client = socket.socket()
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /large HTTP/1.1\r\nHost: shop\r\n\r\n")
        until = time.monotonic() + seconds
        while "sent /large" not in Upstream.seen and time.monotonic() < until:
            time.sleep(0.05)

    def test_slow_reader_holds_no_thread(self) -> None:
        self.read_slowly(self.nginx, 20)
        self.assertIn("sent /large", Upstream.seen)

    def test_unbuffered_slow_reader_holds_a_thread(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="lori-nginx.")
        self.addCleanup(folder.cleanup)
        template = TEMPLATE.read_text().replace("proxy_buffering on;", "proxy_buffering off;")
        server = balance([self.server.server_address[1]], folder=Path(folder.name), template=template)
        self.addCleanup(server.stop)
        Upstream.seen.clear()
        self.read_slowly(server, 3)
        self.assertIn("GET /large", Upstream.seen)
        self.assertNotIn("sent /large", Upstream.seen)

    def test_failures_do_not_disable_the_shop(self) -> None:
        """To nginx, a response header that is too large is a failure of the server."""
        folder = tempfile.TemporaryDirectory(prefix="lori-nginx.")
        self.addCleanup(folder.cleanup)
        port = self.server.server_address[1]
        template = TEMPLATE.read_text().replace("${SHOP}", f"127.0.0.1:{port}; server 127.0.0.1:{port}")
        server = balance([port], folder=Path(folder.name), template=template)
        self.addCleanup(server.stop)
        self.assertEqual([self.ask("/head", server=server)[0] for _ in range(4)], [502] * 4)
        self.assertEqual(self.ask("/", server=server)[0], 200)

    def test_a_post_is_never_sent_twice(self) -> None:
        self.ask("/lost", b"once")
        self.assertEqual(self.asked(), ["POST /lost"])


@skipUnless(HAS_NGINX, "needs Debian's package nginx")
class ResponseHeaderTest(LiveServerTestCase):
    """The shop's response headers, for requests with the longest URL that nginx accepts."""

    serialized_rollback = True

    def test_no_response_header_is_too_large(self) -> None:
        for number in range(3):
            add_book(name=f"Volume {number}", kind=1)
        folder = tempfile.TemporaryDirectory(prefix="lori-nginx.")
        self.addCleanup(folder.cleanup)
        nginx = balance([self.server_thread.port], folder=Path(folder.name))
        self.addCleanup(nginx.stop)
        cursor = Cursor(back=False, values=[Book.objects.order_by("pk")[0].pk]).encode()
        for path in (
            f"/api/v1/books/?page_size=1&cursor={cursor}&zz=",
            "/home?search=&zz=",
            "/user/login?",
            "/user/profile/?",
            "/admin/?",
        ):
            for character in ('"', "a", "%C3%A9", "%22"):
                with self.subTest(path, character=character):
                    client = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
                    self.addCleanup(client.close)
                    client.request("GET", path + character * ((8100 - len(path)) // len(character)))
                    self.assertIn(client.getresponse().status, (200, 301, 302, 400))


class FramingTest(NginxTestCase):
    """Where one request ends and the next begins."""

    def send(self, content: bytes) -> bytes:
        """Return all that is received until the connection is closed."""
        client = self.connect()
        client.sendall(content)
        return b"".join(iter(lambda: client.recv(65536), b""))

    last = b"GET /last HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        first = b"POST /first HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nbody"
        self.assertEqual(self.send(first + self.last).count(b"HTTP/1.1 200 "), 2)
        self.assertEqual(self.asked(), ["POST /first", "GET /last"])

    def test_chunked_body_is_refused_and_skipped(self) -> None:
        chunks = (
            b"POST /api/ HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
        )
        answers = self.send(chunks + self.last)
        self.assertLess(answers.index(b"HTTP/1.1 411 "), answers.index(b"HTTP/1.1 200 "))
        self.assertEqual(self.asked(), ["GET /last"])

    def test_too_large_body_ends_the_connection(self) -> None:
        length = request_limits.MAX_UPLOAD_BYTES + 1
        head = f"POST /api/ HTTP/1.1\r\nHost: shop\r\nContent-Length: {length}\r\n\r\n"
        client = self.connect()
        client.sendall(head.encode())
        answer = client.recv(65536)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "))
        self.assertIn(b"\r\nConnection: close\r\n", answer)

    def test_ambiguous_request_is_refused(self) -> None:
        for headers in (
            b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 3\r\nContent-Length: 4\r\n",
            b"Content-Length: +3\r\n",
            b"Transfer-Encoding: xchunked\r\n",
        ):
            with self.subTest(headers):
                answer = self.send(b"POST /api/ HTTP/1.1\r\nHost: shop\r\n" + headers + b"\r\nabc")
                self.assertRegex(answer, b"^HTTP/1.1 (400|411|501) ")
        self.assertEqual(self.asked(), [])

    def test_host_is_needed_from_http_1_1_on(self) -> None:
        """A health check by HTTP/1.0 has no Host; gunicorn gets one that no shop has."""
        answer = self.send(b"GET /api/ HTTP/1.1\r\nConnection: close\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        self.assertEqual(self.asked(), [])
        answer = self.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2])["Host"], "_")

    def test_expect_100_continue_is_answered(self) -> None:
        client = self.connect()
        head = b"POST /api/ HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        client.sendall(head)
        self.assertEqual(client.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(b"body")
        self.assertTrue(client.recv(65536).startswith(b"HTTP/1.1 200 "))

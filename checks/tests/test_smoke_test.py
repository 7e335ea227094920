"""Tests that the smoke test passes a healthy shop, and names the fault of any other."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from commands import CommandTest

PAGE = '<html><title>Lori Books</title><link rel="stylesheet" href="/static/shop.0123.css"></html>'
POLICY = {"Content-Security-Policy": "default-src 'none'; script-src 'self'"}
Answer = tuple[int, str, bytes, dict[str, str]]


def good_shop() -> dict[str, Answer]:
    def as_json(value: object) -> Answer:
        return 200, "application/json", json.dumps(value).encode(), {}

    book = {"id": 1, "name": "Emma", "available": 1}
    return {
        "/healthz": as_json({"status": "ok"}),
        "/readyz": as_json({"database": "ok"}),
        "/": (200, "text/html; charset=utf-8", PAGE.encode(), POLICY),
        "/static/shop.0123.css": (200, "text/css", b"body {}", {}),
        "/swagger.json": as_json({"swagger": "2.0", "paths": {"/api/v3/books/": {}}}),
        "/api/v3/books/": as_json({"next": None, "previous": None, "results": [book]}),
        "/metrics": (404, "text/plain", b"", {}),
    }


class Handler(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, Answer]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        status, kind, body, headers = self.answers.get(self.path, (404, "text/plain", b"", {}))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class SmokeTest(CommandTest):
    command = "smoke-test"

    def setUp(self) -> None:
        super().setUp()
        Handler.answers = good_shop()
        Handler.asked = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(self.server.server_close)
        self.port = self.server.server_address[1]

    def serve(self) -> None:
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)

    def look(self, *words: str) -> subprocess.CompletedProcess[str]:
        self.serve()
        return self.run_command(f"http://127.0.0.1:{self.port}", "--within", "0.3", "--pause", "0.05", *words)

    def refused(self, path: str, answer: Answer, words: str) -> None:
        Handler.answers[path] = answer
        done = self.look()
        self.assert_refused(done, words)
        self.assertIn("is not well", done.stderr)

    def test_healthy_shop_passes(self) -> None:
        done = self.look()
        self.assert_good(done)
        for path in ("/healthz", "/readyz", "/", "/swagger.json", "/api/v3/books/", "/metrics"):
            self.assertIn(f"smoke-test: {path} is good", done.stdout)
        self.assertIn("is well.", done.stdout)

    def test_default_address_is_the_local_shop(self) -> None:
        self.serve()
        self.assert_good(self.run_command(SHOP=f"http://127.0.0.1:{self.port}"))

    def test_an_empty_shop_passes(self) -> None:
        empty = {"next": None, "previous": None, "results": []}
        Handler.answers["/api/v3/books/"] = (200, "application/json", json.dumps(empty).encode(), {})
        self.assert_good(self.look())

    def test_failed_liveness_is_refused(self) -> None:
        self.refused("/healthz", (400, "text/html", b"Bad Request", {}), "/healthz answered 400")

    def test_redirected_health_path_is_refused(self) -> None:
        elsewhere = {"Location": "https://shop.example/healthz"}
        self.refused("/healthz", (301, "text/html", b"", elsewhere), "301 to https://shop.example/healthz")

    def test_failed_readiness_is_reported(self) -> None:
        body = b'{"database": "ok", "migrations": "unapplied"}'
        self.refused("/readyz", (503, "application/json", body, {}), '"migrations": "unapplied"')

    def test_foreign_page_is_refused(self) -> None:
        self.refused(
            "/", (200, "text/html", b"<h1>Welcome to nginx!</h1>", POLICY), "does not say Lori Books"
        )

    def test_page_without_csp_is_refused(self) -> None:
        self.refused("/", (200, "text/html", PAGE.encode(), {}), "/ has no Content-Security-Policy")

    def test_missing_style_sheet_is_refused(self) -> None:
        self.refused(
            "/static/shop.0123.css",
            (404, "text/html", b"", {}),
            "/ its style sheet /static/shop.0123.css answered 404",
        )

    def test_invalid_swagger_document_is_refused(self) -> None:
        self.refused("/swagger.json", (200, "application/json", b"{}", {}), "is no Swagger 2.0 document")

    def test_catalogue_of_other_shape_is_refused(self) -> None:
        self.refused("/api/v3/books/", (200, "application/json", b"[]", {}), "is no page of v3")

    def test_html_from_the_api_is_refused(self) -> None:
        self.refused(
            "/api/v3/books/", (200, "text/html", b"<p>", {}), "is text/html instead of application/json"
        )

    def test_public_metrics_are_refused(self) -> None:
        self.refused(
            "/metrics", (200, "text/plain", b"requests 1", {}), "/metrics answered 200 instead of 404"
        )

    def test_check_retries_until_ready(self) -> None:
        ready = Handler.answers["/readyz"]
        Handler.answers["/readyz"] = (503, "application/json", b"{}", {})

        def recover() -> None:
            while Handler.asked.count((f"127.0.0.1:{self.port}", "/readyz")) < 3:
                time.sleep(0.005)
            Handler.answers["/readyz"] = ready

        thread = threading.Thread(target=recover)
        thread.start()
        self.addCleanup(thread.join)
        done = self.look("--within", "20")
        self.assert_good(done)
        self.assertRegex(done.stdout, r"/readyz is good \(.* try [4-9]\)")

    def test_check_gives_up_in_time(self) -> None:
        self.server.server_close()
        begun = time.monotonic()
        done = self.run_command(f"http://127.0.0.1:{self.port}", "--within", "1", "--pause", "0.2")
        self.assert_refused(done, "no answer from 127.0.0.1")
        self.assertLess(time.monotonic() - begun, 10)

    def test_through_connects_to_another_host(self) -> None:
        self.serve()
        self.assert_good(
            self.run_command("http://shop.invalid", "--through", f"127.0.0.1:{self.port}", "--within", "5")
        )
        self.assertEqual({host for host, _ in Handler.asked}, {"shop.invalid"})

    def certify(self, name: str) -> str:
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
        kept = f"-keyout key.pem -out certificate.pem -subj /CN={name} -addext subjectAltName=DNS:{name}"
        subprocess.run(
            [*make.split(), *kept.split()],
            cwd=self.place,
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.place / "certificate.pem", self.place / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        return str(self.place / "certificate.pem")

    def test_certificate_must_match_the_shop(self) -> None:
        trusted = self.certify("shop.invalid")
        self.serve()
        through = ("--through", f"127.0.0.1:{self.port}", "--within", "2", "--pause", "0.5")
        self.assert_good(self.run_command("https://shop.invalid", *through, SSL_CERT_FILE=trusted))
        other = self.run_command("https://other.invalid", *through, SSL_CERT_FILE=trusted)
        self.assert_refused(other, "certificate verify failed")
        unknown = self.run_command("https://shop.invalid", *through)
        self.assert_refused(unknown, "certificate verify failed")

    def test_invalid_arguments_are_refused(self) -> None:
        self.assert_refused(self.run_command(SHOP=""), "is no address")
        self.assert_refused(self.run_command("shop.example"), "is no address")
        self.assert_refused(self.run_command("https://shop.example/home"), "is no address")
        self.assert_refused(self.run_command("https://shop.example", "--through", "a/b"), "is no host")
        self.assert_refused(self.run_command("https://shop.example", "--within", "0"), "more than 0")

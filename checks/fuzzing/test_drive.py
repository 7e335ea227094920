"""Tests that the driver finds each kind of fault in a stand-in for the shop, and none without faults."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import NamedTemporaryFile
from typing import Any
from unittest import TestCase, mock

import drive
from drive import Run, crashes, find_blind_spots

# The faulty operations of the stand-in, with the message of schemathesis.
FAULTS = {
    "crash": "Server error",
    "teapot": "Undocumented status code",
    "wrong-body": "Response violates schema",
    "wrong-kind": "Undocumented Content-Type",
    "lost-header": "Missing required response headers",
    "slow": "Response time limit exceeded",
    "any-method": "Wrong response to undeclared method",
}
SOUND = ["sound", "stalls-once", "gone"]
ROLES = {"superuser": "lori", "member": "nora"}
# Shorter than for the shop, because the stand-in does no work.
SLOWEST = 0.25

BOOK = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
ERROR = {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}}


def document(names: list[str]) -> dict[str, Any]:
    tag = {"ETag": {"type": "string", "x-required": True}}
    answers = {
        "200": {"description": "", "schema": BOOK, "headers": tag},
        "204": {"description": ""},
        "404": {"description": "", "schema": ERROR},
    }
    given = {"name": "id", "in": "path", "required": True, "type": "integer"}
    operation = {"parameters": [given], "responses": answers}
    return {
        "swagger": "2.0",
        "info": {"title": "Stand-in", "version": "1"},
        "basePath": "/",
        "produces": ["application/json"],
        "paths": {f"/{name}/{{id}}/": {"get": operation} for name in names},
    }


class StandIn(BaseHTTPRequestHandler):
    """Serves one operation for each name: GET /name/<id>/."""

    names: list[str]
    stalled: set[str]

    def do_GET(self) -> None:
        _, name, *rest = self.path.split("/")
        if self.path == "/swagger.json":
            return self.answer(200, document(self.names))
        if not rest or not re.fullmatch("[0-9]+", rest[0]):
            return self.answer(404, {"detail": "Not found."})
        if name == "slow" or (name == "stalls-once" and name not in self.stalled):
            self.stalled.add(name)
            time.sleep(SLOWEST * 1.2)
        if name == "gone":
            return self.answer(204, None)
        status = {"crash": 500, "teapot": 418}.get(name, 200)
        body: Any = {"id": "one" if name == "wrong-body" else 1}
        return self.answer(status, body, kind="text/html" if name == "wrong-kind" else "application/json")

    def do_POST(self) -> None:
        if self.path == "/api-token-auth/":
            return self.answer(200, {"token": "a", "refresh": "b"})
        return self.other()

    def other(self) -> None:
        self.answer(200 if self.path.startswith("/any-method") else 405, {"detail": "No."})

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_QUERY = do_HEAD = other

    def answer(self, status: int, body: Any, kind: str = "application/json") -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if content:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        if status == 405:
            self.send_header("Allow", "GET")
        if not self.path.startswith("/lost-header"):
            self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *facts: Any) -> None:
        """Log nothing."""


@contextmanager
def served(names: list[str]) -> Iterator[str]:
    handler = type("Named", (StandIn,), {"names": names, "stalled": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def driven(names: list[str], *more: str) -> tuple[int, str]:
    """Return the exit status and all output of a short run against a stand-in with these operations."""
    said = io.StringIO()
    quick = mock.patch.multiple(drive, ROLES=ROLES, SLOWEST=SLOWEST)
    with served(names) as shop, quick, redirect_stdout(said), redirect_stderr(said):
        status = drive.main([shop, "--examples", "2", *more])
    return status, said.getvalue()


class FaultTest(TestCase):
    def test_each_fault_is_found_in_its_operation(self) -> None:
        status, said = driven([*FAULTS, *SOUND])
        self.assertEqual(status, 1)
        self.assertIn("schemathesis is not content with the answers to superuser", said)
        section = r"^_+ [A-Z]+ /([a-z-]+)/\{id\}/ _+\n(.*?)(?=^[_=]{5})"
        found = dict(re.findall(section, said, re.MULTILINE | re.DOTALL))
        self.assertEqual(set(found), set(FAULTS), said)
        for name, title in FAULTS.items():
            with self.subTest(name):
                self.assertIn(title, found[name])

    def test_sound_shop_passes(self) -> None:
        status, said = driven(SOUND)
        self.assertEqual((status, said.count("all is well")), (0, 1), said)


class CallCoverageTest(TestCase):
    def complaints(self, *answers: dict[str, dict[str, int]], others: int = 0) -> list[str]:
        runs = [
            Run(role=f"role {number}", answers=given, passed=True, log="", seconds=1)
            for number, given in enumerate(answers)
        ]
        more = [f"GET /{number}/" for number in range(others)]
        for done in runs:
            done.answers.update({name: {"200": 1} for name in more})
        return list(find_blind_spots(["GET /a/", "POST /b/", *more], runs))

    def test_operations_called_and_succeeding_pass(self) -> None:
        first = {"GET /a/": {"200": 1}, "POST /b/": {"401": 9}}
        second = {"GET /a/": {"404": 1}, "POST /b/": {"201": 1}}
        self.assertEqual(self.complaints(first, second), [])

    def test_operation_not_called_by_a_role_is_named(self) -> None:
        told = self.complaints({"GET /a/": {"200": 1}, "POST /b/": {"201": 1}}, {"GET /a/": {"200": 1}})
        self.assertEqual(told, ["not called by role 1: POST /b/"])

    def test_operation_that_never_succeeds_is_named(self) -> None:
        told = self.complaints({"GET /a/": {"200": 1}, "POST /b/": {"400": 3, "403": 2}})
        self.assertEqual(told, ["never answered with success: POST /b/ (3 times 400, 2 times 403)"])

    def test_one_in_twenty_may_be_missed(self) -> None:
        one = {"GET /a/": {"200": 1}, "POST /b/": {"400": 3}}
        self.assertEqual(self.complaints(one, others=18), [])
        self.assertEqual(len(self.complaints(one, others=17)), 1)
        self.assertEqual(len(self.complaints({**one, "GET /a/": {"404": 1}}, others=18)), 2)

    def test_throttled_answer_is_reported(self) -> None:
        told = self.complaints({"GET /a/": {"200": 1}, "POST /b/": {"201": 1, "429": 1}})
        self.assertEqual(told, ["answered 429, so the shop runs with its limits: POST /b/"])

    def test_document_without_operations_fails(self) -> None:
        self.assertEqual(list(find_blind_spots([], [])), ["the document has no operations"])


class CrashTest(TestCase):
    LOG = """\
127.0.0.1 "GET /a/ HTTP/1.1" 200
[ERROR] Error handling request
    Traceback (most recent call last):
      File "logs.py", line 100, in access
        path = text.encode("latin-1")
               ^^^^^^^^^^^^^^^^^^^^^^
    UnicodeEncodeError: 'latin-1' codec can't encode character
127.0.0.1 "GET /b/ HTTP/1.1" 404
"""

    def test_crash_in_the_log_is_named(self) -> None:
        told = list(crashes(self.LOG))
        self.assertEqual(told, ["UnicodeEncodeError: 'latin-1' codec can't encode character"])
        self.assertEqual(list(crashes(self.LOG.replace("Traceback", "No trace"))), [])

    def test_crash_in_the_log_fails_the_run(self) -> None:
        with NamedTemporaryFile("w") as log:
            log.write(self.LOG)
            log.flush()
            status, said = driven(["sound"], "--log", log.name)
        self.assertEqual(status, 1)
        self.assertIn("in the server's log: 1 times UnicodeEncodeError", said)

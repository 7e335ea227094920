"""Errors have the shape of RFC 9457 if the client prefers it, wherever they are detected."""

from __future__ import annotations

import json
import logging
from typing import Any
from unittest import TestCase

from django.test import Client, RequestFactory, SimpleTestCase, override_settings

from books.stock import add_book
from lori_assignment.errors import Throttled
from lori_assignment.http.error_handlers import too_many_requests
from lori_assignment.http.problem_details import PROBLEM, prefers_problem_json
from lori_assignment.testing.cases import CastTestCase
from lori_assignment.tests.test_charset import status_of
from lori_assignment.wsgi import application


class NegotiationTest(TestCase):
    def test_preferred_problem_json_is_used(self) -> None:
        for accept in (
            "application/problem+json",
            "Application/Problem+JSON ; Q=0.1",
            "application/json, application/problem+json",
            "application/problem+json, */*",
            "text/html, application/problem+json;q=0.9, application/json;q=0.8, */*",
            "application/problem+json;q=0.5, application/*;q=0.5",
            "application/problem+json;q=0.001, application/json;q=0, */*",
            "application/problem+json;q=nonsense",
        ):
            with self.subTest(accept=accept):
                self.assertTrue(prefers_problem_json(accept))

    def test_problem_json_must_be_named(self) -> None:
        for accept in (
            "",
            "*/*",
            "application/*",
            "application/json",
            "application/problem+json;q=0",
            "application/problem+json;q=0.000",
            "application/problem+json;q=0.8, application/json",
            "application/problem+json;q=0.8, */*;q=0.9",
            "application/problem+json;q=0.8, application/*",
            "application/problem+xml",
            "application/problem+json-not",
            "text/html;q=application/problem+json",
            ",;,;;=",
            "a/b; x*=bogus''%41",
        ):
            with self.subTest(accept=accept):
                self.assertFalse(prefers_problem_json(accept))


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_api_errors")
class ProblemDetailsTest(SimpleTestCase):
    def setUp(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)

    def get(self, address: str, accept: str = PROBLEM) -> Any:
        return Client(raise_request_exception=False).get(address, headers={"Accept": accept})

    def test_both_formats_have_the_same_content(self) -> None:
        whats = ("bug", "missing", "forbidden", "suspicious", "too-big", "token", "throttled", "refusal")
        outer = ("bug", "missing", "forbidden", "suspicious", "too-big")
        paths = [f"/api/raise/{what}" for what in whats] + [f"/api/plain/{what}" for what in outer]
        for path in [*paths, "/api/v3/nowhere", "/api/v3/books/1%00"]:
            with self.subTest(path=path):
                plain, problem = self.get(path, "application/json"), self.get(path)
                self.assertEqual(plain.headers["Content-Type"], "application/json")
                self.assertEqual(problem.headers["Content-Type"], PROBLEM)
                self.assertEqual(problem.status_code, plain.status_code)
                body = problem.json()
                self.assertEqual((body.pop("type"), body.pop("status")), ("about:blank", plain.status_code))
                self.assertRegex(body.pop("title"), "^[A-Z]")
                self.assertEqual(body, plain.json())
                for answer in (plain, problem):
                    self.assertIn("Accept", [name.strip() for name in answer.headers["Vary"].split(",")])

    def test_field_errors_are_in_errors(self) -> None:
        body = self.get("/api/raise/validation").json()
        self.assertEqual(body["errors"], {"name": ["Too long."]})
        self.assertEqual(
            (body["code"], body["status"], body["detail"]), ("invalid", 400, "At least one field is invalid.")
        )

    def test_page_errors_stay_html(self) -> None:
        self.assertIn("text/html", self.get("/page/missing").headers["Content-Type"])

    def test_malformed_accept_header_does_not_crash(self) -> None:
        answer = self.get("/api/raise/missing", "a/b; x*=bogus''%41, " + "," * 5000)
        self.assertEqual((answer.status_code, answer.headers["Content-Type"]), (404, "application/json"))


class IntegrationTest(CastTestCase):
    def test_real_calls_get_problem_json(self) -> None:
        book = add_book(name="Emma", kind=3)
        asking = {"Accept": PROBLEM}
        alice, client = self.api(self.alice), Client(headers={"Accept": PROBLEM})
        sent = {"book": book.pk}
        rented = alice.post("/api/v3/book_rentals/", sent, headers=asking)
        self.assertEqual((rented.status_code, rented.headers["Content-Type"]), (201, "application/json"))
        for answer, status, code in (
            (alice.post("/api/v3/book_rentals/", sent, headers=asking), 409, "already_rented"),
            (alice.post("/api/v3/book_rentals/", {}, headers=asking), 400, "invalid"),
            (alice.post("/api/v3/copies/", {}, headers=asking), 403, "permission_denied"),
            (alice.put("/api/v3/holds/", {}, headers=asking), 405, "method_not_allowed"),
            (client.get("/api/v3/book_rentals/"), 401, "not_authenticated"),
            (client.get("/api/v9/"), 404, "not_found"),
            (client.post("/api-token-auth/", "{", content_type="application/json"), 400, "parse_error"),
            (client.post("/api-token-auth/", "{", content_type="a/b"), 415, "unsupported_media_type"),
        ):
            with self.subTest(code=code):
                body = answer.json()
                self.assertEqual(answer.headers["Content-Type"], PROBLEM)
                self.assertEqual((answer.status_code, body["status"], body["code"]), (status, status, code))

    def test_throttled_response_is_problem_json(self) -> None:
        answer = too_many_requests(
            RequestFactory().get("/api/v3/books/", headers={"Accept": PROBLEM}), Throttled(7)
        )
        self.assertEqual((answer.headers["Content-Type"], answer.headers["Retry-After"]), (PROBLEM, "7"))
        self.assertEqual(json.loads(answer.content)["code"], "throttled")

    def test_errors_before_django_are_problem_json(self) -> None:
        status, body = status_of(application, "a/b; charset=latin-1", HTTP_ACCEPT=PROBLEM)
        told = json.loads(body)
        self.assertEqual((status, told["status"], told["code"]), ("400", 400, "parse_error"))

"""Errors in the API and on the pages, wherever they are detected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from unittest import mock

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client, SimpleTestCase, override_settings
from django.urls import path
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import InvalidToken

from books.models import Book
from books.stock import add_book
from lori_assignment import urls
from lori_assignment.db.transactions import lock
from lori_assignment.errors import Refusal, refuse
from lori_assignment.http.error_handlers import bad_request, not_found, permission_denied, server_error
from lori_assignment.testing.cases import CastTestCase

SECRET = "the innards of the shop"


class TooOld(Refusal):
    code = "too_old"
    message = "This is too old."


class TooNew(Refusal):
    code = "too_new"
    message = "This is too new."


def refuse_twice() -> None:
    refuse([TooOld(), TooNew()])


RAISED: dict[str, Callable[[], Exception]] = {
    "bug": lambda: KeyError(SECRET),
    "missing": lambda: Http404(SECRET),
    "forbidden": lambda: PermissionDenied(SECRET),
    "suspicious": lambda: SuspiciousOperation(SECRET),
    "too-big": lambda: RequestDataTooBig(SECRET),
    "token": lambda: InvalidToken({"detail": "It has expired.", "messages": [{"token_class": SECRET}]}),
    "validation": lambda: exceptions.ValidationError({"name": ["Too long."]}),
    "validation-list": lambda: exceptions.ValidationError(["These do not go together."]),
    "throttled": lambda: exceptions.Throttled(wait=7),
}


class Raising(APIView):
    permission_classes = [AllowAny]

    def get(self, request: Request, what: str) -> Response:
        if what == "refusal":
            refuse_twice()
        raise RAISED[what]()


def raising_page(request: HttpRequest, what: str) -> HttpResponse:
    raise RAISED[what]()


urlpatterns = [
    path("api/raise/<what>", Raising.as_view()),
    # A path of the API whose view is not REST framework's.
    path("api/plain/<what>", raising_page),
    path("page/<what>", raising_page),
    *urls.urlpatterns,
]
handler400, handler403, handler404, handler500 = bad_request, permission_denied, not_found, server_error


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_api_errors")
class ExceptionTest(SimpleTestCase):
    def setUp(self) -> None:
        # Every request here is logged; one test checks that.
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)

    def get(self, address: str) -> Any:
        return Client(raise_request_exception=False).get(address)

    def answered(self, address: str) -> tuple[int, Any]:
        answer = self.get(address)
        self.assertEqual(answer["Content-Type"], "application/json")
        self.assertNotContains(answer, SECRET, status_code=answer.status_code)
        return answer.status_code, answer.json()

    def test_exceptions_have_a_status_and_code(self) -> None:
        for what, status, code in (
            ("bug", 500, "error"),
            ("missing", 404, "not_found"),
            ("forbidden", 403, "permission_denied"),
            ("suspicious", 400, "parse_error"),
            ("too-big", 413, "too_large"),
            ("token", 401, "token_not_valid"),
            ("throttled", 429, "throttled"),
        ):
            with self.subTest(what=what):
                given, body = self.answered(f"/api/raise/{what}")
                self.assertEqual((given, sorted(body), body["code"]), (status, ["code", "detail"], code))
                self.assertTrue(body["detail"])

    def test_exceptions_outside_rest_framework_match(self) -> None:
        for what, status, code in (
            ("bug", 500, "error"),
            ("missing", 404, "not_found"),
            ("forbidden", 403, "permission_denied"),
            ("suspicious", 400, "bad_request"),
        ):
            given, body = self.answered(f"/api/plain/{what}")
            self.assertEqual((given, sorted(body), body["code"]), (status, ["code", "detail"], code))

    def test_bug_is_logged_with_its_traceback(self) -> None:
        logging.disable(logging.NOTSET)
        for address in ("/api/raise/bug", "/api/plain/bug", "/page/bug"):
            with self.assertLogs("django.request", "ERROR") as log:
                self.get(address)
            self.assertIn(SECRET, str(log.records[0].exc_info))

    def test_refusal_lists_every_reason(self) -> None:
        reasons = [
            {"detail": "This is too old.", "code": "too_old"},
            {"detail": "This is too new.", "code": "too_new"},
        ]
        self.assertEqual(self.answered("/api/raise/refusal"), (409, reasons[0] | {"reasons": reasons}))

    def test_field_errors_are_under_their_field(self) -> None:
        self.assertEqual(self.answered("/api/raise/validation"), (400, {"name": ["Too long."]}))
        self.assertEqual(
            self.answered("/api/raise/validation-list"),
            (400, {"non_field_errors": ["These do not go together."]}),
        )

    def test_throttled_response_has_retry_after(self) -> None:
        self.assertEqual(self.get("/api/raise/throttled")["Retry-After"], "7")

    def test_page_errors_use_our_templates(self) -> None:
        for what, status, words in (
            ("bug", 500, "Something went wrong on our side"),
            ("missing", 404, "Page not found"),
            ("forbidden", 403, "You don't have access to this page"),
            ("suspicious", 400, "We couldn't read that request"),
        ):
            answer = self.get(f"/page/{what}")
            self.assertContains(answer, f"<h1>{words}</h1>", status_code=status, html=True)
            self.assertNotContains(answer, SECRET, status_code=status)
            self.assertNotContains(answer, "Traceback", status_code=status)


class ClientErrorTest(CastTestCase):
    """The same with requests that clients really send."""

    def test_only_api_paths_answer_in_json(self) -> None:
        for address, kind in (("/api/v3/books/", "application/json"), ("/", "text/html; charset=utf-8")):
            with self.assertLogs("django.security.DisallowedHost", "ERROR"):
                answer = Client(headers={"host": "evil.example"}).get(address)
            self.assertEqual((answer.status_code, answer["Content-Type"]), (400, kind))
        for address, kind in (
            ("/api/v9/books/", "application/json"),
            ("/nowhere", "text/html; charset=utf-8"),
        ):
            answer = self.client.get(address)
            self.assertEqual((answer.status_code, answer["Content-Type"]), (404, kind))

    def test_form_size_is_limited(self) -> None:
        staff = self.api(self.carol)
        fields = {"name": "Emma", "description": "x" * 3_000_000}
        self.assertEqual(staff.post("/api/v3/books/", fields, format="multipart").status_code, 413)
        many = {"name": "Emma"} | {f"field{number}": "x" for number in range(1100)}
        answer = staff.post("/api/v3/books/", many, format="multipart")
        self.assertEqual((answer.status_code, answer.json()["code"]), (400, "parse_error"))
        enough = {"name": "Emma", "description": "x" * 3_000}
        self.assertEqual(staff.post("/api/v3/books/", enough, format="multipart").status_code, 201)

    def test_concurrently_deleted_book_is_missing(self) -> None:
        book = add_book(name="Emma")
        one, staff = f"/api/v3/books/{book.pk}/", self.api(self.carol)
        calls = [
            lambda: staff.post("/api/v3/book_rentals/", {"book": book.pk}),
            lambda: staff.patch(one, {"name": "Persuasion"}),
            lambda: staff.delete(one),
        ]

        def book_is_gone(row: Any) -> Any:
            if isinstance(row, Book):
                raise Book.DoesNotExist
            return lock(row)

        for call, otherwise in zip(calls, (201, 200, 409), strict=True):
            with (
                mock.patch("rentals.services.lock", book_is_gone),
                mock.patch("books.stock.lock", book_is_gone),
            ):
                answer = call()
            self.assertEqual((answer.status_code, answer.json()["code"]), (404, "not_found"))
            self.assertEqual(call().status_code, otherwise)

    def test_invalid_token_is_401(self) -> None:
        answer = self.client.get("/api/v3/accounts/", headers={"authorization": "JWT x.y.z"})
        self.assertEqual(answer.status_code, 401)
        self.assertEqual(sorted(answer.json()), ["code", "detail"])
        self.assertEqual(answer.json()["code"], "token_not_valid")
        self.assertIn("JWT", answer["WWW-Authenticate"])

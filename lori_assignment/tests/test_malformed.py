"""Malformed input of every kind to every path of the API gets a 4xx in JSON and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock
from urllib.parse import quote

from django import conf
from django.apps import apps
from django.db import connection, transaction
from django.test import tag
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from books.stock import add_book
from lori_assignment import api_urls
from lori_assignment.rest.throttling import CountingThrottle
from lori_assignment.testing.cases import CastTestCase
from lori_assignment.testing.coverage import coverage_paused
from rentals.holds import place_hold
from rentals.services import rent_book

BODIES = {
    "nothing": b"",
    "half an object": b'{"book": 1',
    "no JSON": b"book=1",
    "a comment": b'{"book": 1} // one',
    "null": b"null",
    "a number": b"1",
    "a string": b'"book"',
    "an array": b'[{"book": 1}]',
    "bad UTF-8": b'{"book": "\xff\xfe"}',
    "UTF-16": '{"book": 1}'.encode("utf-16"),
    "not a number": b'{"book": NaN}',
    "infinity": b'{"book": Infinity}',
    "1e400": b'{"book": 1e400}',
    "five thousand digits": b'{"book": ' + b"9" * 5000 + b"}",
    "a key twice": b'{"book": 1, "book": 2}',
    "sixty thousand brackets": b"[" * 60_000,
    "a hundred deep": b'{"book": ' + b"[" * 100 + b"]" * 100 + b"}",
}
# In some fields some of these are valid (a note may be "x"), but none may cause a crash.
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**400, -(10**400), 2**63, 2**31),
    *("", " ", "x", "\x00", "a\x00b", "\ud800", "١", "1_0", "0x1", "1e400", "NaN", "9" * 5000, "x" * 70_000),
    *("2026-13-45T99:99:99Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30"),
    *([], {}, [[]], [None], {"id": 1}, {"": ""}, [[[[[[]]]]]], "../../etc/passwd", "' OR 1=1 --", "\u202e"),
]
IDS = [
    "1_0",
    "1.0",
    "-1",
    "+1",
    "0x1",
    "١",
    " 1",
    "1 ",
    "1%00",
    "%00",
    "null",
    "9" * 5000,
    "1;2",
    "é",
    "..%2f",
]


SEED = 1


def everything() -> dict[str, list[Any]]:
    """Return every row of our own tables."""
    return {
        model._meta.label: list(model._base_manager.order_by("pk").values())
        for app in ("accounts", "books", "rentals")
        for model in apps.get_app_config(app).get_models()
    }


class MalformedTestCase(CastTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(coverage_paused())
        super().setUpClass()

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Emma", kind=3, copies=3)
        now = timezone.now()
        cls.rental = rent_book(member=cls.alice, book=cls.book, at=now, now=now)
        out = add_book(name="Persuasion", kind=3)
        rent_book(member=cls.bob, book=out, at=now, now=now)
        cls.hold = place_hold(member=cls.alice, book=out, at=now)

    book: Any
    rental: Any
    hold: Any

    def setUp(self) -> None:
        # After a while the rate limits would answer 429 and hide the errors. These are functions, since
        # mocks would keep thousands of requests in memory.
        for limit in (
            mock.patch.object(CountingThrottle, "allow_request", lambda *facts: True),
            mock.patch("allauth.core.ratelimit.consume", lambda *facts, **more: True),
            mock.patch.object(conf.settings, "RATE_LIMITS", "off"),
        ):
            limit.start()
            self.addCleanup(limit.stop)
        self.before = everything()
        self.chance = Random(SEED)

    def some(self, values: list[Any]) -> list[Any]:
        """Return all of `values`, or a third on SQLite, which is less strict than PostgreSQL."""
        return self.chance.sample(values, len(values) // 3) if connection.vendor == "sqlite" else values

    def desk(self) -> APIClient:
        client = self.api(self.carol)
        client.raise_request_exception = False
        return client

    def routes(self) -> Iterator[tuple[str, str]]:
        """Yield each path, with ids that exist, and each of its methods."""
        copy = self.book.copies.all()[0]
        ids = {"books": self.book.pk, "copies": copy.pk, "accounts": self.alice.pk, "price_lists": 3}
        ids |= {"holds": self.hold.pk}
        for written, view in api_urls.SIGN_IN:
            for method in view.http_method_names:
                if hasattr(view, method):
                    yield f"/{written}/", method
        for version, routes in api_urls.VERSIONS.items():
            for written, _, methods in routes:
                path = written.replace("<pk>", str(ids.get(written.split("/")[0], 1)))
                path = path.replace("<ref>", str(self.rental.ref)).replace("<user_id>", str(self.alice.pk))
                for method in methods:
                    yield f"/api/{version}/{path}", method

    def send(self, method: str, path: str, body: bytes, content_type: str = "application/json") -> Any:
        """Return the response, and undo the changes of a successful request."""
        with transaction.atomic():
            answer = self.desk().generic(method.upper(), path, body, content_type=content_type)
            if answer.status_code < 400:
                transaction.set_rollback(True)
        return answer

    def assert_answered(self, answer: Any, *statuses: int) -> None:
        if statuses:
            self.assertIn(answer.status_code, statuses, answer.content[:300])
        self.assertLess(answer.status_code, 500, answer.content[:300])
        if answer.content:
            self.assertEqual(answer["Content-Type"], "application/json")
            json.loads(answer.content)

    def _documented(self, path: str, method: str) -> list[dict[str, Any]]:
        """Return the parameters of a call in the OpenAPI document, including its body."""
        if not hasattr(self, "document"):
            self.document = self.client.get("/swagger.json").json()
        given_parts = path.strip("/").split("/")
        for written, methods in self.document["paths"].items():
            parts = written.strip("/").split("/")
            if len(parts) == len(given_parts) and all(
                part == given or ("{" in part and given.isdigit())
                for part, given in zip(parts, given_parts, strict=True)
            ):
                return methods[method]["parameters"]
        raise AssertionError(f"The document has no {path}.")

    def _parameters(self, path: str) -> list[str]:
        return [given["name"] for given in self._documented(path, "get") if given["in"] == "query"]

    def _fields(self, path: str, method: str) -> dict[str, Any]:
        """Return the fields of a body in the OpenAPI document, with an example."""
        for parameter in self._documented(path, method):
            if parameter["in"] == "body":
                name = parameter["schema"]["$ref"].rpartition("/")[2]
                definition = self.document["definitions"][name]
                return {field: definition.get("example", {}).get(field) for field in definition["properties"]}
        return {}


class BodyTest(MalformedTestCase):
    @tag("any_database")
    def test_body_that_is_not_an_object_is_400(self) -> None:
        # These need no body.
        optional = ("/return", "/renew")
        for path, method in self.routes():
            if method not in ("post", "put", "patch"):
                continue
            for name, body in BODIES.items():
                with self.subTest(path=path, method=method, body=name):
                    answer = self.send(method, path, body)
                    if path.endswith(optional) or (name == "nothing" and method in ("put", "patch")):
                        self.assert_answered(answer)
                    else:
                        self.assert_answered(answer, 400, 404)
        self.assertEqual(everything(), self.before)

    @tag("any_database")
    def test_other_media_type_is_415(self) -> None:
        for path, method in self.routes():
            if method in ("post", "put", "patch"):
                with self.subTest(path=path, method=method):
                    self.assert_answered(self.send(method, path, b"<book/>", "text/xml"), 415, 404)
        self.assertEqual(everything(), self.before)

    def test_a_body_over_64_kib_is_413(self) -> None:
        body = b'{"name": "' + b"x" * 64 * 1024 + b'"}'
        self.assert_answered(self.send("post", "/api/v3/books/", body), 413)
        self.assert_answered(self.send("post", "/api-token-auth/", body), 413)

    def test_broken_forms_are_4xx(self) -> None:
        form = "multipart/form-data; boundary=x"
        for body, content_type in [
            (b"--x", form),
            (
                b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n\xff\xd8\r\n--x--',
                form,
            ),
            (b"x", "multipart/form-data"),
            (b"&".join(b"a%d=1" % number for number in range(20_000)), "application/x-www-form-urlencoded"),
            (b"name=%00", "application/x-www-form-urlencoded"),
        ]:
            with self.subTest(body=body[:40]):
                self.assert_answered(self.send("post", "/api/v3/books/", body, content_type), 400, 413, 415)
        self.assertEqual(everything(), self.before)

    def test_id_that_is_not_plain_digits_is_404(self) -> None:
        desk = self.desk()
        for path in (
            "/api/v3/books/{}",
            "/api/v1/book_rentals/{}",
            "/api/v2/accounts/{}",
            "/api/v3/book_rentals/users/balance/{}",
            "/api/v3/payments/{}/",
            "/api/v3/price_lists/{}",
            "/api/v3/holds/{}",
            "/api/v3/copies/{}",
            "/api/{}/books/",
        ):
            for text in IDS:
                with self.subTest(path=path, id=text[:20]):
                    escaped = text if "%" in text else quote(text)
                    self.assert_answered(desk.get(path.format(escaped)), 404)

    def test_invalid_id_in_a_body_is_400(self) -> None:
        for value in ("1_0", "١", " 1", "1.0", "", True, 1.5, -1, 10**400, "9" * 5000, [1], {"id": 1}, None):
            with self.subTest(value=str(value)[:20]):
                answer = self.desk().post("/api/v1/book_rentals/create", {"book": value})
                self.assert_answered(answer, 400)
                self.assertEqual(list(answer.json()), ["book"])
        self.assertEqual(everything(), self.before)


class ValueTest(MalformedTestCase):
    def test_hostile_field_values_do_not_crash(self) -> None:
        for path, method in self.routes():
            # The older versions have the same fields, and the other paths the same views.
            other = path.startswith(("/api/v1", "/api/v2")) or path.endswith(("/update", "/create"))
            if method not in ("post", "put", "patch") or other:
                continue
            fields = self._fields(path, method)
            good = {field: example for field, example in fields.items() if example is not None}
            for field in fields:
                for value in self.some(VALUES):
                    with self.subTest(path=path, method=method, field=field, value=str(value)[:20]):
                        body = json.dumps(good | {field: value}).encode()
                        self.assert_answered(self.send(method, path, body))
        self.assertEqual(everything(), self.before)


class QueryTest(MalformedTestCase):
    def test_hostile_queries_do_not_crash(self) -> None:
        desk = self.desk()
        texts = [value for value in VALUES if isinstance(value, str) and len(value) < 6000] + IDS
        for path, method in self.routes():
            if method != "get" or path.startswith("/api/v2"):
                continue
            for name in [*self._parameters(path), "no_such"]:
                for text in self.some(texts):
                    query = quote(text.encode("utf-8", "surrogatepass"))
                    with self.subTest(path=path, name=name, text=text[:20]):
                        self.assert_answered(desk.get(f"{path}?{name}={query}"))

    def test_generated_json_does_not_crash(self) -> None:
        fields = ["name", "book", "user", "amount", "rates", "status", "days", "copies", "image", "isbn"]
        values = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        )
        paths = ["books/", "book_rentals/", "payments/", "price_lists/", "copies/", "holds/"]
        paths += ["book_rentals/1/return"]

        @settings(max_examples=50 if connection.vendor == "sqlite" else 150, deadline=None, database=None)
        @given(st.dictionaries(st.sampled_from(fields), values), st.sampled_from(paths))
        def send(body: dict[str, Any], path: str) -> None:
            self.assert_answered(self.send("post", f"/api/v3/{path}", json.dumps(body).encode()))

        send()

    def test_broken_token_is_401_and_wrong_method_405(self) -> None:
        for header in (
            "JWT",
            "JWT x",
            "Bearer a b c",
            "JWT \xff",
            "JWT ..",
            "Basic eA==",
            "JWT " + "x" * 9000,
        ):
            with self.subTest(header=header[:20]):
                answer = APIClient(raise_request_exception=False).get(
                    "/api/v3/book_rentals/", headers={"authorization": header}
                )
                self.assert_answered(answer, 401)
                self.assertEqual(list(answer.json()), ["detail", "code"])
        for user in (None, self.alice, self.carol):
            for method in ("DELETE", "PUT", "PATCH", "TRACE", "OPTIONS", "FROB"):
                answer = self.api(user).generic(method, "/api/v3/payments/")
                self.assert_answered(answer, 405)

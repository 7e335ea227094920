"""Requests are refused if too large, of unknown length, with an unsupported method or not in UTF-8."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from unittest import mock
from urllib.parse import quote

from django.http import HttpRequest, UnreadablePostError
from django.test import Client, TestCase, override_settings
from django.utils import timezone

from books.models import Book
from books.stock import add_book
from books.tests.pictures import picture
from lori_assignment.errors import BodyTooLarge
from lori_assignment.rest.parsers import StrictFormParser, StrictJSONParser
from lori_assignment.testing.cases import CastTestCase
from rentals.models import PriceList
from rentals.services import rent_book

KIB = 1024
MIB = 1024 * KIB
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"
BOOKS = "/api/v3/books/"


def part(name: bytes, content: bytes, *, filename: bytes | None = None, more: bytes = b"") -> bytes:
    file = b'; filename="%s"' % filename if filename is not None else b""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s%s' % (name, file, more)
    return b"%s\r\n\r\n%s\r\n" % (head, content)


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


class AdmissionCase(CastTestCase):
    def send(self, body: bytes, kind: str = JSON, path: str = BOOKS, method: str = "POST") -> Any:
        return self.api(self.carol).generic(method, path, body, content_type=kind)

    def assert_refused(self, answer: Any, status: int, code: str | None = None) -> None:
        self.assertEqual(answer.status_code, status, answer.content[:300])
        self.assertEqual(answer.headers["Content-Type"], JSON)
        if code:
            self.assertEqual(answer.json()["code"], code)


class SizeTest(AdmissionCase):
    def test_bodies_are_limited_by_type(self) -> None:
        most = 64 * KIB
        for body, kind in ((b'{"name": "%s"}', JSON), (b"name=%s", FORM), (b"%s", "text/plain")):
            over, just = body % (b"%" * (most + 1)), body % (b"%" * (most - len(body) + 2))
            self.assertEqual(len(just), most)
            with self.subTest(kind=kind):
                answer = self.send(over, kind)
                self.assert_refused(answer, 413, "too_large")
                self.assertIn("The limit is 64 KiB.", answer.json()["detail"])
                self.assertIn(self.send(just, kind).status_code, (400, 415))

    def test_only_the_catalogue_takes_uploads(self) -> None:
        body = whole(part(b"name", b"Emma"), part(b"image", b"x" * 64 * KIB, filename=b"a.png"))
        desk = self.api(self.carol)
        self.client.force_login(self.dan)
        for sender, paths, statuses in (
            (desk, [BOOKS, "/api/v1/books", "/api/v2/books/"], [400]),
            (self.client, ["/admin/books/book/add/", "/user/logout/"], [200, 413]),
            (desk, ["/api/v3/payments/", "/api-token-auth/", "/api/v3/bookstores"], [413]),
        ):
            for path in paths:
                with self.subTest(path=path):
                    answer = sender.generic("POST", path, body, content_type=PARTS)
                    self.assertIn(answer.status_code, statuses, answer.content[:300])
                    if answer.status_code == 413:
                        self.assertContains(answer, "The limit is 64 KiB.", status_code=413)

    def test_body_without_a_length_is_limited_too(self) -> None:
        for parser in (StrictJSONParser, StrictFormParser):
            with self.assertRaises(BodyTooLarge) as caught:
                parser().parse(BytesIO(b"%" * (64 * KIB + 1)))
            self.assertEqual(caught.exception.most, 64 * KIB)

    def test_too_many_fields_are_refused_before_decoding(self) -> None:
        """Also those of a query, at each place that reads a form."""
        self.client.force_login(self.alice)
        many = b"&".join(b"a%d=%%41" % number for number in range(251))
        parts = whole(*(part(b"a%d" % number, b"A") for number in range(252)))
        decoded = AssertionError("The form was decoded.")
        for send in (
            lambda: self.send(many, FORM),
            lambda: self.client.generic("POST", "/user/profile/", many, content_type=FORM),
            lambda: self.client.get(f"/home?{many.decode()}"),
            lambda: self.client.get(f"{BOOKS}?{many.decode()}"),
            lambda: self.send(parts, PARTS),
            lambda: self.client.generic("POST", "/user/profile/", parts, content_type=PARTS),
        ):
            with mock.patch("urllib.parse.unquote", side_effect=decoded):
                answer = send()
            said = "The request has too many fields. The limit is 250."
            self.assertContains(answer, said, status_code=400)
        few = many.rpartition(b"&")[0] + b"&"
        self.assertEqual(
            self.client.generic("POST", "/user/profile/", few[:-1], content_type=FORM).status_code, 302
        )

    def test_upload_is_limited_to_6_mib(self) -> None:
        image = whole(part(b"name", b"Emma"), part(b"image", b"x" * 6 * MIB, filename=b"a.png"))
        self.assert_refused(self.send(image, PARTS), 413, "too_large")
        text = whole(part(b"name", b"Emma"), part(b"description", b"x" * 64 * KIB))
        self.assert_refused(self.send(text, PARTS), 413, "too_large")
        large = picture(size=(1000, 1000)) + b"\x00" * 5_000_000
        good = whole(part(b"name", b"Emma"), part(b"image", large, filename=b"a.png"))
        self.assertEqual(self.send(good, PARTS).status_code, 201)

    def test_upload_of_a_visitor_is_not_decoded(self) -> None:
        """Django's CSRF check would decode it before anybody looks who sends it."""
        image = whole(part(b"name", b"Emma"), part(b"image", b"x" * 5 * MIB, filename=b"a.png"))
        for sender in (self.client, self.by_session(self.alice)):
            for path in ("/admin/books/book/add/", "/admin/books/book/1/change/"):
                with mock.patch(
                    "django.http.request.HttpRequest._load_post_and_files", side_effect=AssertionError
                ):
                    answer = sender.generic("POST", path, image, content_type=PARTS)
                self.assertRedirects(answer, f"/user/login/?next={path}", fetch_redirect_response=False)
        answer = self.client.generic("POST", BOOKS, image, content_type=PARTS)
        self.assert_refused(answer, 401)

    def by_session(self, user: Any) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        return client

    def test_oversized_body_is_not_parsed(self) -> None:
        read = mock.patch("django.core.handlers.wsgi.WSGIRequest.read", side_effect=AssertionError)
        with read, mock.patch("django.http.request.HttpRequest.body", property(AssertionError)):
            for kind in (JSON, FORM, PARTS):
                self.assert_refused(self.send(b"x" * (6 * MIB + 1), kind), 413)

    def test_oversized_body_is_read_to_its_end(self) -> None:
        """Otherwise nginx, which still sends it, would answer 502."""
        for path in (BOOKS, "/user/profile/", "/admin/books/book/add/"):
            for size, left in ((64 * KIB + 1, 0), (7 * MIB, MIB)):
                sent = BytesIO(b"x" * size)
                kind = PARTS if path.startswith("/admin") else FORM
                request = {"wsgi.input": sent, "CONTENT_LENGTH": str(size), "CONTENT_TYPE": kind}
                answer = self.client.generic("POST", path, **request)
                self.assertIn(answer.status_code, (302, 413))
                self.assertEqual(len(sent.read()), left)

    def test_limit_applies_without_an_expected_body(self) -> None:
        for path, method in (
            ("/api/v3/book_rentals/1/renew", "POST"),
            ("/api/v3/books/1", "DELETE"),
            (BOOKS, "GET"),
            ("/api/v9/", "POST"),
            ("/api-token-auth/", "POST"),
            ("/api/rest-auth/login/", "POST"),
        ):
            with self.subTest(path=path):
                self.assert_refused(self.send(b"x" * (64 * KIB + 1), JSON, path, method), 413, "too_large")

    def test_oversized_form_gets_an_error_page(self) -> None:
        self.client.force_login(self.alice)
        answer = self.client.generic("POST", "/user/profile/", b"name=" + b"x" * MIB, content_type=FORM)
        self.assertContains(answer, "That's too large to send", status_code=413)
        self.assertContains(answer, "The limit is 64 KiB.", status_code=413)

    def test_chunked_body_is_411(self) -> None:
        now = timezone.now()
        rental = rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        path = f"/api/v3/book_rentals/{rental.ref}/return"
        answer = self.api(self.carol).post(path, headers={"Transfer-Encoding": "chunked"})
        self.assert_refused(answer, 411, "length_required")
        rental.refresh_from_db()
        self.assertIsNone(rental.returned_at)


@override_settings(SECURE_SSL_REDIRECT=True, SECURE_SSL_HOST="shop.example")
class HttpsTest(TestCase):
    def test_http_api_request_is_refused(self):
        for path in ("/api/v3/books/", "/api-token-auth/", "/api/nowhere"):
            answer = Client().post(path, {"password": "x"}, content_type="application/json")
            self.assertEqual((answer.status_code, answer.json()["code"]), (403, "https_required"))
            self.assertNotIn("Location", answer)

    def test_https_is_answered_and_pages_redirected(self):
        self.assertEqual(Client().get("/api/v3/books/", secure=True).status_code, 200)
        answer = Client().get("/home")
        self.assertEqual((answer.status_code, answer["Location"]), (301, "https://shop.example/home"))

    def test_without_the_exemption_api_is_redirected(self):
        with override_settings(SECURE_REDIRECT_EXEMPT=[]):
            self.assertEqual(Client().get("/api/v3/books/").status_code, 301)


class Utf8Test(AdmissionCase):
    def test_form_in_another_charset_is_400(self) -> None:
        for body in (b"name=%FF%FE", b"name=\xff\xfe", b"name=a&%FF=1", b"name=%ED%A0%80", b"name=%C3&x=%A9"):
            with self.subTest(body=body):
                self.assert_refused(self.send(body, FORM), 400, "parse_error")
        for parts in (
            [part(b"name", b"a\xffb")],
            [part(b"name", b"//4=", more=b"\r\nContent-Transfer-Encoding: base64")],
            [part(b"name", b"\xe9", more=b"\r\nContent-Type: text/plain; charset=latin-1")],
        ):
            with self.subTest(parts=parts):
                self.assert_refused(self.send(whole(*parts), PARTS), 400, "parse_error")
        self.assertEqual(Book.objects.count(), 0)

    def test_utf8_form_is_read(self) -> None:
        for name in ("Émile ou De l’éducation", "百年孤独", "🦉 & = + %"):
            self.assertEqual(self.send(f"name={quote(name)}".encode(), FORM).json()["name"], name)
            self.assertEqual(self.send(whole(part(b"name", name.encode())), PARTS).json()["name"], name)

    def test_page_form_must_be_utf8(self) -> None:
        self.client.force_login(self.alice)
        page, good = "/user/profile/", b"name=Moss&phone=&address=&language="
        for body in (good + b"%FF", good.replace(b"Moss", b"M\xf6ss")):
            answer = self.client.generic("POST", page, body, content_type=FORM)
            self.assertContains(answer, "We couldn't read that request", status_code=400)
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.name, "Alice Moss")
        self.client.generic("POST", page, good.replace(b"Moss", b"M%C3%B6ss"), content_type=FORM)
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.name, "Möss")

    def test_truncated_form_is_400(self) -> None:
        gone = property(mock.Mock(side_effect=UnreadablePostError))
        with mock.patch.object(HttpRequest, "body", gone):
            answer = self.client.generic("POST", "/user/login/", b"login=a", content_type=FORM)
        self.assertEqual(answer.status_code, 400)


class AmbiguousBodyTest(AdmissionCase):
    def test_duplicate_field_is_400(self) -> None:
        self.assert_refused(self.send(b"name=Emma&name=Persuasion", FORM), 400, "parse_error")
        twice = whole(part(b"name", b"Emma"), part(b"name", b"Persuasion"))
        self.assert_refused(self.send(twice, PARTS), 400, "parse_error")
        image = part(b"image", picture(), filename=b"a.png")
        files = whole(part(b"name", b"Emma"), image, image)
        self.assert_refused(self.send(files, PARTS), 400, "parse_error")
        self.assertEqual(Book.objects.count(), 0)

    def test_too_many_values_are_400(self) -> None:
        keys = {f"key{number}": 1 for number in range(2_000)}
        before = PriceList.objects.count()
        for path, body in (
            (BOOKS, {"name": "Emma", **keys}),
            (BOOKS, {"name": "Emma", "more": keys}),
            (BOOKS, {"name": "Emma", "more": [{"a": 1, "b": 2}] * 500}),
            ("/api/v3/price_lists/", {"name": "Other", "rates": [1] * 2_000}),
            ("/api-token-auth/", {"username": "alice", "password": "x", **keys}),
        ):
            with self.subTest(path=path):
                answer = self.send(json.dumps(body).encode(), path=path)
                self.assert_refused(answer, 400, "parse_error")
        self.assertEqual((Book.objects.count(), PriceList.objects.count()), (0, before))
        some = {"name": "Emma", **dict(list(keys.items())[:900])}
        self.assertEqual(self.send(json.dumps(some).encode()).status_code, 201)

    def test_unexpected_body_is_validated(self) -> None:
        now = timezone.now()
        rental = rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        path = f"/api/v3/book_rentals/{rental.ref}/renew"
        self.assert_refused(self.send(b"x", "text/plain", path), 415)
        self.assert_refused(self.send(b'{"a": NaN}', JSON, path), 400)
        self.assertEqual(self.send(b"{}", JSON, path).status_code, 200)
        self.assertEqual(self.send(b"", JSON, path).status_code, 200)


class MethodTest(AdmissionCase):
    def test_unknown_method_is_405(self) -> None:
        client = Client()
        client.force_login(self.alice)
        pages = ("/", "/home", "/user/login/", "/admin/", "/static/site.css", "/rentals/")
        for path in (*pages, BOOKS, "/api/v1/books/1", "/api-token-verify/", "/swagger"):
            for method in ("TRACE", "CONNECT", "FROB", "PROPFIND"):
                with self.subTest(path=path, method=method):
                    answer = client.generic(method, path)
                    self.assertEqual(answer.status_code, 405)
                    self.assertIn("Allow", answer.headers)

    def test_pages_allow_only_get_head_and_post(self) -> None:
        client = Client()
        client.force_login(self.dan)
        for path in ("/", "/home", "/user/profile/", "/user/login/", "/rentals/", "/admin/", "/nothing"):
            for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
                with self.subTest(path=path, method=method):
                    answer = client.generic(method, path)
                    self.assertEqual((answer.status_code, answer.headers["Allow"]), (405, "GET, HEAD, POST"))

    def test_unknown_parameters_are_ignored(self) -> None:
        add_book(name="Emma", author="Austen")
        desk = self.api(self.carol)
        for name in ("books", "book_rentals", "copies", "holds", "payments", "accounts"):
            path = f"/api/v3/{name}/"
            usual = desk.get(path).json()["results"]
            for query in (
                "user__password__startswith=x",
                "user__is_staff=true",
                "copy__book__name=No",
                "book__name=No",
                "rentals__user=999",
                "copies__rentals__user__email=x",
                "name=No",
                "id__gt=999",
            ):
                with self.subTest(path=path, query=query):
                    self.assertEqual(desk.get(f"{path}?{query}").json()["results"], usual)
        for order in ("copies__rentals__user__password", "user__password", "author__x", "-pk", "?"):
            self.assert_refused(desk.get(BOOKS, {"ordering": order}), 400)

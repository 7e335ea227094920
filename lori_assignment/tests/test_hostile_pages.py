"""Hostile paths, queries and forms sent to every page get a 4xx or a page, never a 5xx."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random
from typing import Any
from unittest import mock
from urllib.parse import quote

from django import conf
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, transaction
from django.http import QueryDict
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.models import User
from books.stock import add_book
from lori_assignment.observability import health
from lori_assignment.testing.cases import CastTestCase
from lori_assignment.testing.coverage import coverage_paused
from rentals.holds import place_hold
from rentals.ledger import take_payment
from rentals.services import rent_book

SEED = 1
# Otherwise a sample, since every value for every page takes minutes. `make fuzz` tests all.
ALL = os.environ.get("HOSTILE_PAGES") == "all"


def _cursor(values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


# Quoted as in a URL, since some are not valid text.
RAW = [
    *("%00", "a%00b", "%FF%FE", "%ED%A0%80", "%C0%80", "%F0%9F", "%E2%80%AE", "%", "%zz", "%0D%0AX:a"),
    *("0", "-1", "1.5", "1e400", "NaN", "9" * 20, "9" * 5000, "%D9%A1", "1_0", "0x1", "2026-02-30"),
    *("", "%20", "x" * 7000, "%F0%9F%93%9A" * 500, "[]", "%7B%7D", "%27%20OR%201=1%20--", "..%2F..%2Fx"),
    *("//evil.example/", "javascript:alert(1)", "http://[", "%5C%5Cevil.example", "__class__", "a;b"),
    *(_cursor(values) for values in ([], [True], [False, None], [False, 1 << 70], [False, "\x00"], 0)),
    *(_cursor([False, at, 1]) for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", {})),
]
TEXTS = [
    *("\x00", "a\x00b", "\ufffd", "\u202e", "\r\nX: a", "", " ", "0", "-1", "1.5", "1e400", "NaN"),
    *("9" * 20, "9" * 5000, "١", "1_0", "2026-02-30", "x" * 70_000, "📚" * 500, "' OR 1=1 --", "../../x"),
    *("//evil.example/", "javascript:alert(1)", "http://[", "\\\\evil.example", "[]", "{}", "null"),
]
# Values for the parameters of a path: some that the routes accept, and some that they should not.
PLACES = ["0", "9" * 19, "9" * 400, "-1", "%00", "%FF", "%D9%A1", "x", "..%2F..", "0000-01", "9999-12"]
ADMIN_LIST = ["q", "p", "o", "all", "e", "_facets", "_popup", "_to_field", "id__exact", "user__email"]
FORMS = [b"a=%FF", b"%00=%00", b"\xff\xfe", b"&" * 2000, b"next=%00"]
# Paths that are answered before the URLconf is used.
OUTER = ["/healthz", "/readyz", "/metrics", "/static/shop.css"]
# The administration's autocomplete view needs all three parameters.
AUTOCOMPLETE = "?app_label=books&model_name=copy&field_name=book"


def routes(resolver: URLResolver | None = None, before: str = "/") -> Iterator[str]:
    """Yield every path outside the API, with its parameters as `<converter:name>` or `<name>`."""
    for found in (resolver or get_resolver()).url_patterns:
        written = before + re.sub(r"^\^|/?\?|\\Z|\$$", "", str(found.pattern))
        if isinstance(found, URLPattern):
            if not written.startswith("/api"):
                # A group of a regular expression.
                yield re.sub(r"\(\?P(<\w+>)(?:[^()]|\([^()]*\))*\)", r"\1", written).replace("\\", "")
        else:
            yield from routes(found, written)


class HostileTestCase(CastTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(coverage_paused())
        super().setUpClass()

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        now = timezone.now()
        book = add_book(name="Emma", kind=3, copies=3)
        out = add_book(name="Persuasion", kind=3)
        rental = rent_book(member=cls.alice, book=book, at=now, now=now)
        rent_book(member=cls.bob, book=out, at=now, now=now)
        hold = place_hold(member=cls.alice, book=out, at=now)
        payment = take_payment(member=cls.alice, amount=Decimal(1), method="cash", actor=cls.carol, at=now)
        cls.values = {"book": book.pk, "ref": rental.ref, "hold": hold.pk, "number": payment.pk}
        cls.values |= {"month": f"{now:%Y-%m}", "secret": "x" * 43, "format": "json", "app_label": "books"}

    values: dict[str, Any]

    def setUp(self) -> None:
        # As in test_malformed, the rate limits would hide the errors.
        for limit in (
            mock.patch("allauth.core.ratelimit.consume", lambda *facts, **more: True),
            mock.patch.object(conf.settings, "RATE_LIMITS", "off"),
        ):
            limit.start()
            self.addCleanup(limit.stop)
        # /readyz uses a separate connection.
        self.addCleanup(health.readiness.close)
        self.chance = Random(SEED)
        self.clients = {}
        for user in (None, self.alice, self.dan):
            self.clients[user] = client = Client(raise_request_exception=False)
            if user:
                client.force_login(user, backend=conf.settings.AUTHENTICATION_BACKENDS[0])

    clients: dict[User | None, Client]

    def filled(self, route: str) -> str:
        """Return the route with values of existing objects, where there are some."""
        noun = {"books": "book", "holds": "hold"}.get(route.split("/")[1], "")
        return re.sub(
            r"<(?:\w+:)?(\w+)>", lambda place: str(self.values.get(place[1], self.values.get(noun, 1))), route
        )

    def some(self, values: list[Any], *, of: str, if_any: set[str]) -> list[Any]:
        """Return a sample of `values`, a small one if the page reads no parameter, for the administration,
        whose pages are alike, and on SQLite, which is less strict than PostgreSQL."""
        often = 3 if of.startswith("/admin") or not if_any else 10
        if connection.vendor == "sqlite":
            often //= 3
        return values if ALL else self.chance.sample(values, min(often, len(values)))

    def ask(self, user: User | None, address: str, form: dict[str, Any] | bytes | None = None) -> Any:
        """Return the response, and undo all changes, signing in and out too."""
        client = self.clients[user]
        cookies = client.cookies.copy()
        with transaction.atomic():
            # The query is passed unchanged: the test client would quote it again.
            path, _, query = address.partition("?")
            meta = {"QUERY_STRING": query}
            if form is None:
                answer = client.get(path, **meta)
            elif isinstance(form, bytes):
                answer = client.post(path, form, content_type="application/x-www-form-urlencoded", **meta)
            else:
                answer = client.post(path, form, **meta)
            transaction.set_rollback(True)
        client.cookies = cookies
        return answer

    def whoever_sees(self, address: str) -> User | None:
        """Return the user with the fewest rights who may see the page, or else a superuser."""
        for user in (None, self.alice):
            if self.ask(user, address).status_code == 200:
                return user
        return self.dan

    @contextmanager
    def reading(self) -> Iterator[set[str]]:
        """Collect the names that are looked up in a query or a form."""
        names: set[str] = set()

        def spy(lookup: Any) -> Any:
            def look(query: QueryDict, name: Any, *more: Any, **named: Any) -> Any:
                names.add(str(name))
                return lookup(query, name, *more, **named)

            return look

        looks = ("get", "getlist", "__getitem__", "__contains__")
        with mock.patch.multiple(QueryDict, **{name: spy(getattr(QueryDict, name)) for name in looks}):
            yield names

    def assert_answered(self, answer: Any) -> None:
        self.assertLess(answer.status_code, 500)


class PathTest(HostileTestCase):
    def test_hostile_paths_do_not_crash(self) -> None:
        asked = 0
        for route in routes():
            for value in PLACES if "<" in route else []:
                address = re.sub("<[^>]+>", value.replace("\\", r"\\"), route)
                for user in (self.dan,) if route.startswith("/admin") else (None, self.alice):
                    with self.subTest(route=route, value=value[:20], user=user):
                        asked += 1
                        self.assert_answered(self.ask(user, address))
        self.assertGreater(asked, 500)


class QueryTest(HostileTestCase):
    def test_hostile_queries_do_not_crash(self) -> None:
        read_by_route = {}
        for route in [*routes(), *OUTER]:
            address = self.filled(route)
            user = self.whoever_sees(address)
            with self.reading() as names:
                self.ask(user, address)
            if route.startswith("/admin"):
                names.update(ADMIN_LIST)
            read_by_route[route] = names
            for value in self.some(RAW, of=route, if_any=names):
                # All at once, and one alone, since an error in one may hide the effect of another.
                alone = self.chance.choice(sorted(names) or ["no_such"])
                together = "&".join(f"{quote(name)}={value[:300]}" for name in sorted(names))
                for query in (f"{quote(alone)}={value}", together or value):
                    with self.subTest(route=route, user=user, query=query[:60]):
                        self.assert_answered(self.ask(user, f"{address}?{query}"))
        # The names really were collected.
        self.assertIn("cursor", read_by_route["/balance"])
        self.assertIn("search", read_by_route["/rentals/history/"])
        self.assertIn("next", read_by_route["/user/login/"])

    def test_hostile_cursors_do_not_crash(self) -> None:
        for path in ("/balance", "/rentals/history/", "/home"):
            for value in RAW:
                with self.subTest(path=path, value=value[:40]):
                    self.assert_answered(self.ask(self.alice, f"{path}?cursor={value}"))

    def test_hostile_autocomplete_does_not_crash(self) -> None:
        for value in RAW:
            for query in (f"term={value[:3000]}", f"page={value}"):
                with self.subTest(query=query[:60]):
                    self.assert_answered(self.ask(self.dan, f"/admin/autocomplete/{AUTOCOMPLETE}&{query}"))

    def test_invalid_to_field_is_400(self) -> None:
        group = Group.objects.create(name="Readers")
        for address in (f"/admin/auth/group/{group.pk}", f"/admin/books/book/{self.values['book']}"):
            for page in ("change", "delete"):
                for field, expected in (("", 400), ("no_such", 400), ("id", 200)):
                    with self.subTest(address=address, page=page, field=field):
                        answer = self.ask(self.dan, f"{address}/{page}/?_to_field={field}")
                        self.assertEqual(answer.status_code, expected)
        # Without our check, Django's own page crashes.
        request = RequestFactory().get("/", {"_to_field": ""})
        request.user = self.dan
        with self.assertRaises(FieldDoesNotExist):
            admin.site.get_model_admin(Group).delete_view(request, str(group.pk))


class FormTest(HostileTestCase):
    def test_hostile_forms_do_not_crash(self) -> None:
        read_by_route = {}
        for route in routes():
            address = self.filled(route)
            user = self.whoever_sees(address)
            with self.reading() as names:
                self.assert_answered(self.ask(user, address, {}))
            read_by_route[route] = names
            for text in self.some(TEXTS, of=route, if_any=names):
                alone = self.chance.choice(sorted(names) or ["no_such"])
                # With one name both forms are the same; with none the first is empty, and was sent above.
                for form in ([dict.fromkeys(names, text)] if len(names) > 1 else []) + [{alone: text}]:
                    with self.subTest(route=route, user=user, field=alone, text=text[:20]):
                        self.assert_answered(self.ask(user, address, form))
        self.assertIn("password", read_by_route["/user/login/"])
        self.assertIn("name", read_by_route["/user/profile/"])

    def test_overlong_login_is_unknown(self) -> None:
        # SQLite cannot search for a text of 50,000 characters.
        for login in ("x" * 60_000, "x" * 60_000 + "@example.org"):
            for path, field in (("/user/login/", "login"), ("/user/password/reset/", "email")):
                with self.subTest(path=path, login=login[-12:]):
                    form = {field: login, "password": "x"}
                    self.assertEqual(self.ask(None, path, form).status_code, 200)

    def test_invalid_book_id_is_a_field_error(self) -> None:
        for book in ("x", "\u202e", "9" * 30, "1.5"):
            with self.subTest(book=book):
                answer = self.ask(self.dan, "/admin/books/copy/add/", {"book": book})
                self.assertContains(answer, "Select a valid choice")

    def test_oversized_number_does_not_crash(self) -> None:
        answer = self.ask(self.dan, "/admin/auth/group/add/", {"name": "Readers", "permissions": "9" * 20})
        self.assertIn(answer.status_code, (200, 400))

    def test_invalid_bytes_do_not_crash(self) -> None:
        for route in routes():
            address = self.filled(route)
            user = self.whoever_sees(address)
            for body in self.some(FORMS, of=route, if_any={"a"}):
                with self.subTest(route=route, user=user, body=body[:20]):
                    self.assert_answered(self.ask(user, address, body))

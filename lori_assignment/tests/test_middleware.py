"""The order of the middleware, and its queries for a call of the API."""

from __future__ import annotations

from unittest import mock

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, SimpleTestCase

from accounts import tokens
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase


class OrderTest(SimpleTestCase):
    def test_security_comes_first(self) -> None:
        self.assertEqual(settings.MIDDLEWARE[0], "django.middleware.security.SecurityMiddleware")

    def test_at_most_eight_are_our_own(self) -> None:
        own = [name for name in settings.MIDDLEWARE if name.startswith(("lori_assignment.", "accounts."))]
        self.assertLessEqual(len(own), 8)


class ApiTest(CastTestCase):
    def test_a_call_by_token_loads_no_session(self) -> None:
        browser = Client(headers={"Authorization": f"JWT {tokens.issue_tokens(self.alice).access}"})
        browser.force_login(self.alice)
        add_book(name="Emma")
        # The token's account, the page of books, their copies.
        with self.assertNumQueries(3), mock.patch.object(SessionStore, "load", side_effect=AssertionError):
            self.assertEqual(browser.get("/api/v3/books/").status_code, 200)

    def test_a_session_alone_signs_in_to_nothing(self) -> None:
        browser = Client()
        browser.force_login(self.alice)
        self.assertEqual(browser.get("/api/v3/book_rentals/").status_code, 401)

    def test_another_host_is_refused(self) -> None:
        for path in ("/api/v3/books/", "/api/v3/books"):
            self.assertEqual(self.client.get(path, headers={"Host": "evil.example"}).status_code, 400)

"""What pages need, the API goes without; and what guards it, it keeps."""

from __future__ import annotations

from unittest import mock

from django.contrib.sessions.middleware import SessionMiddleware
from django.test import Client

from accounts import tokens
from books.stock import add_book
from lori_assignment.cast import CastTestCase


class ApiTest(CastTestCase):
    def test_a_call_by_token_looks_up_no_session(self) -> None:
        browser = Client(headers={"Authorization": f"JWT {tokens.give_tokens(self.alice).access}"})
        browser.force_login(self.alice)
        add_book(name="Emma")
        # The account of the token, the page, the copies.
        with self.assertNumQueries(3):
            self.assertEqual(browser.get("/api/v3/books/").status_code, 200)

    def test_a_session_alone_signs_in_to_nothing(self) -> None:
        browser = Client()
        browser.force_login(self.alice)
        self.assertEqual(browser.get("/api/v3/book_rentals/").status_code, 401)

    def test_a_host_that_is_not_ours_is_refused(self) -> None:
        for path in ("/api/v3/books/", "/api/v3/books"):
            self.assertEqual(self.client.get(path, headers={"Host": "evil.example"}).status_code, 400)

    def looks(self, browser: Client, path: str) -> int:
        """How often a session is looked for."""
        look = SessionMiddleware.process_request
        with mock.patch.object(
            SessionMiddleware, "process_request", autospec=True, side_effect=look
        ) as asked:
            browser.get(path)
        return asked.call_count

    def test_what_signs_in_and_every_page_has_a_session(self) -> None:
        for path in ("/", "/api/rest-auth/user/", "/api-token-verify/", "/swagger.json"):
            with self.subTest(path=path):
                self.assertEqual(self.looks(self.client, path), 1)
        self.assertEqual(self.looks(self.client, "/api/v3/books/"), 0)

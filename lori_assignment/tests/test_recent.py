"""What anybody is told is told again for a second; never longer, never to somebody, never another's."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from unittest import TestCase, mock, skipUnless

from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from rest_framework_simplejwt.tokens import AccessToken

from accounts import tokens
from accounts.models import User
from books import views
from books.models import Book
from books.stock import add_book
from lori_assignment import api_views, recent
from lori_assignment.cast import CastTestCase
from lori_assignment.recent import RecentMiddleware
from lori_assignment.tests.test_metrics import TOKEN, told

BOOKS = "/api/v3/books/"


class ServerOfItsOwn(TestCase):
    """Its count is not that which the processes of a parallel run share, and it has kept nothing yet."""

    def setUp(self) -> None:
        super().setUp()
        for place, name, value in (
            (recent, "changes", recent.Changes()),
            (api_views, "_recent", recent.Recent(most=9)),
            (views, "_recent", recent.Recent(most=9)),
        ):
            its_own = mock.patch.object(place, name, value)
            its_own.start()
            self.addCleanup(its_own.stop)


@override_settings(RECENT_SECONDS=1.0)
class ShopTest(ServerOfItsOwn, CastTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.book = add_book(name="Emma")
        clock = mock.patch("lori_assignment.recent.time.monotonic", side_effect=lambda: self.time)
        self.time = 1000.0
        clock.start()
        self.addCleanup(clock.stop)

    def names(self, client: Client, path: str = BOOKS) -> list[str]:
        return [book["name"] for book in client.get(path).json()["results"]]

    def rename(self, name: str) -> None:
        """Behind the back of the server's processes."""
        Book.objects.filter(pk=self.book.pk).update(name=name)

    def test_for_a_second_it_is_the_same_to_the_byte_and_asks_nothing(self) -> None:
        first = self.client.get(BOOKS)
        self.rename("Emma, changed")
        self.time += 0.99
        with self.assertNumQueries(0):
            again = self.client.get(BOOKS)
        self.assertEqual((again.content, again.headers), (first.content, first.headers))
        self.time += 0.01
        self.assertEqual(self.names(self.client), ["Emma, changed"])

    def test_the_second_begins_before_the_first_look(self) -> None:
        """Else an answer that took long to make would be older than a second when it is told."""

        def slow(request: HttpRequest) -> HttpResponse:
            self.time += 0.8
            return HttpResponse("old")

        request, middleware = RequestFactory().get(BOOKS), RecentMiddleware(slow)
        middleware(request)
        self.time += 0.3
        middleware.get_response = lambda request: HttpResponse("new")
        self.assertEqual(middleware(request).content, b"new")

    def test_who_changed_it_sees_it_at_once_from_every_process_with_a_token_and_without(self) -> None:
        # Each client has the middleware of its own, as a process has.
        one, other, desk = Client(), Client(), self.api(self.carol)
        for client in (one, other, desk):
            self.assertEqual(self.names(client), ["Emma"])
        desk.patch(f"{BOOKS}{self.book.pk}", {"name": "Emma!"})
        for client in (one, other, desk):
            self.assertEqual(self.names(client), ["Emma!"])
        member = Client(headers={"Authorization": f"JWT {tokens.give_tokens(self.alice).access}"})
        self.assertEqual(member.get(f"{BOOKS}{self.book.pk}").json()["available"], 1)
        one.get(f"{BOOKS}{self.book.pk}")
        member.post("/api/v3/book_rentals/", {"book": self.book.pk})
        for client in (member, one):
            self.assertEqual(client.get(f"{BOOKS}{self.book.pk}").json()["available"], 0)

    def test_without_the_count_of_changes_they_would_see_the_old_one(self) -> None:
        """The twin."""
        desk = self.api(self.carol)
        self.names(self.client)
        with mock.patch.object(recent.Changes, "one_more"):
            desk.patch(f"{BOOKS}{self.book.pk}", {"name": "Emma!"})
        self.assertEqual((self.names(self.client), self.names(desk)), (["Emma"], ["Emma!"]))

    def test_a_new_price_is_there_at_once(self) -> None:
        path = f"{BOOKS}{self.book.pk}/quote?days=3"
        before = self.client.get(path).json()["total"]
        rates = [{"book_type": kind, "daily_rate": "7.00"} for kind in (1, 2, 3)]
        made = self.api(self.carol).post("/api/v3/price_lists/", {"name": "Dear", "rates": rates})
        self.assertEqual(made.status_code, 201)
        self.assertEqual((before, self.client.get(path).json()["total"]), ("3.50", "21.00"))

    def with_token(self, user: User) -> Client:
        return Client(headers={"Authorization": f"JWT {tokens.give_tokens(user).access}"})

    def test_what_is_told_somebody_is_told_nobody_who_is_signed_out_nor_the_other_way(self) -> None:
        self.client.get(BOOKS)
        self.rename("Emma, changed")
        self.assertEqual(self.names(self.with_token(self.alice)), ["Emma, changed"])
        signed_in = Client()
        signed_in.force_login(self.alice)
        self.assertEqual(self.names(signed_in), ["Emma, changed"])
        self.assertEqual(self.names(self.client), ["Emma"])

    def test_with_a_token_it_is_looked_at_and_nothing_else(self) -> None:
        one, other = self.with_token(self.alice), self.with_token(self.bob)
        for path in (BOOKS, f"{BOOKS}{self.book.pk}"):
            first = one.get(path)
            self.rename("Emma, changed")
            with self.assertNumQueries(1):
                again = other.get(path)
            self.assertEqual((again.content, again.headers), (first.content, first.headers))
            self.time += 1
            self.assertIn(b"changed", other.get(path).content)
            self.rename("Emma")
            self.time += 1

    def test_a_token_that_has_ended_is_told_nothing(self) -> None:
        client = self.with_token(self.alice)
        client.get(BOOKS)
        tokens.end_all(self.alice)
        self.assertEqual(client.get(BOOKS).status_code, 401)

    def test_a_token_that_has_expired_is_told_nothing(self) -> None:
        token = AccessToken(tokens.give_tokens(self.alice).access)  # type: ignore[arg-type]  # as simplejwt's
        token.set_exp(lifetime=timedelta(seconds=1))
        client = Client(headers={"Authorization": f"JWT {token}"})
        self.assertEqual(client.get(BOOKS).status_code, 200)
        time.sleep(1.1)
        self.assertEqual(client.get(BOOKS).status_code, 401)

    def test_who_has_it_already_is_told_so_and_nothing_is_asked(self) -> None:
        for client, queries in ((self.client, 0), (self.with_token(self.alice), 1)):
            for path in (BOOKS, f"{BOOKS}{self.book.pk}"):
                with self.subTest(path=path, queries=queries):
                    tag = client.get(path).headers["ETag"]
                    with self.assertNumQueries(queries):
                        answer = client.get(path, headers={"If-None-Match": tag})
                    self.assertEqual((answer.status_code, answer.content), (304, b""))
                    self.assertEqual(answer.headers["ETag"], tag)
                    with self.assertNumQueries(queries):
                        self.assertEqual(client.get(path, headers={"If-None-Match": '"x"'}).status_code, 200)
                    # Not longer than anybody else is told.
                    self.rename(f"Emma, {queries} {path}")
                    self.time += 1
                    self.assertEqual(client.get(path, headers={"If-None-Match": tag}).status_code, 200)

    def test_who_has_it_and_asks_first_leaves_nothing_that_others_are_told(self) -> None:
        for client in (self.client, self.with_token(self.alice)):
            tag = client.get(BOOKS).headers["ETag"]
            self.time += 1
            self.assertEqual(client.get(BOOKS, headers={"If-None-Match": tag}).status_code, 304)
            answer = client.get(BOOKS)
            self.assertEqual((answer.status_code, len(answer.json()["results"])), (200, 1))

    def test_the_pages_catalogue_is_the_same_for_a_second_and_what_is_theirs_is_not(self) -> None:
        one, other = Client(), Client()
        one.force_login(self.alice)
        other.force_login(self.bob)
        self.assertContains(one.get("/home"), "Emma")
        self.rename("Persuasion")
        page = other.get("/home").content.decode()
        self.assertIn("Emma", page)
        self.assertIn(self.bob.get_short_name(), page)
        self.assertNotIn(self.alice.get_short_name(), page)
        self.assertNotIn("Emma", other.get("/home?ordering=-id").content.decode())
        self.assertNotIn("Emma", other.get("/home", headers={"Accept-Language": "de"}).content.decode())
        self.time += 1
        self.assertContains(one.get("/home"), "Persuasion")

    def test_who_rents_on_a_page_sees_it_at_once_with_the_token_and_on_the_page(self) -> None:
        browser, program = Client(), self.with_token(self.alice)
        browser.force_login(self.alice)
        for client, path in ((browser, "/home"), (program, BOOKS)):
            self.assertNotContains(client.get(path), "All out")
        program.post("/api/v3/book_rentals/", {"book": self.book.pk})
        self.assertContains(browser.get("/home"), "All out")
        self.assertEqual(program.get(BOOKS).json()["results"][0]["available"], 0)

    @skipUnless(connection.vendor == "postgresql", "beside SQLite there is one server")
    def test_what_another_server_has_changed_is_seen_at_once_by_who_is_signed_in(self) -> None:
        client = self.with_token(self.alice)
        self.assertEqual(self.names(client), ["Emma"])
        self.rename("Emma, changed elsewhere")
        self.assertEqual(self.names(client), ["Emma"])
        # Its processes count among themselves, and in the database.
        with mock.patch.object(recent, "changes", recent.Changes()):
            recent.one_more_change()
        self.assertEqual(self.names(client), ["Emma, changed elsewhere"])

    def test_a_change_that_cannot_be_counted_is_done_all_the_same(self) -> None:
        with (
            mock.patch.object(recent, "connection", mock.Mock(vendor="postgresql")) as broken,
            self.assertLogs("lori_assignment.recent", "WARNING"),
        ):
            broken.cursor.side_effect = OperationalError
            self.assertEqual(
                self.api(self.carol).patch(f"{BOOKS}{self.book.pk}", {"name": "Emma!"}).status_code, 200
            )

    def test_a_token_that_is_wrong_is_refused_all_the_same(self) -> None:
        self.client.get(BOOKS)
        self.assertEqual(self.client.get(BOOKS, headers={"Authorization": "JWT x"}).status_code, 401)

    def test_a_host_that_is_not_ours_is_refused_all_the_same(self) -> None:
        self.client.get(BOOKS)
        self.assertEqual(self.client.get(BOOKS, headers={"Host": "evil.example"}).status_code, 400)

    def test_each_language_and_each_page_has_its_own(self) -> None:
        for query, languages in (("", "en"), ("", "de"), ("?page_size=1", "en"), ("?search=emma", "en")):
            with self.subTest(query=query, languages=languages):
                answers = [
                    self.client.get(BOOKS + query, headers={"Accept-Language": languages}) for _ in range(2)
                ]
                self.assertEqual(answers[0].content, answers[1].content)
                self.assertEqual(answers[1].headers["Content-Language"], languages)

    @override_settings(METRICS_TOKEN=TOKEN, ALLOWED_HOSTS=["testserver"])
    def test_what_is_told_again_is_counted_as_before(self) -> None:
        key = ("GET", "/api/v3/books/", "200")
        before = told(self.client).get(key, 0)
        for _ in range(2):
            self.client.get(BOOKS)
        self.assertEqual(told(self.client)[key] - before, 2)

    def test_what_is_for_nobody_else_is_not_kept(self) -> None:
        for path in ("/api/v3/book_rentals/", "/api/v3/books/0", f"{BOOKS}?page_size=x", "/home", "/"):
            with self.subTest(path=path):
                before = self.client.get(path).status_code
                with mock.patch.object(recent.Told, "again", side_effect=AssertionError):
                    self.assertEqual(self.client.get(path).status_code, before)


@override_settings(RECENT_SECONDS=1.0)
class WhatIsKeptTest(ServerOfItsOwn, CastTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.numbers = iter(range(1000))
        self.middleware = RecentMiddleware(lambda request: HttpResponse(str(next(self.numbers))))

    def ask(self, path: str = BOOKS, method: str = "GET", **told: str) -> bytes:
        response = self.middleware(RequestFactory().generic(method, path, **told))
        assert isinstance(response, HttpResponse)
        return response.content

    def test_all_that_an_answer_depends_on_tells_it_apart(self) -> None:
        self.assertEqual((self.ask(), self.ask()), (b"0", b"0"))
        for name in recent.TOLD_BY:
            if name in ("PATH_INFO", "CONTENT_TYPE"):
                continue
            with self.subTest(name=name):
                given = {name: "another"}
                self.assertNotEqual(self.ask(**given), b"0")
                with mock.patch.object(recent, "TOLD_BY", ("PATH_INFO",)):
                    told_by_less = self.ask(**given)
                    self.assertEqual(self.ask(), told_by_less)

    def test_https_is_told_apart(self) -> None:
        self.assertNotEqual(self.ask(), self.ask(**{"wsgi.url_scheme": "https"}))

    def test_who_says_who_they_are_or_what_they_have_goes_by(self) -> None:
        self.ask()
        for name in (*recent.OWN, "HTTP_AUTHORIZATION", "HTTP_COOKIE"):
            with self.subTest(name=name):
                self.assertNotEqual(self.ask(**{name: "x"}), b"0")
                self.assertEqual(self.ask(), b"0")
        self.assertNotEqual(self.ask(CONTENT_LENGTH="1"), b"0")
        self.assertNotEqual(self.ask(method="HEAD"), b"0")

    def test_only_a_request_that_may_have_changed_something_ends_it(self) -> None:
        for method, status, ends in (
            ("POST", 201, True),
            ("PUT", 200, True),
            ("PATCH", 302, True),
            ("DELETE", 204, True),
            ("POST", 500, True),
            ("POST", 503, False),
            ("POST", 401, False),
            ("POST", 409, False),
            ("GET", 200, False),
            ("HEAD", 200, False),
        ):
            with self.subTest(method=method, status=status):
                before = self.ask()
                other = RecentMiddleware(lambda request, status=status: HttpResponse(status=status))
                other(RequestFactory().generic(method, "/home"))
                self.assertEqual(self.ask() != before, ends)

    def test_signing_in_changes_nothing_and_closing_an_account_does(self) -> None:
        other = RecentMiddleware(lambda request: HttpResponse())
        for path, ends in (
            ("/api-token-auth/", False),
            ("/api/rest-auth/login/", False),
            ("/user/login/", False),
            ("/user/close/", True),
        ):
            with self.subTest(path=path):
                before = self.ask()
                other(RequestFactory().post(path))
                self.assertEqual(self.ask() != before, ends)

    def test_what_is_kept_for_who_is_signed_out_does_not_push_out_the_other(self) -> None:
        both: recent.Recent[int] = recent.Recent(most=9)
        signed_in, signed_out = recent.Since.now(of_all=7), recent.Since.now()
        both.keep("page", signed_in, 1)
        both.keep("page", signed_out, 2)
        self.assertEqual([both.get("page", now) for now in (signed_in, signed_out)], [1, 2])

    def test_an_answer_that_crosses_with_a_change_is_not_kept(self) -> None:
        """It may have been read before the change."""

        def crossing(request: HttpRequest) -> HttpResponse:
            recent.changes.one_more()
            return HttpResponse("read before")

        middleware = RecentMiddleware(crossing)
        middleware(RequestFactory().get(BOOKS))
        middleware.get_response = lambda request: HttpResponse("read after")
        again = middleware(RequestFactory().get(BOOKS))
        self.assertEqual(again.content, b"read after")

    def test_a_change_in_one_process_is_seen_in_the_others(self) -> None:
        before = recent.changes.now()
        # By hand: `multiprocessing` lets no process of a parallel test run have children.
        child = os.fork()
        if not child:
            recent.changes.one_more()
            os._exit(0)
        os.waitpid(child, 0)
        self.assertNotEqual(recent.changes.now(), before)

    def test_what_is_too_much_or_one_persons_or_not_well_is_not_kept(self) -> None:
        with_cookie = HttpResponse("x")
        with_cookie.set_cookie("a", "b")
        for response in (
            with_cookie,
            HttpResponse("x", headers={"Cache-Control": "private"}),
            HttpResponse("x", status=404),
            HttpResponse(b"x" * (recent.LARGEST + 1)),
        ):
            self.assertFalse(recent.may_be_kept(response))
        self.assertTrue(recent.may_be_kept(HttpResponse(b"x" * recent.LARGEST)))

    def test_a_stream_is_not_kept(self) -> None:
        self.middleware.get_response = lambda request: StreamingHttpResponse([str(next(self.numbers))])
        for number in (0, 1):
            streamed = self.middleware(RequestFactory().get(BOOKS))
            self.assertEqual(streamed.getvalue(), str(number).encode())

    def test_no_more_is_kept_than_has_room(self) -> None:
        few: recent.Recent[int] = recent.Recent(most=3)
        now = recent.Since.now()
        for number in range(10):
            few.keep(number, now, number)
            self.assertEqual(few.get(number, now), number)
            self.assertLessEqual(sum(few.get(other, now) is not None for other in range(10)), 3)

    def test_zero_seconds_keep_nothing(self) -> None:
        with override_settings(RECENT_SECONDS=0):
            self.assertNotEqual(self.ask(), self.ask())

"""Anonymous responses of the catalogue are cached for a second, and no other responses are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings

from accounts import tokens
from accounts.models import User
from books.models import Book
from books.stock import add_book
from lori_assignment.caching import response_cache
from lori_assignment.caching.response_cache import ResponseCacheMiddleware, may_be_cached
from lori_assignment.testing.cases import CastTestCase
from lori_assignment.tests.test_metrics import TOKEN, told

BOOKS = "/api/v3/books/"


@override_settings(RESPONSE_CACHE_SECONDS=1.0)
class CacheCase(CastTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.time = 1000.0
        clock = "lori_assignment.caching.response_cache.time.monotonic"
        self.enterContext(mock.patch(clock, side_effect=lambda: self.time))


class ShopTest(CacheCase):
    def setUp(self) -> None:
        super().setUp()
        self.book = add_book(name="Emma")

    def rename(self, name: str) -> None:
        Book.objects.filter(pk=self.book.pk).update(name=name)

    def by_token(self, user: User) -> Client:
        return Client(headers={"Authorization": f"JWT {tokens.issue_tokens(user).access}"})

    def test_cached_for_one_second(self) -> None:
        for path in (BOOKS, f"{BOOKS}{self.book.pk}", "/home", "/home?search=emma"):
            with self.subTest(path=path):
                self.rename("Emma")
                first = self.client.get(path)
                self.rename("Emma, changed")
                self.time += 0.99
                with self.assertNumQueries(0):
                    again = self.client.get(path)
                self.assertNotEqual(again.headers.pop("X-Request-ID"), first.headers.pop("X-Request-ID"))
                self.assertEqual((again.content, again.headers), (first.content, first.headers))
                self.time += 0.01
                self.assertContains(self.client.get(path), "Emma, changed")
                self.time += 1

    def test_expires_by_the_start_of_the_view(self) -> None:
        def slow(request: HttpRequest) -> HttpResponse:
            self.time += 0.8
            return HttpResponse("old")

        request, middleware = RequestFactory().get(BOOKS), ResponseCacheMiddleware(slow)
        middleware(request)
        self.time += 0.3
        middleware.get_response = lambda request: HttpResponse("new")
        self.assertEqual(getattr(middleware(request), "content", None), b"new")

    def test_signed_in_requests_are_fresh(self) -> None:
        browser, program = Client(), self.by_token(self.alice)
        browser.force_login(self.alice)
        for path in (BOOKS, f"{BOOKS}{self.book.pk}", "/home"):
            with self.subTest(path=path):
                self.rename("Emma")
                for client in (self.client, browser, program):
                    client.get(path)
                self.rename("Persuasion")
                for client in (browser, program):
                    self.assertContains(client.get(path), "Persuasion")
                self.assertNotContains(self.client.get(path), "Persuasion")

    def test_nobodys_page_is_cached_for_another(self) -> None:
        browser = Client()
        browser.force_login(self.alice)
        self.assertContains(browser.get("/home"), self.alice.get_short_name())
        self.assertNotContains(self.client.get("/home"), self.alice.get_short_name())
        browser.force_login(self.bob)
        page = browser.get("/home")
        self.assertContains(page, self.bob.get_short_name())
        self.assertNotContains(page, self.alice.get_short_name())

    def test_a_bad_token_is_refused(self) -> None:
        self.client.get(BOOKS)
        self.assertEqual(self.client.get(BOOKS, headers={"Authorization": "JWT x"}).status_code, 401)

    def test_another_host_is_refused(self) -> None:
        for path in (BOOKS, "/home"):
            self.client.get(path)
            self.assertEqual(self.client.get(path, headers={"Host": "evil.example"}).status_code, 400)

    def test_etag_of_a_cached_response(self) -> None:
        for path in (BOOKS, f"{BOOKS}{self.book.pk}"):
            with self.subTest(path=path):
                full = self.client.get(path)
                etag = full.headers["ETag"]
                with self.assertNumQueries(0):
                    answer = self.client.get(path, headers={"If-None-Match": etag})
                    other = self.client.get(path, headers={"If-None-Match": '"x"'})
                self.assertEqual((answer.status_code, answer.content), (304, b""))
                for name in ("ETag", "Cache-Control", "Vary"):
                    self.assertEqual(answer.headers[name], full.headers[name])
                self.assertEqual((other.status_code, other.content), (200, full.content))
                self.rename(f"Emma {path}")
                self.time += 1
                self.assertEqual(self.client.get(path, headers={"If-None-Match": etag}).status_code, 200)

    def test_a_304_is_not_cached(self) -> None:
        etag = self.client.get(BOOKS).headers["ETag"]
        self.time += 1
        self.assertEqual(self.client.get(BOOKS, headers={"If-None-Match": etag}).status_code, 304)
        self.assertContains(self.client.get(BOOKS), "Emma")

    def test_htmx_gets_a_part_of_home(self) -> None:
        htmx = {"HX-Request": "true"}
        restore = {**htmx, "HX-History-Restore-Request": "true"}
        for _ in range(2):
            self.assertContains(self.client.get("/home"), "<html")
            self.assertNotContains(self.client.get("/home", headers=htmx), "<html")
            self.assertContains(self.client.get("/home", headers=restore), "<html")

    def test_each_language_has_its_own(self) -> None:
        for path in (BOOKS, "/home", "/home?search=emma", f"{BOOKS}?page_size=1"):
            for languages in ("en", "de"):
                with self.subTest(path=path, languages=languages):
                    answers = [
                        self.client.get(path, headers={"Accept-Language": languages}) for _ in range(2)
                    ]
                    self.assertEqual(answers[0].content, answers[1].content)
                    self.assertEqual(answers[1].headers["Content-Language"], languages)

    def test_a_language_cookie_bypasses_it(self) -> None:
        self.client.get("/home")
        german = Client()
        german.cookies["django_language"] = "de"
        self.assertContains(german.get("/home"), 'lang="de"')
        self.assertContains(self.client.get("/home"), '<html lang="en"')

    @override_settings(METRICS_TOKEN=TOKEN, ALLOWED_HOSTS=["testserver"])
    def test_the_metrics_count_cached_responses(self) -> None:
        key = ("GET", "/api/v3/books/", "200")
        before = told(self.client).get(key, 0)
        for _ in range(2):
            self.client.get(BOOKS)
        self.assertEqual(told(self.client)[key] - before, 2)

    def test_other_pages_and_errors_are_not_cached(self) -> None:
        paths = ("/", f"/books/{self.book.pk}/", "/homes", "/api/v3/book_rentals/")
        errors = ("/api/v3/books/0", f"{BOOKS}?page_size=x", "/home?kind=")
        for path in (*paths, *errors):
            with self.subTest(path=path):
                before = self.client.get(path).status_code
                with mock.patch.object(response_cache, "CachedResponse", side_effect=AssertionError):
                    self.assertEqual(self.client.get(path).status_code, before)

    def test_a_signed_out_page_sets_no_cookie(self) -> None:
        for path in ("/", "/home", f"/books/{self.book.pk}/"):
            with self.subTest(path=path):
                one, other = Client().get(path), Client().get(path)
                self.assertFalse(one.cookies)
                self.assertEqual(one.content, other.content)
                self.assertNotIn(b"csrfmiddlewaretoken", one.content)


class MiddlewareTest(CacheCase):
    def setUp(self) -> None:
        super().setUp()
        numbers = iter(range(1000))
        self.middleware = ResponseCacheMiddleware(lambda request: HttpResponse(str(next(numbers))))

    def ask(self, path: str = BOOKS, method: str = "GET", **environ: str) -> bytes:
        response = self.middleware(RequestFactory().generic(method, path, **environ))
        assert isinstance(response, HttpResponse)
        return response.content

    def test_every_part_of_the_key_matters(self) -> None:
        self.assertEqual((self.ask(), self.ask()), (b"0", b"0"))
        for name in (*response_cache.KEY_FIELDS, "HTTP_HX_REQUEST", "HTTP_HX_HISTORY_RESTORE_REQUEST"):
            if name in ("PATH_INFO", "CONTENT_TYPE"):
                continue
            with self.subTest(name=name):
                another = self.ask(**{name: "another"})
                self.assertNotEqual(another, b"0")
                self.assertEqual(self.ask(**{name: "another"}), another)
        self.assertNotEqual(self.ask("/api/v3/books/1"), b"0")
        self.assertNotEqual(self.ask(**{"wsgi.url_scheme": "https"}), b"0")
        self.assertEqual(self.ask(), b"0")

    def test_what_is_not_cacheable_passes(self) -> None:
        self.ask()
        for name in ("COOKIE", *response_cache.BYPASS):
            with self.subTest(name=name):
                self.assertNotEqual(self.ask(**{f"HTTP_{name}": "x"}), b"0")
        self.assertNotEqual(self.ask(CONTENT_LENGTH="1"), b"0")
        self.assertEqual(self.ask(CONTENT_LENGTH="0"), b"0")
        for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
            self.assertNotEqual(self.ask(method=method), b"0")
        for path in ("/", "/home/", "/api/v3/book_rentals/", "/api/v9/books/"):
            self.assertNotEqual(self.ask(path), self.ask(path))
        self.assertEqual(self.ask(), b"0")

    def test_which_responses_may_be_cached(self) -> None:
        setting = HttpResponse()
        setting.set_cookie("a", "b")
        for response in (
            setting,
            HttpResponse(status=304),
            HttpResponse(status=500),
            HttpResponse(headers={"Cache-Control": "no-store"}),
            HttpResponse(b"x" * (response_cache.MAX_BYTES + 1)),
        ):
            self.assertFalse(may_be_cached(response))
        self.assertTrue(may_be_cached(HttpResponse(b"x" * response_cache.MAX_BYTES)))

    def test_a_stream_is_not_cached(self) -> None:
        self.middleware.get_response = lambda request: StreamingHttpResponse(iter([b"x"]))
        for _ in range(2):
            answer = self.middleware(RequestFactory().get(BOOKS))
            assert isinstance(answer, StreamingHttpResponse)
            self.assertEqual(b"".join(answer), b"x")  # type: ignore[arg-type]  # not an asynchronous one

    def test_a_cached_response_cannot_be_changed(self) -> None:
        for _ in range(2):
            response = self.middleware(RequestFactory().get(BOOKS))
            self.assertNotIn("X-Added", response.headers)
            response.headers["X-Added"] = "by another middleware"

    def test_the_number_is_bounded(self) -> None:
        with mock.patch.object(response_cache, "MAX_RESPONSES", 3):
            for number in range(9):
                self.ask(f"{BOOKS}{number}")
                self.assertLessEqual(len(self.middleware._cached), 3)

    def test_zero_seconds_turn_it_off(self) -> None:
        with override_settings(RESPONSE_CACHE_SECONDS=0):
            self.assertNotEqual(self.ask(), self.ask())

    def test_threads_get_their_own_responses(self) -> None:
        middleware = ResponseCacheMiddleware(lambda request: HttpResponse(request.path))

        def ask(number: int) -> bool:
            path = f"{BOOKS}{number % 20}"
            return getattr(middleware(RequestFactory().get(path)), "content", b"") == path.encode()

        with mock.patch.object(response_cache, "MAX_RESPONSES", 5), ThreadPoolExecutor(8) as threads:
            self.assertTrue(all(threads.map(ask, range(400))))

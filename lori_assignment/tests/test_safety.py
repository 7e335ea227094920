"""What every answer tells the browser, as the shop is set up in production."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any
from unittest import TestCase

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from accounts import tokens
from accounts.models import User
from accounts.tests.case import NEW, REFRESH, TOKEN
from books.stock import add_book
from lori_assignment import urls
from lori_assignment.cast import PASSWORD, CastTestCase
from lori_assignment.charset import only_utf8
from lori_assignment.safety import HEADERS
from lori_assignment.templatetags import shop
from lori_assignment.tests import observatory
from lori_assignment.tests.test_settings import start

SHOP = "https://shop.example"
# What an https address changes, as a process of its own reads it from a production environment.
NAMES = [
    "SITE_URL",
    "ALLOWED_HOSTS",
    "CONTENT_SECURITY_POLICY",
    *("SECURE_SSL_REDIRECT", "SECURE_SSL_HOST", "SECURE_HSTS_SECONDS"),
    *("SECURE_HSTS_INCLUDE_SUBDOMAINS", "SECURE_HSTS_PRELOAD"),
    *("SESSION_COOKIE_NAME", "SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SESSION_COOKIE_SAMESITE"),
    *("CSRF_COOKIE_NAME", "CSRF_COOKIE_SECURE", "CSRF_COOKIE_SAMESITE"),
    *("LANGUAGE_COOKIE_NAME", "LANGUAGE_COOKIE_SECURE", "LANGUAGE_COOKIE_SAMESITE"),
]
IN_PRODUCTION: dict[str, Any] = {}
# Set by SecurityMiddleware, and by XFrameOptionsMiddleware.
BY_DJANGO = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FRAMES = {"X-Frame-Options": "DENY"}


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [path("broken/", broken), path("api/broken/", broken), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = (
    urls.handler400,
    urls.handler403,
    urls.handler404,
    urls.handler500,
)


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_safety")
class SafetyCase(CastTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        if not IN_PRODUCTION:
            shown = (
                f"DEBUG or __import__('json').dumps({{name: getattr(settings, name) for name in {NAMES}}})"
            )
            IN_PRODUCTION.update(json.loads(ast.literal_eval(start(shown).stdout)))
        super().setUpClass()
        cls.enterClassContext(override_settings(**IN_PRODUCTION))

    def browser(self, user: User | None = None) -> Client:
        browser = Client(headers={"host": "shop.example"}, raise_request_exception=False)
        if user:
            browser.force_login(user)
        return browser

    def get(self, address: str, user: User | None = None, **more: Any) -> HttpResponse:
        return self.browser(user).get(address, secure=True, **more)


class EveryAnswerTest(SafetyCase):
    def answers(self) -> dict[str, HttpResponse]:
        book = add_book(name="Emma", kind=3)
        book.cover.save("x.webp", ContentFile(b"RIFF"))
        self.addCleanup(book.cover.delete)
        get = self.get
        return {
            "a page": get("/"),
            "a page of allauth's": get("/user/login/"),
            "a page of the administration": get("/admin/", self.dan),
            "swagger": get("/swagger"),
            "its document": get("/swagger.json"),
            "the API": get("/api/v3/books/"),
            "the API's 401": get("/api/v3/book_rentals/"),
            "the API's 404": get("/api/v3/nothing"),
            "a redirect": get("/rentals/"),
            "a redirect to https": self.browser().get("/"),
            "a file": get("/static/shop.css"),
            "a file that is not there": get("/static/nothing.css"),
            "a cover": get(book.cover.url),
            "no cover": get("/media/nothing.webp"),
            "another Host": self.browser().get("/", secure=True, headers={"host": "evil.example"}),
            "a page that is not there": get("/nothing/"),
            "a method that is not there": self.browser().post("/robots.txt", secure=True),
            "a form without its token": Client(
                enforce_csrf_checks=True, headers={"host": "shop.example"}
            ).post("/user/login/", secure=True),
            "a crash": get("/broken/"),
            "a crash of the API": get("/api/broken/"),
        }

    def test_has_what_keeps_it_safe(self) -> None:
        with self.assertLogs("django", "ERROR"):
            answers = self.answers()
        self.assertEqual(
            {answer.status_code for answer in answers.values()}, {200, 301, 302, 400, 401, 403, 404, 405, 500}
        )
        for what, answer in answers.items():
            with self.subTest(what):
                for name, value in BY_DJANGO.items():
                    self.assertEqual(answer.headers[name], value)
                if what == "a redirect to https":
                    # SecurityMiddleware answers before the others.
                    continue
                for name, value in (HEADERS | FRAMES).items():
                    self.assertEqual(answer.headers[name], value)
                policy = answer.headers["Content-Security-Policy"]
                self.assertIn("default-src 'none'", policy)
                self.assertIn("frame-ancestors 'none'", policy)
                self.assertNotIn("unsafe", policy)
                self.assertIn("max-age=31536000", answer.headers["Strict-Transport-Security"])

    def test_says_what_its_body_is_and_in_which_charset(self) -> None:
        with self.assertLogs("django", "ERROR"):
            answers = self.answers()
        answers["a text"] = self.get("/robots.txt")
        for what, answer in answers.items():
            if answer.streaming or answer.content:
                with self.subTest(what):
                    kind, _, more = answer.headers["Content-Type"].partition(";")
                    self.assertRegex(kind, r"\A(text/\w+|application/[\w+-]+|image/webp)\Z")
                    if kind.startswith("text/"):
                        self.assertRegex(more, 'charset="?utf-8"?')

    def test_without_the_middleware_it_has_not(self) -> None:
        """The twin."""
        without = [name for name in settings.MIDDLEWARE if "SafetyHeaders" not in name]
        with override_settings(MIDDLEWARE=without):
            answer = self.get("/static/shop.css")
        self.assertNotIn("Cross-Origin-Resource-Policy", answer.headers)

    def test_nothing_that_is_answered_before_django_goes_without(self) -> None:
        said: dict[str, str] = {}

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            said.update(headers)

        only_utf8(lambda *facts: [])({"CONTENT_TYPE": "text/html; charset=utf-7"}, start_response)
        self.assertLessEqual((HEADERS | BY_DJANGO | FRAMES).items(), said.items())
        self.assertIn("default-src 'none'", said["Content-Security-Policy"])

    def test_redoc_alone_writes_styles_of_its_own_and_runs_no_foreign_script(self) -> None:
        policy = self.get("/redoc").headers["Content-Security-Policy"]
        self.assertIn("style-src 'self' 'unsafe-inline'", policy)
        self.assertIn("script-src 'self';", policy + ";")


class ObservatoryTest(SafetyCase):
    def score(self, address: str) -> tuple[int, dict[str, int]]:
        each = observatory.scores(self.get(address), redirect=self.browser().get(address))
        return observatory.total(each), each

    def test_the_pages_that_strangers_see_score_135(self) -> None:
        book = add_book(name="Emma", kind=3)
        for address in ("/", "/home", f"/books/{book.pk}/", "/user/login/", "/user/signup/", "/swagger"):
            with self.subTest(address):
                score, each = self.score(address)
                self.assertGreaterEqual(score, 135, each)

    def test_redoc_scores_what_its_styles_leave_it(self) -> None:
        score, each = self.score("/redoc")
        self.assertEqual((score, each["content security policy"]), (125, 0), each)

    def test_each_rule_that_is_broken_costs_points(self) -> None:
        broken: dict[str, dict[str, Any]] = {
            "content security policy": {"Content-Security-Policy": "default-src 'self'"},
            "referrer policy": {"Referrer-Policy": "unsafe-url"},
            "strict transport": {"Strict-Transport-Security": "max-age=60"},
            "content type options": {"X-Content-Type-Options": ""},
            "resource policy": {"Cross-Origin-Resource-Policy": "cross-origin"},
            "cross-origin sharing": {"Access-Control-Allow-Origin": "*"},
        }
        good = self.get("/user/login/")
        redirect = self.browser().get("/user/login/")
        best = observatory.scores(good, redirect=redirect)
        for test, headers in broken.items():
            answer = self.get("/user/login/")
            for name, value in headers.items():
                answer.headers[name] = value
            self.assertLess(observatory.scores(answer, redirect=redirect)[test], best[test], test)
        answer = self.get("/user/login/")
        answer.content = answer.content.replace(b"integrity=", b"data-was=")
        next(iter(answer.cookies.values()))["secure"] = ""
        worse = observatory.scores(answer, redirect=good)
        for test in ("subresource integrity", "cookies", "redirection"):
            self.assertLess(worse[test], best[test], test)


class IntegrityTest(SafetyCase):
    def test_the_digest_is_that_of_the_script(self) -> None:
        page = self.get("/home").content.decode()
        found = re.findall(r'<script src="([^"]+)" integrity="sha384-([^"]+)"', page)
        self.assertEqual(len(found), 2)
        for address, digest in found:
            content = b"".join(self.get(address))
            self.assertEqual(base64.b64encode(hashlib.sha384(content).digest()).decode(), digest, address)

    def test_in_production_it_is_that_of_the_script_as_it_was_collected(self) -> None:
        with tempfile.TemporaryDirectory() as place:
            collected = Path(place) / "shop.0123456789ab.js"
            collected.write_bytes(b"rewritten()")
            (Path(place) / "staticfiles.json").write_text(
                json.dumps({"version": "1.1", "paths": {"shop.js": collected.name}, "hash": ""})
            )
            backend = "whitenoise.storage.CompressedManifestStaticFilesStorage"
            storages = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
            with override_settings(STATIC_ROOT=place, STORAGES=storages, DEBUG=False):
                digest = shop._digest.__wrapped__("shop.js")
        self.assertEqual(digest, base64.b64encode(hashlib.sha384(b"rewritten()").digest()).decode())


class OurScriptsTest(TestCase):
    """static/*.js: what runs in the browser of whoever is signed in."""

    # What makes programs of texts, listens to other windows, or outlives the sign-out.
    DANGEROUS = re.compile(
        r"\beval\(|\bnew Function\b|innerHTML|outerHTML|insertAdjacentHTML|document\.write|__proto__"
        r"|localStorage|sessionStorage|indexedDB|addEventListener\(\"message|onmessage|setTimeout\(\""
    )

    def test_they_neither_evaluate_nor_keep_anything(self) -> None:
        scripts = sorted((settings.BASE_DIR / "static").glob("*.js"))
        self.assertGreaterEqual(len(scripts), 4)
        for script in scripts:
            with self.subTest(script=script.name):
                self.assertIsNone(self.DANGEROUS.search(script.read_text()))

    def test_what_does_is_seen(self) -> None:
        for line in (
            "eval(text)",
            "part.innerHTML = text",
            'localStorage.setItem("token", token)',
            'addEventListener("message", hear)',
        ):
            self.assertIsNotNone(self.DANGEROUS.search(line), line)


class CookieTest(SafetyCase):
    def test_those_of_the_whole_site_are_this_hosts_alone(self) -> None:
        browser = self.browser()
        browser.get("/user/login/", secure=True)
        browser.post("/user/login/", {"login": "alice", "password": PASSWORD}, secure=True)
        browser.post("/language/", {"language": "de", "next": "/"}, secure=True)
        for name in ("sessionid", "csrftoken", "django_language"):
            cookie = browser.cookies[f"__Host-{name}"]
            self.assertEqual((cookie["path"], cookie["domain"], cookie["secure"]), ("/", "", True), name)
            self.assertEqual(cookie["samesite"], "Lax")
            self.assertEqual(bool(cookie["httponly"]), name != "csrftoken")

    def test_on_https_each_name_tells_the_browser(self) -> None:
        shown = (
            "DEBUG or (__import__('django').setup(), __import__('accounts.web_tokens').web_tokens, "
            "__import__('lori_assignment.messages').messages)[1:] and "
            "[__import__('accounts.web_tokens').web_tokens.ACCESS_COOKIE, "
            "__import__('accounts.web_tokens').web_tokens.REFRESH_COOKIE, "
            "__import__('accounts.web_tokens').web_tokens.UNTIL_COOKIE, "
            "__import__('lori_assignment.messages').messages._HostCookieStorage.cookie_name]"
        )
        self.assertEqual(
            start(shown).stdout.strip(),
            "['__Secure-lori-access', '__Secure-lori-refresh', '__Host-lori-until', '__Host-messages']",
        )


class SessionTest(SafetyCase):
    def sign_in(self, browser: Client) -> None:
        browser.post("/user/login/", {"login": "alice", "password": PASSWORD}, secure=True)

    def test_signing_in_begins_a_new_one(self) -> None:
        """Else whoever has planted a session in a browser is signed in along with its owner."""
        browser = self.browser()
        browser.post("/user/profile/", {"name": "planted"}, secure=True)
        planted = browser.cookies["__Host-sessionid"].value
        self.assertTrue(Session.objects.filter(pk=planted).exists())
        self.sign_in(browser)
        self.assertNotEqual(browser.cookies["__Host-sessionid"].value, planted)
        self.assertFalse(Session.objects.filter(pk=planted).exists())

    def test_so_does_a_changed_password(self) -> None:
        browser = self.browser()
        self.sign_in(browser)
        before = browser.cookies["__Host-sessionid"].value
        form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
        self.assertEqual(browser.post("/user/password/change/", form, secure=True).status_code, 302)
        self.assertNotEqual(browser.cookies["__Host-sessionid"].value, before)
        self.assertFalse(Session.objects.filter(pk=before).exists())

    def test_nobody_is_signed_out_by_a_link(self) -> None:
        for user, address in ((self.alice, "/user/logout/"), (self.dan, "/admin/logout/")):
            browser = self.browser(user)
            browser.get(address, secure=True)
            self.assertEqual(browser.get("/user/profile/", secure=True).status_code, 200)
            browser.post(address, secure=True)
            self.assertEqual(browser.get("/user/profile/", secure=True).status_code, 302)


class NextTest(SafetyCase):
    ELSEWHERE = [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        r"/\evil.example",
        r"\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "\thttps://evil.example",
        "http://shop.example@evil.example/",
        "https://shop.example.evil.example/",
        "http://shop.example/",
    ]

    def test_leads_nowhere_else(self) -> None:
        for following in self.ELSEWHERE:
            for address, form in (
                ("/user/login/", {"login": "alice", "password": PASSWORD}),
                ("/user/logout/", {}),
                ("/language/", {"language": "de"}),
            ):
                with self.subTest(address, following=following):
                    signed_in = self.alice if address != "/user/login/" else None
                    answer = self.browser(signed_in).post(address, {**form, "next": following}, secure=True)
                    self.assertEqual(answer.status_code, 302)
                    self.assertNotIn("evil", answer.headers["Location"])
                    self.assertEqual(answer.headers["Location"][:1], "/")

    def test_leads_on_within_the_shop(self) -> None:
        form = {"login": "alice", "password": PASSWORD, "next": "/rentals/"}
        answer = self.browser().post("/user/login/", form, secure=True)
        self.assertEqual(answer.headers["Location"], "/rentals/")


class AddressTest(SafetyCase):
    """A second name that the shop answers to, which no link and no mail may lead to."""

    def setUp(self) -> None:
        self.enterContext(override_settings(ALLOWED_HOSTS=["shop.example", "other.example"]))

    def test_the_way_to_https_leads_to_the_shop(self) -> None:
        answer = self.browser().get("/home", headers={"host": "other.example"})
        self.assertEqual(answer.headers["Location"], f"{SHOP}/home")

    def test_no_answer_names_the_host_that_was_asked(self) -> None:
        for number in range(3):
            book = add_book(name=f"Emma {number}", kind=3)
        book.cover.save("x.webp", ContentFile(b"RIFF"))
        self.addCleanup(book.cover.delete)
        for address in (
            *(f"/api/{version}/books/?page_size=1" for version in ("v1", "v2", "v3")),
            f"/api/v3/books/{book.pk}",
            *("/swagger.json", "/", "/home", f"/books/{book.pk}/", "/user/login/"),
        ):
            answer = self.get(address, headers={"host": "other.example"})
            self.assertEqual(answer.status_code, 200)
            self.assertNotIn("other.example", answer.content.decode() + str(answer.headers), address)
        self.assertIn(f"{SHOP}/media/", self.get(f"/api/v3/books/{book.pk}").json()["image"])
        self.assertIn(f"{SHOP}/api/v3/books/?", self.get("/api/v3/books/?page_size=1").json()["next"])


class NoStoreTest(SafetyCase):
    def stored(self, answer: HttpResponse) -> bool:
        return "no-store" not in answer.headers.get("Cache-Control", "")

    def test_what_is_somebodys_own_is_kept_by_no_cache(self) -> None:
        browser = self.browser(self.dan)
        for address in (
            *("/", "/home", "/rentals/", "/balance", "/user/profile/", "/user/email/", "/user/sessions/"),
            *("/user/password/change/", "/user/2fa/", "/user/data/", "/admin/", "/admin/accounts/user/"),
            f"/admin/accounts/user/{self.alice.pk}/change/",
        ):
            self.assertFalse(self.stored(browser.get(address, secure=True)), address)

    def test_neither_is_a_token_nor_what_is_given_for_one(self) -> None:
        mine = {"Authorization": f"JWT {tokens.give_tokens(self.alice).access}"}
        for address in (
            "/api/rest-auth/user/",
            *(f"/api/{version}/book_rentals/" for version in ("v1", "v2", "v3")),
            f"/api/v3/book_rentals/users/balance/{self.alice.pk}",
            f"/api/v3/accounts/{self.alice.pk}",
            "/api/v3/holds/",
            "/api/v3/payments/",
        ):
            answer = self.get(address, headers=mine)
            self.assertEqual((answer.status_code, self.stored(answer)), (200, False), address)
        pair = {"username": "alice", "password": PASSWORD}
        for address, body in ((TOKEN, pair), (REFRESH, {"refresh": "x"}), ("/api/rest-auth/login/", pair)):
            answer = self.browser().post(address, body, content_type="application/json", secure=True)
            self.assertFalse(self.stored(answer), address)

    def test_what_is_for_everybody_may_be(self) -> None:
        for address in (
            "/",
            "/home",
            "/api/v3/books/",
            "/api/v3/price_lists/",
            "/static/shop.css",
            "/swagger",
        ):
            self.assertTrue(self.stored(self.get(address)), address)

    def test_what_the_api_tells_everybody_is_asked_for_again_by_who_keeps_it(self) -> None:
        book = add_book(name="Emma")
        for address in (
            "/api/v3/books/",
            f"/api/v3/books/{book.pk}",
            "/api/v1/books/",
            "/api/v3/price_lists/",
        ):
            answer = self.get(address)
            self.assertEqual(answer.headers["Cache-Control"], "no-cache")
            self.assertIn("Accept-Language", answer.headers["Vary"])

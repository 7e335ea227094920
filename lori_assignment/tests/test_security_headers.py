"""Security headers and cookies of every response, with production settings."""

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
from django.test import Client, override_settings, tag
from django.urls import path

from accounts import tokens
from accounts.models import User
from accounts.tests.case import NEW, REFRESH, TOKEN
from books.stock import add_book
from lori_assignment import urls
from lori_assignment.http.charset import refuse_other_charsets
from lori_assignment.http.security_headers import HEADERS
from lori_assignment.templatetags import shop
from lori_assignment.testing.cases import PASSWORD, CastTestCase
from lori_assignment.tests.test_settings import start

SHOP = "https://shop.example"
# Settings that depend on https, read by a separate process with a production environment.
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


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_security_headers")
@tag("any_database")
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


class SecurityHeadersTest(SafetyCase):
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

    def test_safety_headers_are_set(self) -> None:
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
                    # SecurityMiddleware answers these before the other middleware.
                    continue
                for name, value in (HEADERS | FRAMES).items():
                    self.assertEqual(answer.headers[name], value)
                policy = answer.headers["Content-Security-Policy"]
                self.assertIn("default-src 'none'", policy)
                self.assertIn("frame-ancestors 'none'", policy)
                self.assertNotIn("unsafe", policy)
                self.assertIn("max-age=31536000", answer.headers["Strict-Transport-Security"])

    def test_content_type_and_charset_are_set(self) -> None:
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

    def test_without_middleware_headers_are_missing(self) -> None:
        """Shows that the tests above can fail."""
        without = [name for name in settings.MIDDLEWARE if "SecurityHeaders" not in name]
        with override_settings(MIDDLEWARE=without):
            answer = self.get("/static/shop.css")
        self.assertNotIn("Cross-Origin-Resource-Policy", answer.headers)

    def test_answers_before_django_have_headers(self) -> None:
        said: dict[str, str] = {}

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            said.update(headers)

        refuse_other_charsets(lambda *facts: [])({"CONTENT_TYPE": "text/html; charset=utf-7"}, start_response)
        self.assertLessEqual((HEADERS | BY_DJANGO | FRAMES).items(), said.items())
        self.assertIn("default-src 'none'", said["Content-Security-Policy"])

    def test_only_redoc_allows_inline_styles(self) -> None:
        policy = self.get("/redoc").headers["Content-Security-Policy"]
        self.assertIn("style-src 'self' 'unsafe-inline'", policy)
        self.assertIn("script-src 'self';", policy + ";")


class PageTest(SafetyCase):
    """Pages for everybody."""

    def test_no_other_origin_may_read_them(self) -> None:
        for address, page in self.pages().items():
            with self.subTest(address):
                self.assertNotIn("Access-Control-Allow-Origin", page.headers)
                self.assertEqual(page.headers["Cross-Origin-Resource-Policy"], "same-origin")
                self.assertIn(page.headers["Referrer-Policy"], ("no-referrer", "same-origin"))

    def test_no_source_of_the_policy_is_broad_or_plain_http(self) -> None:
        for address, page in self.pages().items():
            with self.subTest(address):
                policy = page.headers["Content-Security-Policy"]
                parts = [part.split() for part in policy.split(";") if part.strip()]
                sources = {name: set(rest) for name, *rest in parts}
                self.assertEqual(sources["default-src"], {"'none'"})
                self.assertEqual(sources["object-src"], {"'none'"})
                self.assertEqual(sources["script-src"], {"'self'"})
                # Swagger UI has one inline style, permitted by its hash.
                for source in sources["style-src"]:
                    self.assertRegex(source, r"\A'(self|sha256-[\w+/=]+)'\Z")
                for source in set().union(*sources.values()):
                    self.assertFalse(source.startswith(("*", "http:", "ftp:")), source)

    def test_cookies_are_secure_and_stay_on_the_site(self) -> None:
        login = self.get("/user/login/")
        self.assertTrue(login.cookies)
        for cookie in login.cookies.values():
            self.assertTrue(cookie["secure"], cookie)
            self.assertIn(cookie["samesite"], ("Lax", "Strict"))

    def test_plain_http_is_redirected_for_good(self) -> None:
        for address in self.pages():
            with self.subTest(address):
                redirect = self.browser().get(address)
                self.assertEqual(redirect.status_code, 301)
                self.assertEqual(redirect.headers["Location"], f"{SHOP}{address}")

    def test_scripts_are_our_own_and_have_their_digest(self) -> None:
        for address, page in self.pages().items():
            scripts = re.findall(r"<script\b[^>]*\bsrc=[^>]*>", page.content.decode())
            self.assertTrue(scripts, address)
            for script in scripts:
                with self.subTest(address, script=script):
                    self.assertRegex(script, r'\bsrc="/static/')
                    self.assertIn(" integrity=", script)

    def pages(self) -> dict[str, HttpResponse]:
        book = add_book(name="Emma", kind=3)
        addresses = ("/", "/home", f"/books/{book.pk}/", "/user/login/", "/user/signup/", "/swagger")
        return {address: self.get(address) for address in addresses}


class IntegrityTest(SafetyCase):
    def test_the_digest_is_that_of_the_script(self) -> None:
        page = self.get("/home").content.decode()
        found = re.findall(r'<script src="([^"]+)" integrity="sha384-([^"]+)"', page)
        self.assertEqual(len(found), 2)
        for address, digest in found:
            content = b"".join(self.get(address))
            self.assertEqual(base64.b64encode(hashlib.sha384(content).digest()).decode(), digest, address)

    def test_digest_is_that_of_the_collected_script(self) -> None:
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


class ScriptTest(TestCase):
    """static/*.js runs in the browsers of signed-in users."""

    # Functions that execute text, listen to other windows, or store data beyond signing out.
    DANGEROUS = re.compile(
        r"\beval\(|\bnew Function\b|innerHTML|outerHTML|insertAdjacentHTML|document\.write|__proto__"
        r"|localStorage|sessionStorage|indexedDB|addEventListener\(\"message|onmessage|setTimeout\(\""
    )

    def test_scripts_use_no_dangerous_api(self) -> None:
        scripts = sorted((settings.BASE_DIR / "static").glob("*.js"))
        self.assertGreaterEqual(len(scripts), 4)
        for script in scripts:
            with self.subTest(script=script.name):
                self.assertIsNone(self.DANGEROUS.search(script.read_text()))

    def test_dangerous_api_is_detected(self) -> None:
        for line in (
            "eval(text)",
            "part.innerHTML = text",
            'localStorage.setItem("token", token)',
            'addEventListener("message", hear)',
        ):
            self.assertIsNotNone(self.DANGEROUS.search(line), line)


class CookieTest(SafetyCase):
    def test_site_cookies_have_the_host_prefix(self) -> None:
        browser = self.browser()
        browser.get("/user/login/", secure=True)
        browser.post("/user/login/", {"login": "alice", "password": PASSWORD}, secure=True)
        browser.post("/language/", {"language": "de", "next": "/"}, secure=True)
        for name in ("sessionid", "csrftoken", "django_language"):
            cookie = browser.cookies[f"__Host-{name}"]
            self.assertEqual((cookie["path"], cookie["domain"], cookie["secure"]), ("/", "", True), name)
            self.assertEqual(cookie["samesite"], "Lax")
            self.assertEqual(bool(cookie["httponly"]), name != "csrftoken")

    def test_cookies_have_prefixes_over_https(self) -> None:
        shown = (
            "DEBUG or (__import__('django').setup(), __import__('accounts.web_tokens').web_tokens, "
            "__import__('lori_assignment.http.message_storage').http.message_storage)[1:] and "
            "[__import__('accounts.web_tokens').web_tokens.ACCESS_COOKIE, "
            "__import__('accounts.web_tokens').web_tokens.REFRESH_COOKIE, "
            "__import__('accounts.web_tokens').web_tokens.EXPIRY_COOKIE, "
            "__import__('lori_assignment.http.message_storage').http.message_storage._HostCookieStorage.cookie_name]"
        )
        self.assertEqual(
            start(shown).stdout.strip(),
            "['__Secure-lori-access', '__Secure-lori-refresh', '__Host-lori-until', '__Host-messages']",
        )


class SessionTest(SafetyCase):
    def sign_in(self, browser: Client) -> None:
        browser.post("/user/login/", {"login": "alice", "password": PASSWORD}, secure=True)

    def test_sign_in_replaces_the_session(self) -> None:
        """Otherwise an attacker who has planted a session in a browser would be signed in with its user."""
        browser = self.browser()
        browser.get("/user/2fa/webauthn/login/", headers={"X-Requested-With": "XMLHttpRequest"}, secure=True)
        planted = browser.cookies["__Host-sessionid"].value
        self.sign_in(browser)
        self.assertNotEqual(browser.cookies["__Host-sessionid"].value, planted)
        browser.cookies["__Host-sessionid"] = planted
        self.assertEqual(browser.get("/user/profile/", secure=True).status_code, 302)

    def test_password_change_replaces_the_session(self) -> None:
        browser = self.browser()
        self.sign_in(browser)
        before = browser.cookies["__Host-sessionid"].value
        form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
        self.assertEqual(browser.post("/user/password/change/", form, secure=True).status_code, 302)
        self.assertNotEqual(browser.cookies["__Host-sessionid"].value, before)
        self.assertFalse(Session.objects.filter(pk=before).exists())

    def test_get_does_not_sign_out(self) -> None:
        for user, address in ((self.alice, "/user/logout/"), (self.dan, "/admin/logout/")):
            browser = self.browser(user)
            browser.get(address, secure=True)
            self.assertEqual(browser.get("/user/profile/", secure=True).status_code, 200)
            browser.post(address, secure=True)
            self.assertEqual(browser.get("/user/profile/", secure=True).status_code, 302)


class NextParameterTest(SafetyCase):
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

    def test_next_stays_within_the_shop(self) -> None:
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

    def test_next_redirects_within_the_shop(self) -> None:
        form = {"login": "alice", "password": PASSWORD, "next": "/rentals/"}
        answer = self.browser().post("/user/login/", form, secure=True)
        self.assertEqual(answer.headers["Location"], "/rentals/")


class HostHeaderTest(SafetyCase):
    """No link or mail leads to another allowed host."""

    def setUp(self) -> None:
        self.enterContext(override_settings(ALLOWED_HOSTS=["shop.example", "other.example"]))

    def test_https_redirect_uses_the_configured_host(self) -> None:
        answer = self.browser().get("/home", headers={"host": "other.example"})
        self.assertEqual(answer.headers["Location"], f"{SHOP}/home")

    def test_answers_do_not_name_the_requested_host(self) -> None:
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

    def test_personal_pages_are_not_stored(self) -> None:
        browser = self.browser(self.dan)
        for address in (
            *("/", "/home", "/rentals/", "/balance", "/user/profile/", "/user/email/", "/user/sessions/"),
            *("/user/password/change/", "/user/2fa/", "/user/data/", "/admin/", "/admin/accounts/user/"),
            f"/admin/accounts/user/{self.alice.pk}/change/",
        ):
            self.assertFalse(self.stored(browser.get(address, secure=True)), address)

    def test_personal_api_answers_are_not_stored(self) -> None:
        mine = {"Authorization": f"JWT {tokens.issue_tokens(self.alice).access}"}
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

    def test_public_pages_may_be_stored(self) -> None:
        for address in (
            "/",
            "/home",
            "/api/v3/books/",
            "/api/v3/price_lists/",
            "/static/shop.css",
            "/swagger",
        ):
            self.assertTrue(self.stored(self.get(address)), address)

    def test_public_api_answers_are_revalidated(self) -> None:
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

"""The token cookies of a browser, and how the API accepts them."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.test import Client, override_settings
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts import tokens, web_tokens
from accounts.models import TokenFamily, User
from accounts.tests.case import NEW, REFRESH, USER, WRONG, activate_totp, frozen_clock, totp_code
from accounts.tokens import TokenError
from accounts.web_tokens import ACCESS_COOKIE, EXPIRY_COOKIE, REFRESH_COOKIE
from books.stock import add_book
from lori_assignment.testing.cases import PASSWORD, CastTestCase, RaceTestCase
from rentals.models import Rental

RENEW = "/user/token/renew/"
RENTALS = "/api/v3/book_rentals/"
BOOKS = "/api/v3/books/"
COOKIES = (ACCESS_COOKIE, REFRESH_COOKIE, EXPIRY_COOKIE)
NOW = 1795132800


class BrowserClient(Client):
    """A client that enforces CSRF checks; `say()` sends the CSRF header."""

    def __init__(self, **options):
        super().__init__(enforce_csrf_checks=True, **options)

    def token_of_the_form(self, path="/user/login/"):
        self.get(path)
        return self.cookies["csrftoken"].value

    def sign_in(self, login="alice", **more):
        body = {"login": login, "password": PASSWORD, "csrfmiddlewaretoken": self.token_of_the_form()}
        return self.post("/user/login/", body | more)

    def say(self, path, body=None, method="post", **more):
        """Make a call as static/tokens.js does."""
        headers = {"X-CSRFToken": self.cookies["csrftoken"].value} | more.pop("headers", {})
        call = getattr(self, method)
        return call(path, body, content_type="application/json", headers=headers, **more)

    def has(self, name):
        return name in self.cookies and bool(self.cookies[name].value)


class WebCase(CastTestCase):
    def browser(self, login="alice", **more) -> BrowserClient:
        browser = BrowserClient()
        self.assertEqual(browser.sign_in(login, **more).status_code, 302)
        return browser


class SignInCookiesTest(WebCase):
    def assert_has_tokens(self, browser):
        self.assertTrue(all(browser.has(name) for name in COOKIES))
        self.assertEqual(browser.get(USER).json()["username"], "alice")

    def test_password_gives_tokens(self):
        self.assert_has_tokens(self.browser())

    def test_wrong_password_gives_none(self):
        browser = BrowserClient()
        self.assertEqual(browser.sign_in(password=WRONG).status_code, 200)
        self.assertFalse(any(browser.has(name) for name in COOKIES))

    def test_second_factor_gives_tokens(self):
        secret = activate_totp(self.alice)
        browser = self.browser()
        self.assertFalse(any(browser.has(name) for name in COOKIES))
        with frozen_clock(NOW):
            code = totp_code(secret, NOW)
            form = {"code": code, "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
            self.assertEqual(browser.post("/user/2fa/authenticate/", form).status_code, 302)
        self.assert_has_tokens(browser)

    def test_recovery_code_gives_tokens(self):
        code = RecoveryCodes.activate(self.alice).get_unused_codes()[0]
        activate_totp(self.alice)
        browser = self.browser()
        form = {"code": code, "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
        self.assertEqual(browser.post("/user/2fa/authenticate/", form).status_code, 302)
        self.assert_has_tokens(browser)

    def test_sign_up_gives_tokens(self):
        browser = BrowserClient()
        form = {"username": "eve", "email": "eve@example.org", "password1": NEW, "password2": NEW}
        form["csrfmiddlewaretoken"] = browser.token_of_the_form("/user/signup/")
        self.assertEqual(browser.post("/user/signup/", form).status_code, 302)
        self.assertEqual(browser.get(USER).json()["username"], "eve")

    def test_cookies_are_protected(self):
        cookies = self.browser().cookies
        for name in COOKIES:
            self.assertEqual((cookies[name]["samesite"], cookies[name]["secure"]), ("Lax", ""))
            self.assertEqual(bool(cookies[name]["httponly"]), name != EXPIRY_COOKIE)
        self.assertEqual(cookies[ACCESS_COOKIE]["path"], "/api/")
        self.assertEqual(cookies[REFRESH_COOKIE]["path"], "/user/token/")
        self.assertTrue(RENEW.startswith(cookies[REFRESH_COOKIE]["path"]))

    @override_settings(SESSION_COOKIE_SECURE=True)
    def test_cookies_are_secure_over_https(self):
        cookies = self.browser().cookies
        self.assertEqual([cookies[name]["secure"] for name in COOKIES], [True] * 3)

    def test_cookies_last_as_long_as_the_session(self):
        for remember, lasts in (({}, ""), ({"remember": "on"}, 7 * 24 * 3600)):
            cookies = self.browser(**remember).cookies
            self.assertEqual([cookies[name]["max-age"] for name in COOKIES], [lasts] * 3)

    def test_cookies_add_no_query(self):
        with_tokens, without = self.browser(), Client()
        without.force_login(self.alice)
        for client in (with_tokens, without, Client()):
            client.get("/user/password/change/")
        with self.assertNumQueries(2):
            without.get("/user/password/change/")
        with self.assertNumQueries(2):
            with_tokens.get("/user/password/change/")


class CookieAuthenticationTest(WebCase):
    """API calls with the access cookie."""

    def setUp(self):
        self.book = add_book(name="Emma", kind=3)

    def test_browser_rents_as_the_signed_in_member(self):
        browser = self.browser()
        answer = browser.say(RENTALS, {"book": self.book.pk})
        self.assertEqual(answer.status_code, 201)
        self.assertEqual(Rental.objects.get().user, self.alice)

    def test_csrf_header_is_required(self):
        browser = self.browser()
        for headers in ({}, {"X-CSRFToken": "x" * 32}):
            answer = browser.post(
                RENTALS, {"book": self.book.pk}, content_type="application/json", headers=headers
            )
            self.assertEqual((answer.status_code, answer.json()["code"]), (403, "csrf_failed"))
        self.assertEqual(browser.get(RENTALS).status_code, 200)
        self.assertFalse(Rental.objects.exists())

    def test_staff_calls_require_the_csrf_header(self):
        desk = self.browser("carol")
        for method in ("post", "put", "patch", "delete"):
            path = BOOKS if method == "post" else f"{BOOKS}{self.book.pk}/"
            answer = getattr(desk, method)(path, {"name": "x"}, content_type="application/json")
            self.assertEqual((answer.status_code, answer.json()["code"]), (403, "csrf_failed"), method)
        answer = desk.say(f"{BOOKS}{self.book.pk}/", {"name": "Emma again"}, method="patch")
        self.assertEqual(answer.status_code, 200)

    def test_cookie_takes_no_extra_query(self):
        browser = self.browser()
        with self.assertNumQueries(1):
            browser.get(USER)
        by_header = APIClient()
        by_header.credentials(HTTP_AUTHORIZATION=f"JWT {tokens.issue_tokens(self.alice).access}")
        with self.assertNumQueries(1):
            by_header.get(USER)

    def test_header_takes_precedence(self):
        browser = self.browser()
        bobs = {"Authorization": f"JWT {tokens.issue_tokens(self.bob).access}"}
        self.assertEqual(browser.get(USER, headers=bobs).json()["username"], "bob")
        # No CSRF header is needed, because browsers do not add this header automatically.
        answer = browser.patch(USER, {"name": "Bob"}, content_type="application/json", headers=bobs)
        self.assertEqual((answer.status_code, answer.json()["username"]), (200, "bob"))
        self.assertEqual(browser.get(USER, headers={"Authorization": "JWT x.y.z"}).status_code, 401)

    def test_other_authorization_header_is_ignored(self):
        browser = self.browser()
        answer = browser.get(USER, headers={"Authorization": "Basic YTpi"})
        self.assertEqual(answer.json()["username"], "alice")

    def test_invalid_cookie_is_ignored(self):
        with mock.patch.object(AccessToken, "lifetime", timedelta(seconds=-1)):
            stale = tokens.issue_tokens(self.alice).access
        refresh = tokens.issue_tokens(self.alice).refresh
        for text in (stale, refresh, "x", "a.b.c", '"', "é"):
            with self.subTest(text=text[:10]):
                client = Client()
                client.cookies[ACCESS_COOKIE] = text
                self.assertEqual(client.get(BOOKS).status_code, 200)
                self.assertEqual(client.get(f"{BOOKS}{self.book.pk}/quote?days=3").status_code, 200)
                answer = client.get(USER)
                self.assertEqual((answer.status_code, answer.json()["code"]), (401, "not_authenticated"))
                signed_in = client.post("/api-token-auth/", {"username": "alice", "password": PASSWORD})
                self.assertEqual(signed_in.status_code, 200)

    def test_inactive_account_is_anonymous(self):
        browser = self.browser()
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        self.assertEqual(browser.get(USER).status_code, 401)
        self.assertEqual(browser.get(BOOKS).status_code, 200)

    def test_password_change_ends_them(self):
        browser, other = self.browser(), self.browser()
        form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"].value
        self.assertEqual(browser.post("/user/password/change/", form).status_code, 302)
        for one, renewed in ((browser, 204), (other, 401)):
            self.assertEqual(one.get(USER).status_code, 401)
            self.assertEqual(one.say(RENEW).status_code, renewed)


class RenewalTest(WebCase):
    def test_renewal_replaces_the_pair(self):
        browser = self.browser()
        before = {name: browser.cookies[name].value for name in COOKIES}
        self.assertEqual(browser.say(RENEW).status_code, 204)
        self.assertTrue(all(browser.cookies[name].value != before[name] for name in COOKIES))
        self.assertEqual(browser.get(USER).status_code, 200)
        with self.assertRaises(TokenError):
            tokens.renew(before[REFRESH_COOKIE])

    def test_renewal_requires_post_and_csrf_header(self):
        browser = self.browser()
        self.assertEqual(browser.get(RENEW).status_code, 405)
        self.assertEqual(browser.post(RENEW).status_code, 403)

    def test_session_replaces_an_invalid_pair(self):
        browser = self.browser()
        expired = mock.patch.object(AccessToken, "lifetime", timedelta(seconds=-1))
        with expired:
            stale = tokens.issue_tokens(self.alice).access
        for refresh in ("x", tokens.issue_tokens(self.bob).refresh, None):
            browser.cookies[ACCESS_COOKIE] = stale
            browser.cookies[REFRESH_COOKIE] = refresh or ""
            self.assertEqual(browser.get(USER).status_code, 401)
            self.assertEqual(browser.say(RENEW).status_code, 204)
            self.assertEqual(browser.get(USER).json()["username"], "alice")

    def test_session_without_tokens_gets_a_pair(self):
        client = Client()
        client.force_login(self.alice)
        self.assertFalse(client.cookies.get(ACCESS_COOKIE))
        self.assertEqual(client.post(RENEW).status_code, 204)
        self.assertEqual(client.get(USER).json()["username"], "alice")

    def test_reuse_by_the_same_browser_is_allowed(self):
        """This happens when two tabs renew at once or a response is lost."""
        browser = self.browser()
        first = browser.cookies[REFRESH_COOKIE].value
        browser.say(RENEW)
        access = browser.cookies[ACCESS_COOKIE].value
        browser.cookies[REFRESH_COOKIE] = first
        self.assertEqual(browser.say(RENEW).status_code, 204)
        tokens.verify(access)
        self.assertEqual(browser.get(USER).status_code, 200)

    def test_renewal_revokes_a_stolen_pair(self):
        browser = self.browser()
        stolen = tokens.renew(browser.cookies[REFRESH_COOKIE].value)
        self.assertEqual(browser.say(RENEW).status_code, 204)
        for text in stolen:
            with self.assertRaises(TokenError):
                tokens.verify(text)
        self.assertEqual((browser.get(USER).status_code, browser.say(RENEW).status_code), (200, 204))

    def test_reuse_elsewhere_costs_one_renewal(self):
        browser = self.browser()
        stolen = browser.cookies[REFRESH_COOKIE].value
        browser.say(RENEW)
        with self.assertRaises(TokenError):
            tokens.renew(stolen)
        self.assertEqual(browser.get(USER).status_code, 401)
        self.assertEqual((browser.say(RENEW).status_code, browser.get(USER).status_code), (204, 200))

    def test_second_sign_in_leaves_no_old_tokens(self):
        client = Client()
        client.force_login(self.alice)
        client.post(RENEW)
        client.force_login(self.alice)
        client.post(RENEW)
        self.assertEqual(TokenFamily.objects.count(), 1)

    def test_session_ended_meanwhile_gets_401(self):
        browser = self.browser()
        with mock.patch.object(web_tokens, "Session") as stored:
            stored.objects.select_for_update().filter().first.return_value = None
            answer = browser.say(RENEW)
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, "signed_out"))

    def test_missing_session_clears_the_cookies(self):
        browser = self.browser()
        browser.session.flush()
        answer = browser.say(RENEW)
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, "signed_out"))
        self.assertFalse(any(browser.has(name) for name in COOKIES))

    def test_inactive_account_gets_401(self):
        browser = self.browser()
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        self.assertEqual(browser.say(RENEW).status_code, 401)

    def test_answer_is_not_cached(self):
        self.assertIn("no-store", self.browser().say(RENEW)["Cache-Control"])


class SignOutTest(WebCase):
    def sign_out(self, browser):
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
        self.assertEqual(browser.post("/user/logout/", form).status_code, 302)

    def test_refresh_token_ends_and_cookies_go(self):
        browser = self.browser()
        refresh = browser.cookies[REFRESH_COOKIE].value
        self.sign_out(browser)
        self.assertFalse(any(browser.has(name) for name in COOKIES))
        answer = Client().post(REFRESH, {"refresh": refresh}, content_type="application/json")
        self.assertEqual(answer.status_code, 401)

    def test_client_storage_is_cleared(self):
        browser = self.browser()
        self.assertNotIn("Clear-Site-Data", browser.get("/"))
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
        self.assertEqual(browser.post("/user/logout/", form)["Clear-Site-Data"], '"storage"')

    def test_access_token_ends_at_once(self):
        browser = self.browser()
        thief = Client()
        thief.cookies[ACCESS_COOKIE] = browser.cookies[ACCESS_COOKIE].value
        self.assertEqual(thief.get(USER).status_code, 200)
        self.sign_out(browser)
        self.assertEqual(thief.get(USER).status_code, 401)

    def test_only_tokens_of_the_session_end(self):
        browser, other = self.browser(), self.browser()
        program = tokens.issue_tokens(self.alice)
        for _ in range(3):
            # As if each response had been lost.
            browser.cookies[REFRESH_COOKIE] = "x"
            browser.say(RENEW)
        self.sign_out(browser)
        self.assertEqual(TokenFamily.objects.count(), 2)
        for good in (program.refresh, other.cookies[REFRESH_COOKIE].value):
            tokens.verify(good)

    def test_admin_logout_ends_tokens(self):
        desk = self.browser("dan")
        desk.get("/admin/")
        desk.post("/admin/logout/", {"csrfmiddlewaretoken": desk.cookies["csrftoken"].value})
        self.assertFalse(any(desk.has(name) for name in COOKIES))
        self.assertFalse(TokenFamily.objects.exists())

    def test_orphaned_cookies_are_cleared(self):
        browser = self.browser()
        browser.session.flush()
        browser.get("/user/login/")
        self.assertFalse(any(browser.has(name) for name in COOKIES))


class RenewalRaceTest(RaceTestCase):
    def test_five_concurrent_renewals_stay_signed_in(self):
        browser = BrowserClient()
        browser.sign_in()

        def renew():
            twin = BrowserClient()
            twin.cookies = browser.cookies.copy()
            answer = twin.say(RENEW)
            return answer.status_code, twin.get(USER).status_code, twin.say(RENEW).status_code

        self.assertEqual(self.run_concurrently(*[renew] * 5), [(204, 200, 204)] * 5)
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
        browser.post("/user/logout/", form)
        self.assertFalse(TokenFamily.objects.exists())

"""Staff without a second factor, if STAFF_SECOND_FACTOR is on."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.test import Client, override_settings

from accounts import tokens
from accounts.models import User
from accounts.sign_up import reset_email_address
from accounts.tests.case import (
    LOGIN,
    REFRESH,
    TOKEN,
    USER,
    SignInCase,
    activate_totp,
    frozen_clock,
    totp_code,
)
from accounts.tests.test_web_tokens import RENEW
from accounts.web_tokens import ACCESS_COOKIE
from lori_assignment.testing.cases import PASSWORD

NOW = 1_800_000_000
SETUP = "/user/2fa/"
PAGES = ("/", "/home", "/rentals/", "/balance", "/user/profile/", "/admin/", "/admin/accounts/user/")


@override_settings(STAFF_SECOND_FACTOR=True)
class StaffSecondFactorTest(SignInCase):
    def browser(self, login="carol"):
        browser = Client()
        browser.post("/user/login/", {"login": login, "password": PASSWORD})
        return browser

    def test_api_refuses_tokens_without_a_factor(self):
        for login in ("carol", "dan"):
            for door in (TOKEN, LOGIN):
                answer = self.sign_in(login, door=door)
                self.assertEqual(
                    (answer.status_code, answer.json()["code"]), (401, "second_factor_required"), login
                )
        self.assertEqual(self.sign_in("alice").status_code, 200)

    def test_code_gives_tokens(self):
        secret = activate_totp(self.carol)
        self.assertEqual(self.sign_in("carol").json()["code"], "otp_required")
        with frozen_clock(NOW):
            answer = self.sign_in("carol", otp=totp_code(secret, NOW))
        self.assertEqual(self.client_with_token(answer.json()["token"]).get(USER).status_code, 200)

    def test_recovery_codes_alone_do_not_count(self):
        RecoveryCodes.activate(self.carol)
        self.assertEqual(self.browser().get("/admin/").status_code, 302)
        code = Authenticator.objects.get().wrap().get_unused_codes()[0]
        self.assertEqual(self.sign_in("carol", otp=code).status_code, 401)

    def test_every_page_redirects_to_setup(self):
        for login in ("carol", "dan"):
            browser = self.browser(login)
            for path in PAGES:
                answer = browser.get(path)
                self.assertRedirects(answer, SETUP, fetch_redirect_response=False)
            self.assertEqual(browser.post("/user/profile/", {"name": "x"}).status_code, 302)
            self.assertNotEqual(User.objects.get(username=login).name, "x")
            answer = browser.get("/home", headers={"HX-Request": "true"})
            self.assertEqual(answer.headers["HX-Redirect"], SETUP)
            self.assertContains(browser.get(SETUP), "Staff accounts need two-factor sign-in.")

    def test_setup_and_sign_out_are_open(self):
        reset_email_address(self.carol)
        EmailAddress.objects.update(verified=True)
        browser = self.browser()
        browser.post("/user/reauthenticate/", {"password": PASSWORD})
        for path in (SETUP, "/user/2fa/totp/activate/", "/user/2fa/webauthn/add/", "/user/email/"):
            self.assertEqual(browser.get(path).status_code, 200, path)
        self.assertEqual(browser.post("/user/logout/").status_code, 302)
        self.assertNotIn("_auth_user_id", browser.session)

    def test_browser_gets_tokens_after_setup(self):
        browser = self.browser()
        self.assertNotIn(ACCESS_COOKIE, browser.cookies)
        self.assertEqual(browser.post(RENEW).status_code, 401)
        activate_totp(self.carol)
        self.assertEqual(browser.post(RENEW).status_code, 204)
        self.assertEqual((browser.get("/admin/").status_code, browser.get(USER).status_code), (200, 200))

    def test_earlier_tokens_are_invalid(self):
        with override_settings(STAFF_SECOND_FACTOR=False):
            pair = tokens.issue_tokens(self.carol)
            self.assertEqual(self.client_with_token(pair.access).get(USER).status_code, 200)
        self.assertEqual(self.client_with_token(pair.access).get(USER).status_code, 401)
        self.assertEqual(self.client.post(REFRESH, {"refresh": pair.refresh}).status_code, 401)

    def test_new_staff_need_a_factor_at_once(self):
        browser, mine = self.browser("alice"), self.client_with_token(tokens.issue_tokens(self.alice).access)
        self.assertEqual((browser.get("/home").status_code, mine.get(USER).status_code), (200, 200))
        User.objects.filter(pk=self.alice.pk).update(is_staff=True)
        self.assertEqual((browser.get("/home").status_code, mine.get(USER).status_code), (302, 401))

    def test_check_takes_no_query(self):
        activate_totp(self.carol)
        mine = self.client_with_token(tokens.issue_tokens(self.carol).access)
        with self.assertNumQueries(1):
            self.assertEqual(mine.get(USER).status_code, 200)

    def test_members_and_visitors_are_not_affected(self):
        for client in (self.browser("alice"), Client()):
            self.assertEqual(client.get("/home").status_code, 200)

    @override_settings(STAFF_SECOND_FACTOR=False)
    def test_disabled_setting_requires_no_factor(self):
        self.assertEqual(self.sign_in("carol").status_code, 200)
        self.assertEqual(self.browser().get("/admin/").status_code, 200)

"""The account in a browser, from sign-up to closing, with codes, passkeys and tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core import mail
from playwright.sync_api import BrowserContext, Page, Request, expect

from accounts.models import CLOSED_PREFIX, TokenFamily, User
from accounts.tests.case import NEW, WRONG, activate_totp, frozen_clock, totp_code
from books.stock import add_book
from lori_assignment.testing.cases import PASSWORD
from lori_assignment.tests.test_browser_pages import NOW, PagesTestCase
from rentals.models import Rental

FOR_ANYONE = [
    "/user/login/",
    "/user/signup/",
    "/user/password/reset/",
    "/user/password/reset/done/",
    "/user/password/reset/key/done/",
    "/user/password/reset/key/x-y/",
    "/user/confirm-email/",
    "/user/confirm-email/x/",
    "/user/inactive/",
]
FOR_MEMBERS = [
    "/user/profile/",
    "/user/email/",
    "/user/password/change/",
    "/user/2fa/",
    "/user/sessions/",
    "/user/data/",
    "/user/close/",
    "/user/logout/",
    "/user/reauthenticate/",
]
# These ask for the password first.
BEHIND_THE_PASSWORD = [
    "/user/2fa/totp/activate/",
    "/user/2fa/webauthn/",
    "/user/2fa/webauthn/add/",
]
WITH_A_SECOND_FACTOR = [
    "/user/2fa/",
    "/user/2fa/totp/deactivate/",
    "/user/2fa/recovery-codes/",
    "/user/2fa/recovery-codes/generate/",
    "/user/2fa/reauthenticate/",
]
# Touch targets that are not high enough; a checkbox can be pressed by its label, and links within a sentence
# are exempt.
TOO_SMALL = """
  () => [...document.querySelectorAll("main a, main button, main input, main select, main textarea")]
    .filter((one) => one.type !== "hidden" && one.type !== "checkbox" && one.checkVisibility())
    .filter((one) => !one.matches("p a:not(.button, .way)"))
    .filter((one) => one.getBoundingClientRect().height < 44)
    .map((one) => one.outerHTML)
"""


class AccountTestCase(PagesTestCase):
    def sign_in_by_the_form(self, login: str, password: str = PASSWORD) -> None:
        # Leaving before the next page has loaded would make its requests fail.
        self.go_to("/user/login/")
        self.fill(login=login, password=password)
        with self.page.expect_navigation(wait_until="load"):
            self.press("Sign in")

    def sign_up(self, password: str = PASSWORD) -> None:
        self.go_to("/user/signup/")
        self.fill(username="eve", email="eve@example.org", password1=password, password2=password)
        self.press("Sign up")

    def mailed_link(self) -> str:
        [link] = re.findall(rf"{self.live_server_url}\S+", mail.outbox[-1].body)
        return link

    def say_it_is_me(self, password: str = PASSWORD) -> None:
        self.assert_heading("Confirm it's you")
        self.fill(password=password)
        self.press("Continue")

    def sign_out(self) -> None:
        self.follow("Sign out")
        self.press("Sign out")
        self.assert_signed_out()

    def told(self, words: str) -> None:
        expect(self.page.get_by_role("status").filter(has_text=words)).to_be_visible()

    def without_scripts(self) -> Page:
        """A page of a browser without JavaScript."""
        context = self.browser.new_context(
            base_url=self.live_server_url,
            viewport={"width": 320, "height": 640},
            locale="en-US",
            java_script_enabled=False,
        )
        self.addCleanup(self._leave, context)
        self._watch(context)
        return context.new_page()


class SignInTest(AccountTestCase):
    def test_username_signs_in(self):
        self.sign_in_by_the_form("alice")
        self.assert_signed_in_as("Alice Moss")

    def test_email_address_signs_in(self):
        self.sign_in_by_the_form("Alice@example.org")
        self.assert_signed_in_as("Alice Moss")

    def test_wrong_password_shows_an_error(self):
        self.sign_in_by_the_form("alice", WRONG)
        expect(self.page.locator(".errorlist")).to_have_text("Wrong username or password.")
        self.assert_accessible(self.page)
        self.fill(password=PASSWORD)
        self.press("Sign in")
        self.assert_signed_in_as("Alice Moss")

    def test_keyboard_alone_signs_in(self):
        self.go_to("/user/login/")
        self.tab_to("login")
        self.page.keyboard.type("alice")
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        self.page.keyboard.press("Enter")
        self.assert_signed_in_as("Alice Moss")

    def test_signing_out_takes_a_button_press(self):
        self.sign_in(self.alice)
        self.go_to("/")
        self.follow("Sign out")
        self.assert_signed_in_as("Alice Moss")
        self.press("Sign out")
        self.assert_heading("Rent books by the day")
        self.assert_signed_out()


class SignUpTest(AccountTestCase):
    def test_sign_up_sends_a_confirmation_link(self):
        self.sign_up()
        self.assert_signed_in_as("eve")
        eve = User.objects.get(username="eve")
        self.assertEqual((eve.email, eve.is_staff), ("eve@example.org", False))

        self.go_to("/user/email/")
        expect(self.page.get_by_text("Not confirmed yet")).to_be_visible()
        self.assert_accessible(self.page)
        self.go_to(self.mailed_link())
        self.assert_heading("Confirm your address")
        self.assert_accessible(self.page)
        self.press("Confirm")
        self.told("eve@example.org has been confirmed.")
        self.go_to("/user/email/")
        expect(self.page.get_by_text("Confirmed", exact=True)).to_be_visible()

    def test_common_password_is_explained(self):
        self.sign_up("password1")
        expect(self.page.locator(".errorlist")).to_contain_text("too common")
        expect(self.page.get_by_label("E-mail address")).to_have_value("eve@example.org")
        self.assert_accessible(self.page)
        self.assertFalse(User.objects.filter(username="eve").exists())


class PasswordResetTest(AccountTestCase):
    def test_the_mailed_link_sets_a_new_password(self):
        self.go_to("/user/login/")
        self.follow("Forgot your password?")
        self.fill(email="alice@example.org")
        self.press("Send link")
        self.assert_heading("Check your e-mail")

        self.go_to(self.mailed_link())
        self.assert_heading("Set a new password")
        self.assert_accessible(self.page)
        self.fill(password1=NEW, password2=NEW)
        self.press("Set password")
        self.assert_heading("Your new password has been set")

        self.sign_in_by_the_form("alice", NEW)
        self.assert_signed_in_as("Alice Moss")


class ProfileTest(AccountTestCase):
    def test_profile_is_changed_by_keyboard_alone(self):
        self.sign_in(self.alice)
        self.go_to("/")
        self.tab_to("Alice Moss")
        self.page.keyboard.press("Enter")
        self.assert_heading("Your profile")
        self.tab_to("phone")
        self.page.keyboard.type("+39 06 5550142")
        self.page.keyboard.press("Tab")
        self.page.keyboard.type("Via Appia 7")
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Enter")
        self.told("Your profile has been saved.")
        self.alice.refresh_from_db()
        self.assertEqual((self.alice.phone, self.alice.address), ("+39 06 5550142", "Via Appia 7"))

    def test_expired_session_loses_no_input(self):
        self.sign_in(self.alice)
        self.go_to("/user/profile/")
        self.fill(phone="+39 06 5550142")
        self.page.context.clear_cookies(name="sessionid")
        self.press("Save")
        self.fill(login="alice", password=PASSWORD)
        self.press("Sign in")
        self.assert_heading("Your profile")
        expect(self.page.locator("[name=phone]")).to_have_value("+39 06 5550142")
        self.press("Save")
        self.told("Your profile has been saved.")


class SecondFactorTest(AccountTestCase):
    def setUp(self):
        super().setUp()
        self.verified(self.alice)

    def test_authenticator_app_is_set_up_and_required(self):
        self.sign_in_by_the_form("alice")
        self.follow("Alice Moss")
        self.follow("Two-factor")
        self.follow("Set up an app")
        self.say_it_is_me()
        self.assert_heading("Set up an authenticator app")
        self.assert_accessible(self.page)
        secret = self.page.locator("#authenticator_secret").inner_text()
        with frozen_clock(NOW):
            self.fill(code=totp_code(secret, NOW))
            self.press("Turn on")
            self.assert_heading("Recovery codes")
        self.assert_accessible(self.page)
        code = self.page.locator(".codes li").first.inner_text()
        self.sign_out()

        self.sign_in_by_the_form("alice")
        self.assert_heading("Two-factor sign-in")
        self.assert_accessible(self.page)
        with frozen_clock(NOW + 600):
            self.fill(code=totp_code(secret, NOW))
            self.press("Sign in")
            expect(self.page.locator(".errorlist")).to_contain_text("is wrong or has already been used")
            self.fill(code=totp_code(secret, NOW + 600))
            self.press("Sign in")
        self.assert_signed_in_as("Alice Moss")
        self.sign_out()

        self.sign_in_by_the_form("alice")
        self.fill(code=code)
        self.press("Sign in")
        self.assert_signed_in_as("Alice Moss")

    def test_passkey_signs_in_and_is_second_factor(self):
        self.plug_in_a_key()
        self.sign_in_by_the_form("alice")
        self.go_to("/user/2fa/webauthn/add/")
        self.say_it_is_me()
        self.fill(name="My phone")
        self.press("Add a passkey")
        self.assert_heading("Recovery codes")
        self.go_to("/user/2fa/webauthn/")
        expect(self.page.get_by_role("listitem").filter(has_text="My phone")).to_be_visible()
        self.assert_accessible(self.page)
        self.sign_out()

        self.go_to("/user/login/")
        self.press("Sign in with a passkey")
        self.assert_signed_in_as("Alice Moss")
        self.assertTrue(self.page.evaluate("document.cookie.includes('lori-until')"))
        self.sign_out()

        self.sign_in_by_the_form("alice")
        self.assert_heading("Two-factor sign-in")
        self.press("Use a passkey")
        self.assert_signed_in_as("Alice Moss")

        self.go_to("/user/2fa/webauthn/")
        self.follow("Rename My phone")
        self.go_on_by_passkey()
        self.fill(name="The old phone")
        self.press("Save")
        self.follow("Remove The old phone")
        self.press("Remove passkey")
        self.told("Passkey removed.")
        self.assertFalse(Authenticator.objects.filter(user=self.alice).exists())

    def go_on_by_passkey(self) -> None:
        self.assert_heading("Confirm it's you")
        self.page.get_by_role("link", name="Use a security key").or_(
            self.page.get_by_role("link", name="Use your security key")
        ).click()
        self.assert_accessible(self.page)
        self.press("Use a passkey")

    def plug_in_a_key(self) -> None:
        """Add a virtual authenticator, whose owner always agrees."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        facts = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        session.send("WebAuthn.addVirtualAuthenticator", {"options": facts})

    def test_missing_passkey_is_explained(self):
        self.plug_in_a_key()
        self.go_to("/user/login/")
        self.press("Sign in with a passkey")
        self.told("That didn't work")
        self.assert_accessible(self.page)


class TokensTest(AccountTestCase):
    """Pages call the API as the signed-in user."""

    def setUp(self):
        super().setUp()
        self.book = add_book(name="Emma", kind=3)

    @contextmanager
    def renewals(self, count: int, context: BrowserContext | None = None) -> Iterator[None]:
        """Assert that the browser renews its tokens `count` times within the context."""
        asked: list[str] = []

        def note(request: Request) -> None:
            if request.url.endswith("/user/token/renew/"):
                asked.append(request.url)

        context = context or self.page.context
        context.on("request", note)
        yield
        context.remove_listener("request", note)
        self.assertEqual(len(asked), count)

    def on_swagger(self, page: Page | None = None) -> Page:
        page = page or self.page
        page.goto("/swagger")
        page.locator(".opblock").first.wait_for()
        return page

    def call(self, times: int = 1, page: Page | None = None, path: str = "/api/rest-auth/user/") -> list[int]:
        """Return the statuses of `times` concurrent calls."""
        script = """
          async ([path, times]) => {
            const calls = Array.from({length: times}, () => lori.call(path));
            return (await Promise.all(calls)).map((answer) => answer.status);
          }
        """
        return (page or self.page).evaluate(script, [path, times])

    def spoil_the_access_token(self) -> None:
        cookie = {"name": "lori-access", "value": "stale", "domain": "localhost", "path": "/api/"}
        self.page.context.add_cookies([cookie])

    def test_swagger_rents_without_a_typed_token(self):
        self.sign_in_by_the_form("alice")
        self.on_swagger()
        block = self.page.locator(".opblock-post").filter(
            has=self.page.locator("[data-path='/api/v3/book_rentals/']")
        )
        block.locator("[data-path]").click()
        block.get_by_role("button", name="Try it out").click()
        block.locator("textarea.body-param__text").fill(json.dumps({"book": self.book.pk}))
        block.get_by_role("button", name="Execute").click()
        expect(block.locator(".live-responses-table .response .response-col_status")).to_have_text("201")
        self.assertEqual(Rental.objects.get().user, self.alice)

    def test_one_renewal_serves_all_waiting_calls(self):
        self.sign_in_by_the_form("alice")
        self.on_swagger()
        self.spoil_the_access_token()
        with self.renewals(1), self.expect_browser_error("401"):
            self.assertEqual(self.call(times=5), [200] * 5)
        with self.renewals(0):
            self.assertEqual(self.call(times=5), [200] * 5)

    def test_two_tabs_share_one_renewal(self):
        self.sign_in_by_the_form("alice")
        other = self.on_swagger(self.page.context.new_page())
        self.on_swagger()
        self.spoil_the_access_token()
        start = "path => { window.answer = lori.call(path).then((answer) => answer.status); }"
        with self.renewals(1), self.expect_browser_error("401"):
            for page in (self.page, other):
                page.evaluate(start, "/api/rest-auth/user/")
            for page in (self.page, other):
                self.assertEqual(page.evaluate("window.answer"), 200)

    def test_expiring_token_is_renewed_in_advance(self):
        self.sign_in_by_the_form("alice")
        self.on_swagger()
        self.page.evaluate("document.cookie = `lori-until=${Date.now() + 1000}; path=/`")
        with self.renewals(1):
            self.assertEqual(self.call(times=3), [200] * 3)

    def test_session_without_a_token_gets_one(self):
        self.sign_in(self.alice)
        self.on_swagger()
        with self.renewals(1), self.expect_browser_error("401"):
            self.assertEqual(self.call(times=3), [200] * 3)

    def test_anonymous_page_tries_to_renew_once(self):
        self.on_swagger()
        with self.renewals(1), self.expect_browser_error("401"):
            self.assertEqual(self.call(times=3), [401] * 3)
            self.assertEqual(self.call(times=3), [401] * 3)
        self.assertEqual(self.call(path="/api/v3/books/"), [200])

    def test_ended_session_tries_to_renew_once(self):
        self.sign_in_by_the_form("alice")
        self.on_swagger()
        self.spoil_the_access_token()
        self.page.context.clear_cookies(name="sessionid")
        with self.renewals(1), self.expect_browser_error("401"):
            self.assertEqual(self.call(times=3), [401] * 3)
        self.assertNotIn("lori-until", self.page.evaluate("document.cookie"))

    def test_signing_out_ends_the_tokens(self):
        self.sign_in_by_the_form("alice")
        self.sign_out()
        names = {cookie["name"] for cookie in self.page.context.cookies()}
        self.assertFalse(names & {"lori-access", "lori-refresh", "lori-until"})
        self.assertFalse(TokenFamily.objects.exists())


class SessionsTest(AccountTestCase):
    def test_other_browser_is_signed_out(self):
        other = self.new_page(width=320)
        other.goto("/user/login/")
        other.locator("[name=login]").fill("alice")
        other.locator("[name=password]").fill(PASSWORD)
        other.get_by_role("button", name="Sign in", exact=True).click()
        expect(other.get_by_role("contentinfo")).to_contain_text("Signed in as Alice Moss")

        self.sign_in_by_the_form("alice")
        self.go_to("/user/sessions/")
        expect(self.page.get_by_text("Chrome on Linux")).to_have_count(2)
        self.assert_accessible(self.page)
        self.page.get_by_role("main").get_by_role("button", name="Sign out ·").click()
        self.say_it_is_me()
        self.told("That browser has been signed out.")
        other.goto("/user/profile/")
        expect(other.get_by_role("heading", level=1)).to_have_text("Sign in")


class AccountClosingTest(AccountTestCase):
    def test_data_is_downloaded_and_account_closed(self):
        self.sign_in_by_the_form("alice")
        self.go_to("/user/data/")
        with self.page.expect_download() as download:
            self.follow("Download my data")
        document = json.loads(download.value.path().read_text())
        self.assertEqual(document["account"]["name"], "Alice Moss")

        self.follow("Close my account")
        self.press("Close my account permanently")
        self.say_it_is_me()
        self.told("Your account and data have been deleted.")
        self.assert_signed_out()
        self.assertTrue(User.objects.get(pk=self.alice.pk).username.startswith(CLOSED_PREFIX))
        self.sign_in_by_the_form("alice")
        expect(self.page.locator(".errorlist")).to_be_visible()


class NoScriptTest(AccountTestCase):
    def setUp(self):
        super().setUp()
        self.page = self.without_scripts()

    def test_everything_but_passkeys_works(self):
        self.sign_up()
        self.assert_signed_in_as("eve")
        self.go_to(self.mailed_link())
        self.press("Confirm")
        self.go_to("/user/profile/")
        self.fill(name="Eve Hill")
        self.press("Save")
        self.told("Your profile has been saved.")
        self.page.get_by_role("button", name="Deutsch").click()
        expect(self.page.locator("html")).to_have_attribute("lang", "de")
        self.page.get_by_role("button", name="English").click()
        expect(self.page.locator("html")).to_have_attribute("lang", "en")

        self.go_to("/user/2fa/totp/activate/")
        self.say_it_is_me()
        with frozen_clock(NOW):
            self.fill(code=totp_code(self.page.locator("#authenticator_secret").inner_text(), NOW))
            self.press("Turn on")
        self.assert_heading("Recovery codes")
        self.sign_out()

        self.go_to("/user/login/")
        expect(self.page.locator("#passkey_login")).to_be_hidden()
        expect(self.page.get_by_text("Passkeys need JavaScript")).to_be_visible()


class AccessibilityTest(AccountTestCase):
    """Phone and desktop, light and dark mode, touch and screen reader."""

    def look_at(self, path: str) -> None:
        self.page.goto(path)
        expect(self.page).to_have_url(self.live_server_url + path)
        expect(self.page).to_have_title(re.compile(r"^[A-Z].+ · Lori Books$"))
        for layout in self.in_each_layout(self.page):
            with self.subTest(layout):
                self.assert_not_scrolling_sideways(self.page)
                self.assert_accessible(self.page)
                self.assertEqual(self.page.evaluate(TOO_SMALL), [], path)

    def test_public_pages_are_accessible(self):
        for path in FOR_ANYONE:
            self.look_at(path)

    def test_member_pages_are_accessible(self):
        self.verified(self.alice)
        self.sign_in(self.alice)
        for path in FOR_MEMBERS:
            self.look_at(path)
        self.confirm()
        for path in BEHIND_THE_PASSWORD:
            self.look_at(path)

    def test_second_factor_pages_are_accessible(self):
        self.verified(self.alice)
        activate_totp(self.alice)
        RecoveryCodes.activate(self.alice)
        self.sign_in(self.alice)
        self.confirm()
        for path in WITH_A_SECOND_FACTOR:
            self.look_at(path)

    def confirm(self) -> None:
        self.page.goto("/user/reauthenticate/?next=/user/2fa/")
        self.page.locator("[name=password]").fill(PASSWORD)
        self.page.get_by_role("button", name="Continue").click()
        self.page.wait_for_url("**/user/2fa/")

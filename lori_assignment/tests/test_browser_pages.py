"""The pages for people, in a browser: what works, and that everybody can use it."""

from __future__ import annotations

import re

from django.core import mail
from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.sign_up import record_address
from accounts.tests.case import NEW, WRONG, at_the_second, code_of
from lori_assignment.browser import BrowserTestCase
from lori_assignment.cast import PASSWORD

# 20 November 2026: any time will do for the authenticator app.
NOW = 1795132800

FOR_ANYONE = ["/", "/user/login/", "/user/signup/", "/user/password/reset/", "/user/password/reset/done/"]
FOR_MEMBERS = [
    "/",
    "/user/logout/",
    "/user/email/",
    "/user/password/change/",
    "/user/2fa/",
    "/user/2fa/totp/activate/",
]


class PagesTestCase(BrowserTestCase):
    def go_to(self, path: str) -> None:
        self.page.goto(path)

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.page.locator(f"[name={name}]").fill(value)

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def follow(self, link: str) -> None:
        self.page.get_by_role("link", name=link, exact=True).click()

    def sign_in_by_the_form(self, login: str, password: str = PASSWORD) -> None:
        self.go_to("/user/login/")
        self.fill(login=login, password=password)
        self.press("Sign In")

    def assert_heading(self, words: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(words)

    def assert_signed_in_as(self, name: str) -> None:
        expect(self.page.get_by_role("contentinfo")).to_contain_text(f"Signed in as {name}")
        expect(self.page.get_by_role("link", name="Sign out")).to_be_visible()

    def assert_signed_out(self) -> None:
        expect(self.page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()

    def verified(self, user: User) -> None:
        record_address(user)
        user.emailaddress_set.update(verified=True)


class FrontPageTest(PagesTestCase):
    def test_a_stranger_is_offered_to_become_a_member(self):
        self.go_to("/")
        self.assert_signed_out()
        self.take_picture("front")
        self.follow("Become a member")
        self.assert_heading("Sign Up")

    def test_a_member_is_greeted_and_not_offered_it(self):
        self.sign_in(self.alice)
        self.go_to("/")
        self.assert_signed_in_as("Alice Moss")
        expect(self.page.get_by_role("link", name="Become a member")).to_have_count(0)
        expect(self.page.get_by_role("link", name="Administration")).to_have_count(0)

    def test_staff_find_the_administration(self):
        self.sign_in(self.carol)
        self.go_to("/")
        self.follow("Administration")
        self.page.wait_for_url("**/admin/")

    def test_an_address_that_leads_nowhere_leads_back(self):
        with self.complaining_of("404"):
            self.go_to("/no-such-page/")
        self.assert_heading("There is no such page")
        self.follow("To the front page")
        self.assert_heading("Books by the day")


class SignInTest(PagesTestCase):
    def test_by_username(self):
        self.sign_in_by_the_form("alice")
        self.assert_signed_in_as("Alice Moss")

    def test_by_e_mail_address(self):
        self.sign_in_by_the_form("Alice@example.org")
        self.assert_signed_in_as("Alice Moss")

    def test_with_a_wrong_password_says_so_and_can_be_corrected(self):
        self.sign_in_by_the_form("alice", WRONG)
        expect(self.page.locator(".errorlist")).to_have_text(
            "The username and/or password you specified are not correct."
        )
        self.assert_accessible(self.page)
        self.fill(password=PASSWORD)
        self.press("Sign In")
        self.assert_signed_in_as("Alice Moss")

    def test_by_the_keyboard_alone(self):
        self.go_to("/")
        self.tab_to("Sign in")
        self.page.keyboard.press("Enter")
        self.assert_heading("Sign In")
        self.tab_to("login")
        self.page.keyboard.type("alice")
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        self.page.keyboard.press("Enter")
        self.assert_signed_in_as("Alice Moss")

    def tab_to(self, target: str) -> None:
        """Press Tab until the field or link is reached; everything on the way shows that it is."""
        for _ in range(20):
            focused = self.page.evaluate_handle("document.activeElement")
            name, outline = focused.evaluate(
                "element => [element.name || element.innerText, getComputedStyle(element).outlineStyle]"
            )
            if name == target:
                self.assertEqual(outline, "solid")
                return
            self.page.keyboard.press("Tab")
        self.fail(f"Tab does not lead to {target}.")

    def test_signing_out_takes_a_press_of_the_button(self):
        self.sign_in(self.alice)
        self.go_to("/")
        self.follow("Sign out")
        self.assert_signed_in_as("Alice Moss")
        self.press("Sign Out")
        self.assert_heading("Books by the day")
        self.assert_signed_out()


class SignUpTest(PagesTestCase):
    def sign_up(self, password: str) -> None:
        self.go_to("/user/signup/")
        self.fill(username="eve", email="eve@example.org", password1=password, password2=password)
        self.press("Sign Up")

    def test_makes_a_member_and_signs_in(self):
        self.sign_up(PASSWORD)
        self.assert_signed_in_as("eve")
        eve = User.objects.get(username="eve")
        self.assertEqual((eve.email, eve.is_staff), ("eve@example.org", False))

    def test_with_a_common_password_says_why_not(self):
        self.sign_up("password1")
        expect(self.page.locator(".errorlist")).to_contain_text("too common")
        self.assert_accessible(self.page)
        self.assertFalse(User.objects.filter(username="eve").exists())


class PasswordResetTest(PagesTestCase):
    def test_the_mailed_link_sets_a_new_password(self):
        self.go_to("/user/login/")
        self.follow("Forgot your password?")
        self.fill(email="alice@example.org")
        self.press("Reset My Password")
        expect(self.page.get_by_text("We have sent you an email.")).to_be_visible()

        [letter] = mail.outbox
        [link] = re.findall(rf"{self.live_server_url}\S+", letter.body)
        self.go_to(link)
        self.assert_accessible(self.page)
        self.fill(password1=NEW, password2=NEW)
        self.press("Change Password")
        expect(self.page.get_by_text("Your password is now changed.")).to_be_visible()

        self.sign_in_by_the_form("alice", NEW)
        self.assert_signed_in_as("Alice Moss")


class TwoFactorTest(PagesTestCase):
    def test_is_set_up_by_an_authenticator_app(self):
        self.verified(self.alice)
        self.sign_in(self.alice)
        self.go_to("/")
        self.follow("Alice Moss")
        self.follow("Two-factor")
        self.follow("Activate")
        self.fill(password=PASSWORD)
        self.press("Confirm")
        self.assert_heading("Activate Authenticator App")
        self.assert_accessible(self.page)
        with at_the_second(NOW):
            self.fill(code=code_of(self.page.locator("#authenticator_secret").input_value(), NOW))
            self.press("Activate")
            self.assert_heading("Recovery Codes")
        self.assert_accessible(self.page)


class EverybodyTest(PagesTestCase):
    """On the narrowest screen, in a light and in a dark room, with a screen reader."""

    def look_at(self, page: Page, path: str) -> None:
        page.goto(path)
        self.assert_not_scrolling_sideways(page)
        self.assert_accessible(page)
        self.assertRegex(page.title(), "^[A-Z].+Lori Books|^Lori Books.+")

    def test_can_use_the_pages_for_strangers(self):
        for scheme in ("light", "dark"):
            page = self.new_page(width=320, scheme=scheme)
            for path in FOR_ANYONE:
                with self.subTest(path, scheme=scheme):
                    self.look_at(page, path)
            with self.complaining_of("404"):
                self.look_at(page, "/no-such-page/")

    def test_can_use_the_pages_for_members(self):
        self.verified(self.alice)
        for scheme in ("light", "dark"):
            page = self.new_page(width=320, scheme=scheme)
            self.sign_in(self.alice, page)
            for path in FOR_MEMBERS:
                with self.subTest(path, scheme=scheme):
                    self.look_at(page, path)

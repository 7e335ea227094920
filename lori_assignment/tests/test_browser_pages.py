"""The pages work in a browser and are accessible."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.sign_up import reset_email_address
from lori_assignment.testing.browser import BrowserTestCase
from lori_assignment.testing.cases import PASSWORD

# 20 November 2026, an arbitrary time for the authenticator app.
NOW = 1795132800

FOR_ANYONE = ["/"]
FOR_MEMBERS = ["/"]


class PagesTestCase(BrowserTestCase):
    def go_to(self, path: str) -> None:
        # Leaving a page while it loads would count as a failed request.
        self.page.wait_for_load_state("load")
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
        self.press("Sign in")

    def assert_heading(self, words: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(words)

    def assert_signed_in_as(self, name: str) -> None:
        expect(self.page.get_by_role("contentinfo")).to_contain_text(f"Signed in as {name}")
        expect(self.page.get_by_role("link", name="Sign out")).to_be_visible()

    def assert_signed_out(self) -> None:
        ways = self.page.get_by_role("navigation", name="Shop")
        expect(ways.get_by_role("link", name="Sign in", exact=True)).to_be_visible()

    def tab_to(self, target: str) -> None:
        """Press Tab until the field or link is reached. The focus is always visible."""
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

    def verified(self, user: User) -> None:
        reset_email_address(user)
        user.emailaddress_set.update(verified=True)


class FrontPageTest(PagesTestCase):
    def test_visitor_is_invited_to_sign_up(self):
        self.go_to("/")
        self.assert_signed_out()
        self.take_screenshot("front")
        self.follow("Become a member")
        self.assert_heading("Become a member")

    def test_member_is_greeted(self):
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

    def test_missing_page_links_to_the_front_page(self):
        with self.expect_browser_error("404"):
            self.go_to("/no-such-page/")
        self.assert_heading("Page not found")
        self.follow("Go to the home page")
        self.assert_heading("Rent books by the day")


class FiguresTest(PagesTestCase):
    """The figures on the front page of the administration."""

    def test_figures_are_accessible_on_every_screen(self):
        self.sign_in(self.carol)
        self.page.goto("/admin/")
        expect(self.page.get_by_role("heading", name="At a glance")).to_be_visible()
        for layout in self.in_each_layout(self.page, widths=(320, 768, 1280)):
            with self.subTest(layout):
                self.assert_not_scrolling_sideways(self.page)
                self.assert_accessible(self.page)
                figures = self.page.locator("#figures li > a")
                expect(figures).to_have_count(5)
                for figure in figures.all():
                    box = figure.bounding_box()
                    self.assertGreaterEqual(min(box["width"], box["height"]), 44)

    def test_figure_links_to_its_list(self):
        self.sign_in(self.carol)
        self.go_to("/admin/")
        self.follow("Overdue 0")
        self.page.wait_for_url("**/admin/rentals/rental/?state=overdue")
        expect(self.page.locator(".paginator")).to_contain_text("0 rentals")


class AccessibilityTest(PagesTestCase):
    """Checks the narrowest screen, light and dark, for accessibility."""

    def look_at(self, page: Page, path: str) -> None:
        page.goto(path)
        self.assert_not_scrolling_sideways(page)
        self.assert_accessible(page)
        expect(page).to_have_title(re.compile("^[A-Z].+Lori Books|^Lori Books.+"))

    def test_public_pages_are_accessible(self):
        for scheme in ("light", "dark"):
            page = self.new_page(width=320, scheme=scheme)
            for path in FOR_ANYONE:
                with self.subTest(path, scheme=scheme):
                    self.look_at(page, path)
            with self.expect_browser_error("404"):
                self.look_at(page, "/no-such-page/")

    def test_member_pages_are_accessible(self):
        self.verified(self.alice)
        for scheme in ("light", "dark"):
            page = self.new_page(width=320, scheme=scheme)
            self.sign_in(self.alice, page)
            for path in FOR_MEMBERS:
                with self.subTest(path, scheme=scheme):
                    self.look_at(page, path)

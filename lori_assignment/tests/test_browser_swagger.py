"""/swagger and /redoc work in a browser: reading, trying out, authorizing."""

from __future__ import annotations

import json

from django.test import override_settings
from playwright.sync_api import Locator, expect

from books.stock import add_book
from lori_assignment.testing.browser import PUBLIC_HOST, BrowserTestCase
from lori_assignment.testing.cases import PASSWORD
from rentals.models import Rental

TOKEN = "/api-token-auth/"
RENTALS = "/api/v3/book_rentals/"


class SwaggerTest(BrowserTestCase):
    def setUp(self):
        super().setUp()
        self.emma = add_book(name="Emma", kind=3)
        self.page.goto("/swagger")

    def operation(self, method: str, path: str) -> Locator:
        """Open one method of one path for trying out, and return its block."""
        summary = self.page.locator(f"[data-path='{path}']")
        block = self.page.locator(f".opblock-{method}").filter(has=summary)
        block.locator(summary).click()
        block.get_by_role("button", name="Try it out").click()
        return block

    def execute(self, block: Locator, body: dict | None = None) -> tuple[str, dict]:
        """Send the request, and return the status and body that the page shows."""
        if body is not None:
            block.locator("textarea.body-param__text").fill(json.dumps(body))
        with self.page.expect_response(lambda answer: answer.request.resource_type == "fetch") as came:
            block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table .response")
        # The page may still show an earlier response.
        expect(answer.locator(".response-col_status")).to_have_text(str(came.value.status))
        shown = answer.locator("code").first.inner_text()
        return answer.locator(".response-col_status").inner_text(), json.loads(shown)

    def authorize(self, value: str) -> None:
        self.page.get_by_role("button", name="Authorize").first.click()
        dialog = self.page.locator(".modal-ux")
        dialog.get_by_role("textbox").fill(value)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").click()

    def sign_in_here(self) -> None:
        """Get a token with the page, and authorize the page with it."""
        credentials = {"username": "alice", "password": PASSWORD}
        status, shown = self.execute(self.operation("post", TOKEN), credentials)
        self.assertEqual(status, "200")
        self.authorize(f"JWT {shown['token']}")

    def test_every_version_and_group_is_listed(self):
        for version in ("v1", "v2", "v3"):
            for group in ("accounts", "books", "rentals"):
                tag = self.page.locator(f"#operations-tag-{version}_{group}")
                tag.wait_for()
        expect(self.page.locator(".opblock")).to_have_count(self.operations_of_the_document())

    def operations_of_the_document(self) -> int:
        document = self.page.request.get("/swagger.json").json()
        return sum(key != "parameters" for path in document["paths"].values() for key in path)

    def test_jwt_button_authorizes_calls(self):
        rentals = self.operation("get", RENTALS)
        with self.expect_browser_error("401"):
            self.assertEqual(self.execute(rentals)[0], "401")
        self.sign_in_here()
        status, shown = self.execute(rentals)
        self.assertEqual((status, shown["results"]), ("200", []))

    def test_page_rents_a_book(self):
        self.sign_in_here()
        status, shown = self.execute(self.operation("post", RENTALS), {"book": self.emma.pk})
        self.assertEqual((status, shown["book"]), ("201", self.emma.pk))
        self.assertEqual(Rental.objects.get().user, self.alice)
        self.picture_of_the_rentals()

    def picture_of_the_rentals(self) -> None:
        """Show the rentals' group, with the call and its response on one screen."""
        self.page.get_by_placeholder("Filter by tag").fill("v3 rentals")
        # The security policy forbids a style element, but not styles that a script sets.
        self.page.evaluate(
            """() => {
                document.body.style.zoom = 0.75;
                for (const text of document.querySelectorAll(".body-param__text")) {
                    text.style.setProperty("min-height", 0, "important");
                    text.style.setProperty("height", "3rem", "important");
                }
            }"""
        )
        self.page.locator("#operations-tag-v3_rentals").evaluate("group => group.scrollIntoView()")
        self.take_screenshot("swagger")


class RedocTest(BrowserTestCase):
    def test_the_document_is_rendered(self):
        self.page.goto("/redoc")
        # The logo is omitted and not broken.
        self.page.get_by_text("API docs by Redocly").wait_for()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(["Lori Books (v1 v2 v3)"])
        expect(self.page.locator("img")).to_have_count(0)
        for group in ("sign-in", "v1 rentals", "v2 rentals", "v3 rentals"):
            expect(self.page.get_by_role("menuitem", name=group, exact=True)).to_be_visible()


class PublicHostTest(BrowserTestCase):
    """Swagger UI requests more from other hosts if it is not on localhost."""

    def test_pages_load_nothing_from_other_hosts(self):
        site = f"http://{PUBLIC_HOST}:{self.server_thread.port}"
        # The error is about http at a public address, which only this test has.
        with override_settings(ALLOWED_HOSTS=[PUBLIC_HOST]), self.expect_browser_error("Opener-Policy"):
            for path, sign in [("/swagger", ".opblock"), ("/redoc", "text=API docs by Redocly")]:
                self.page.goto(site + path)
                self.page.locator(sign).first.wait_for()
                self.page.wait_for_load_state("networkidle")

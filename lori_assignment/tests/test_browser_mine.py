"""A member's rentals, history, balance, statements and receipts, in a browser."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import User
from books.stock import add_book
from lori_assignment.testing.browser import BrowserTestCase
from lori_assignment.tests.test_browser_catalogue import SMALL_TARGETS
from rentals import ledger, services
from rentals.holds import place_hold
from rentals.models import CalendarFeed, LedgerEntry, Rental
from rentals.statements.monthly import Month

DAY = timedelta(days=1)
LONG = "The Life and Strange Surprizing Adventures of Robinson Crusoe, of York, Mariner: Written by Himself"


class MineTestCase(BrowserTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = timezone.now()
        # Last month's rent of 6.00, paid in part; now on loan: one overdue, one with no renewals left.
        last_month = Month.of(self.now).start - 5 * DAY
        had = self.rent("Emma", last_month - 4 * DAY)
        services.return_rental(rental=had, at=last_month, actor=self.carol, now=last_month)
        ledger.take_payment(
            member=self.alice,
            amount=Decimal("2.00"),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=self.now - timedelta(minutes=1),
        )
        self.overdue = self.rent("Persuasion", self.now - 16 * DAY)
        self.rental = self.rent(LONG, self.now - 5 * DAY)
        ready, wanted = add_book(name="Cosmos", kind=1), add_book(name="Contact", kind=1)
        for book in (ready, wanted):
            out = services.rent_book(member=self.bob, book=book, at=self.now, now=self.now)
            place_hold(member=self.alice, book=book, at=self.now)
            if book == ready:
                services.return_rental(rental=out, at=self.now, actor=self.carol, now=self.now)
        self.statement = f"/balance/statements/{Month.of(self.now).before}/"
        self.sign_in(self.alice)

    def rent(self, name: str, at: object, member: User | None = None) -> Rental:
        book = add_book(name=name, author="Somebody", kind=3)
        return services.rent_book(member=member or self.alice, book=book, at=at, now=at)  # type: ignore[arg-type]

    def without_scripts(self) -> Page:
        context = self.browser.new_context(
            base_url=self.live_server_url, java_script_enabled=False, locale="en-US", reduced_motion="reduce"
        )
        self.addCleanup(context.close)
        self._watch(context)
        page = context.new_page()
        self.sign_in(self.alice, page)
        return page

    def tab_to(self, words: str) -> None:
        for _ in range(60):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate("document.activeElement.innerText || ''")
            if words in focused:
                outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                self.assertEqual(outline, "solid")
                return
        self.fail(f"Tab does not lead to {words}.")


class RentalsTest(MineTestCase):
    def renew(self, page: Page) -> None:
        page.goto("/rentals/")
        loan = page.get_by_role("article").filter(has_text="Robinson Crusoe")
        expect(loan.get_by_text("2 renewals left")).to_be_visible()
        loan.get_by_role("button", name="Renew").click()
        expect(page.get_by_role("status")).to_contain_text("is now due on")
        expect(loan.get_by_text("1 renewal left")).to_be_visible()

    def test_ready_and_overdue_books_come_first(self) -> None:
        self.page.goto("/rentals/")
        expect(self.page.get_by_role("article").first).to_contain_text("2 days overdue")
        expect(self.page.get_by_text("is ready to collect until")).to_be_visible()
        expect(self.page.get_by_text("You're number 1 in line.")).to_be_visible()
        self.take_screenshot("rentals")

    def test_a_renewal_is_one_click(self) -> None:
        self.renew(self.page)
        self.rental.refresh_from_db()
        self.assertEqual(self.rental.renewals, 1)

    def test_everything_works_without_scripts(self) -> None:
        page = self.without_scripts()
        self.renew(page)
        page.get_by_role("button", name="Cancel hold").filter(has_text="Contact").click()
        expect(page.get_by_text("You're number 1 in line.")).to_have_count(0)
        page.get_by_role("link", name="Rental history").click()
        page.get_by_role("searchbox").fill("some em")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("row").nth(1)).to_contain_text("Emma")

    def test_a_calendar_link_is_made_used_and_revoked(self) -> None:
        self.page.goto("/rentals/")
        self.page.get_by_role("button", name="Create a link").click()
        link = self.page.get_by_label("Calendar link").input_value()
        self.assertTrue(link.startswith(self.live_server_url), link)
        calendar = self.page.request.get(link)
        self.assertIn("SUMMARY:Due back: Persuasion", calendar.text())
        self.assertIn("SUMMARY:Last chance to collect: Cosmos", calendar.text())
        self.page.get_by_role("button", name="Turn off the link").click()
        expect(self.page.get_by_role("button", name="Create a link")).to_be_visible()
        self.assertEqual(self.page.request.get(link).status, 404)
        self.assertFalse(CalendarFeed.objects.exists())


class BalanceTest(MineTestCase):
    def test_lines_expand_and_link_to_a_receipt(self) -> None:
        self.page.goto("/balance")
        self.take_screenshot("balance")
        lines = self.page.locator("details")
        expect(lines).to_have_count(4)
        for number in range(4):
            lines.nth(number).locator("summary").click()
            expect(lines.nth(number).locator(":scope > :last-child")).to_be_visible()
        expect(self.page.get_by_text("4 days at $1.50")).to_be_visible()
        self.page.get_by_role("link", name="Receipt for transaction no. 2").click()
        expect(self.page.locator(".big-figure")).to_have_text("$2.00")
        self.assert_pdf()

    def assert_pdf(self) -> None:
        """Fetch the page's PDF directly, since a headless browser would download it."""
        link = self.page.get_by_role("link", name="PDF").get_attribute("href")
        pdf = self.page.request.get(link or "")
        self.assertEqual((pdf.status, pdf.headers["content-type"]), (200, "application/pdf"))
        self.assertEqual(pdf.body()[:5], b"%PDF-")

    def test_statement_is_downloaded_as_pdf_and_csv(self) -> None:
        self.page.goto("/balance")
        months = self.page.locator(".months a")
        expect(months).to_have_count(2)
        months.nth(1).click()
        expect(self.page.get_by_role("row").nth(1)).to_contain_text("Rental: Emma")
        expect(self.page.get_by_text("You owe $6.00, not counting books on loan.")).to_be_visible()
        # A download is no page, so the browser aborts the navigation.
        with self.expect_browser_error("ERR_ABORTED"), self.page.expect_download() as sheet:
            self.page.get_by_role("link", name="CSV").click()
        self.assertIn("Rental: Emma", Path(sheet.value.path()).read_text("utf-8-sig"))
        self.assert_pdf()

    def test_keyboard_alone_reaches_the_statement(self) -> None:
        self.page.goto("/balance")
        self.tab_to("Rental: Emma")
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_text("4 days at $1.50")).to_be_visible()
        self.tab_to(Month.of(self.now).before.first_day.strftime("%B %Y"))
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(f"**{self.statement}")

    def test_page_works_without_scripts(self) -> None:
        page = self.without_scripts()
        page.goto("/balance")
        page.get_by_text("Rental: Emma").click()
        expect(page.get_by_text("4 days at $1.50")).to_be_visible()

    def test_print_shows_only_the_statement(self) -> None:
        self.page.goto(self.statement)
        self.page.emulate_media(media="print")
        expect(self.page.get_by_text("Rental: Emma")).to_be_visible()
        for hidden in (self.page.get_by_role("navigation"), self.page.get_by_role("link", name="PDF")):
            for one in hidden.all():
                expect(one).to_be_hidden()


class AccessibilityTest(MineTestCase):
    def pages(self) -> list[str]:
        this_month = f"/balance/statements/{Month.of(self.now)}/"
        documents = [self.statement, this_month, "/balance/receipts/2/"]
        return ["/rentals/", "/rentals/history/", "/balance", *documents]

    def test_every_page_is_accessible(self) -> None:
        for path in self.pages():
            self.page.goto(path)
            for line in self.page.locator("details > summary").all():
                line.click()
            for layout in self.in_each_layout(self.page):
                with self.subTest(layout):
                    self.assert_accessible(self.page)
                    self.assert_not_scrolling_sideways(self.page)
                    self.assertEqual(self.page.evaluate(SMALL_TARGETS), [])

    def test_empty_pages_are_accessible(self) -> None:
        page = self.new_page(width=320)
        self.sign_in(self.dan, page)
        this_month = f"/balance/statements/{Month.of(self.now)}/"
        for path in ("/rentals/", "/rentals/history/", "/balance", this_month):
            with self.subTest(path=path):
                page.goto(path)
                self.assert_accessible(page)
                self.assert_not_scrolling_sideways(page)

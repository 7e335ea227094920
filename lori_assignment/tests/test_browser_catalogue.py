"""The catalogue, the book and renting, in a browser."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from books.models import Book
from books.stock import add_book
from lori_assignment.testing.browser import BrowserTestCase
from lori_assignment.testing.cases import PASSWORD
from rentals.models import Hold, Rental

BOOKS = [
    ("Emma", "Jane Austen", 3, 1815, "en", 2),
    ("Persuasion", "Jane Austen", 3, 1817, "en", 1),
    ("Cosmos", "Carl Sagan", 1, 1980, "en", 1),
    ("L'Étranger", "Albert Camus", 3, 1942, "fr", 1),
    (
        "Die unendliche Geschichte: von einem Buch mit einem sehr, sehr langen Titel",
        "Michael Ende",
        2,
        1979,
        "de",
        0,
    ),
]
# Finds controls that are too small for a finger; links within a sentence are exempt.
SMALL_TARGETS = """
[...document.querySelectorAll("button, select, summary, input:not([type=hidden]), a")]
  .filter((control) => control.checkVisibility({visibilityProperty: true}))
  .filter((control) => !control.matches(".skip, p a:not(.button, .way)"))
  .map((control) => {
    let box = control.getBoundingClientRect();
    const label = control.labels && control.labels[0];
    if (control.type === "checkbox") box = label.parentElement.getBoundingClientRect();
    // The whole card is the link.
    if (control.closest(".results, .shelf")) box = control.closest("li").getBoundingClientRect();
    return [control.outerHTML.slice(0, 120), box.width, box.height];
  })
  .filter(([, width, height]) => width < 44 || height < 43.9)
"""


class CatalogueTestCase(BrowserTestCase):
    emma: Book

    def setUp(self) -> None:
        super().setUp()
        books = [
            add_book(
                name=name,
                author=author,
                kind=kind,
                published=published,
                language=language,
                copies=copies,
                description="A book that is read again and again.",
            )
            for name, author, kind, published, language, copies in BOOKS
        ]
        self.emma, self.cosmos = books[0], books[2]

    def page_without_scripts(self) -> Page:
        context = self.browser.new_context(
            base_url=self.live_server_url, java_script_enabled=False, locale="en-US", reduced_motion="reduce"
        )
        self.addCleanup(context.close)
        self._watch(context)
        return context.new_page()

    def assert_found(self, page: Page, *names: str) -> None:
        expect(page.locator(".results h2")).to_have_text(list(names))

    def assert_state(self, page: Page, words: str) -> None:
        expect(page.locator(".next-step h2")).to_have_text(words)


class CatalogueTest(CatalogueTestCase):
    def test_results_update_while_typing(self) -> None:
        self.page.goto("/home")
        expect(self.page.locator(".results > li")).to_have_count(len(BOOKS))
        self.take_screenshot("catalogue")
        search = self.page.get_by_role("searchbox")
        search.press_sequentially("jane em")
        self.assert_found(self.page, "Emma")
        expect(self.page.get_by_role("status")).to_have_text("1 book")
        expect(search).to_be_focused()
        expect(search).to_have_value("jane em")
        self.page.wait_for_url("**/home?search=jane+em")

        another = self.new_page()
        another.goto(self.page.url)
        self.assert_found(another, "Emma")
        expect(another.get_by_role("searchbox")).to_have_value("jane em")

    def test_filters_apply_at_once_and_back_returns(self) -> None:
        self.page.goto("/home")
        self.page.get_by_label("Category").select_option("Novel")
        self.assert_found(self.page, "L'Étranger", "Persuasion", "Emma")
        self.page.get_by_label("Language").select_option("English")
        self.assert_found(self.page, "Persuasion", "Emma")
        self.page.wait_for_url("**/home?kind=novel&language=en")
        self.page.go_back()
        self.assert_found(self.page, "L'Étranger", "Persuasion", "Emma")
        expect(self.page.get_by_label("Category")).to_have_value("novel")
        expect(self.page.get_by_label("Language")).to_have_value("")
        self.page.get_by_role("link", name="Novel Remove filter").click()
        expect(self.page.locator(".results > li")).to_have_count(len(BOOKS))

    def test_empty_result_offers_all_books(self) -> None:
        self.page.goto("/home?search=nowhere&available=true")
        expect(self.page.get_by_role("status")).to_have_text("No books found")
        self.page.get_by_role("link", name="Show all books").last.click()
        expect(self.page.locator(".results > li")).to_have_count(len(BOOKS))

    def test_everything_works_without_scripts(self) -> None:
        page = self.page_without_scripts()
        page.goto("/home")
        page.get_by_role("searchbox").fill("austen")
        page.get_by_label("Sort by").select_option("Title, A to Z")
        page.get_by_role("button", name="Search").click()
        expect(page).to_have_url(f"{self.live_server_url}/home?search=austen&ordering=name")
        self.assert_found(page, "Emma", "Persuasion")
        self.sign_in(self.alice, page)
        page.get_by_role("link", name="Emma", exact=True).click()
        page.get_by_role("link", name="Rent", exact=True).click()
        page.get_by_role("button", name="Rent it").click()
        self.assert_state(page, "You have it")
        self.assertEqual(Rental.objects.get().user, self.alice)


class RentTest(CatalogueTestCase):
    def test_visitor_finds_signs_in_and_rents(self) -> None:
        self.page.goto("/home?search=emma")
        self.page.get_by_role("link", name="Emma", exact=True).click()
        self.take_screenshot("book")
        self.page.get_by_role("link", name="Rent", exact=True).click()
        self.page.locator("[name=login]").fill("alice")
        self.page.locator("[name=password]").fill(PASSWORD)
        self.page.locator("[name=password]").press("Enter")
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Confirm your rental")
        expect(self.page.get_by_text("If you return it today")).to_be_visible()
        self.take_screenshot("rent")
        self.page.get_by_role("button", name="Rent it").click()
        self.assert_state(self.page, "You have it")
        expect(self.page.get_by_text("“Emma” is yours until")).to_be_visible()

    def test_keyboard_alone_rents(self) -> None:
        self.sign_in(self.alice)
        self.page.goto("/home")
        self.tab_to(self.page.get_by_role("searchbox"))
        self.page.keyboard.type("cosm")
        self.page.keyboard.press("Enter")
        self.assert_found(self.page, "Cosmos")
        # The search runs once more, triggered by typing.
        self.page.wait_for_load_state("networkidle")
        self.tab_to(self.page.get_by_role("link", name="Cosmos"))
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/books/*/")
        self.tab_to(self.page.get_by_role("link", name="Rent", exact=True))
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/rent/")
        self.tab_to(self.page.get_by_role("button", name="Rent it"))
        self.page.keyboard.press("Enter")
        self.assert_state(self.page, "You have it")

    def tab_to(self, target: Locator) -> None:
        """Press Tab until `target` has the focus. The focus is always visible, on the element or its card."""
        shown = """element => [element, element.closest("li")].some(
            (place) => place && getComputedStyle(place).outlineStyle === "solid")"""
        for _ in range(40):
            self.page.keyboard.press("Tab")
            self.assertTrue(self.page.evaluate_handle("document.activeElement").evaluate(shown))
            if target.evaluate("element => element === document.activeElement"):
                return
        self.fail(f"Tab does not lead to {target}.")

    def test_last_copy_goes_to_one_of_two_members(self) -> None:
        pages = [self.page, self.new_page()]
        for page, member in zip(pages, (self.alice, self.bob), strict=True):
            self.sign_in(member, page)
            page.goto(f"/books/{self.cosmos.pk}/")
            page.get_by_role("link", name="Rent", exact=True).click()
            expect(page.get_by_role("button", name="Rent it")).to_be_visible()
        first, second = pages
        first.get_by_role("button", name="Rent it").click()
        self.assert_state(first, "You have it")
        with self.expect_browser_error("409"):
            second.get_by_role("button", name="Rent it").click()
            expect(second.get_by_role("heading", level=1)).to_have_text("Someone just took the last copy")
        self.assert_accessible(second)
        second.get_by_role("button", name="Join the queue").click()
        self.assert_state(second, "On hold")
        expect(second.locator(".next-step").get_by_text("You're number 1 in line.")).to_be_visible()
        self.assertEqual([rental.user for rental in Rental.objects.all()], [self.alice])
        second.get_by_role("button", name="Cancel hold").click()
        self.assert_state(second, "All copies are rented out")
        self.assertEqual(Hold.objects.live().count(), 0)

    def test_a_double_click_rents_once(self) -> None:
        self.sign_in(self.alice)
        self.page.goto(f"/books/{self.emma.pk}/rent/")
        self.page.get_by_role("button", name="Rent it").dblclick()
        self.assert_state(self.page, "You have it")
        self.assertEqual(Rental.objects.count(), 1)


class AccessibilityTest(CatalogueTestCase):
    """Checks a narrow and a wide screen, light and dark, for accessibility and the size of controls."""

    def look_at(self, page: Page, path: str) -> None:
        page.goto(path)
        for layout in self.in_each_layout(page):
            with self.subTest(layout):
                self.assert_not_scrolling_sideways(page)
                self.assertEqual(page.evaluate(SMALL_TARGETS), [], path)
                self.assert_accessible(page)

    def test_pages_are_accessible(self) -> None:
        for_anyone = [
            "/home",
            "/home?search=emma&kind=novel",
            "/home?search=nowhere",
            "/home?kind=x&decade=3",
            *(f"/books/{book.pk}/" for book in Book.objects.all()),
        ]
        self.sign_in(self.bob)
        self.page.goto(f"/books/{self.cosmos.pk}/rent/")
        self.page.get_by_role("button", name="Rent it").click()
        self.assert_state(self.page, "You have it")
        for_members = [
            f"/books/{self.cosmos.pk}/",
            f"/books/{self.cosmos.pk}/rent/",
            f"/books/{self.emma.pk}/rent/",
        ]
        page = self.new_page()
        for path in for_anyone:
            self.look_at(page, path)
        self.sign_in(self.alice, page)
        for path in for_members:
            self.look_at(page, path)
        page = self.new_page(width=320)
        page.goto("/home")
        page.get_by_text("Filter and sort").click()
        self.assertEqual(page.evaluate(SMALL_TARGETS), [])
        self.assert_accessible(page)

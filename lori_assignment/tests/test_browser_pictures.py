"""The pages of the demo shop are accessible. Also takes the pictures for the README:

PICTURES=docs/pictures python manage.py test lori_assignment.tests.test_browser_pictures
"""

from __future__ import annotations

from typing import Literal

from django.utils import timezone
from playwright.sync_api import Page

from accounts.models import User
from books.models import Book
from lori_assignment.testing.browser import BrowserTestCase
from lori_assignment.tests.test_browser_catalogue import SMALL_TARGETS
from rentals.management.commands.load_demo import fill_shop

Scheme = Literal["light", "dark"]


class DemoShopTest(BrowserTestCase):
    def setUp(self) -> None:
        super().setUp()
        # The demo's users have other names than the cast.
        fill_shop(now=timezone.now(), password="a-book-a-day")
        self.nora = User.objects.get(username="nora")
        self.book = Book.objects.get(name="The Odyssey")

    def look_at(self, page: Page, path: str) -> None:
        page.goto(path)
        with self.subTest(path, width=page.viewport_size):
            self.assert_not_scrolling_sideways(page)
            self.assert_accessible(page)
            self.assertEqual(page.evaluate(SMALL_TARGETS), [])

    def test_main_pages_are_accessible(self) -> None:
        staff = User.objects.get(username="mara")
        for scheme, width in (("light", 320), ("dark", 320), ("light", 1280), ("dark", 1280)):
            for user in (None, self.nora, staff):
                page = self.new_page(width=width, scheme=scheme)  # type: ignore[arg-type]  # both are literals
                paths = ["/", "/home", f"/books/{self.book.pk}/"]
                if user is not None:
                    self.sign_in(user, page)
                    paths += ["/rentals/", "/balance"]
                for path in paths:
                    self.look_at(page, path)

    def test_screenshots_are_taken(self) -> None:
        schemes: tuple[Scheme, ...] = ("light", "dark")
        for scheme in schemes:
            self.page = self.new_page(scheme=scheme)
            for name, path in (("front", "/"), ("catalogue", "/home"), ("book", f"/books/{self.book.pk}/")):
                self.page.goto(path)
                self.take_screenshot(f"{name}-{scheme}")
            self.sign_in(self.nora)
            for name, path in (("rentals", "/rentals/"), ("balance", "/balance")):
                self.page.goto(path)
                self.take_screenshot(f"{name}-{scheme}")

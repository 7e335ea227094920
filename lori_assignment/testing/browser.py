"""The base class of browser tests, with Debian's Chromium and a live server.

A click returns before the next page has loaded. Therefore tests look at a page with `expect`, which waits,
and not with `count()`, `url` or `title()`, which answer at once.

A test fails if the browser's console has an error, or if a request fails or goes to another server. Without
chromium these tests are skipped with a notice, or fail if CI or REQUIRE_BROWSER is in the environment.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal
from unittest import SkipTest, mock
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]  # it ships no types
from django.conf import settings
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.core.cache import cache
from django.db import DEFAULT_DB_ALIAS, connections
from django.test import Client, override_settings, tag
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from accounts.models import User
from lori_assignment.testing.cases import CommittedDataMixin

# The headless shell draws no window and takes half the processor time.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
MUST_RUN = bool(os.environ.get("CI") or os.environ.get("REQUIRE_BROWSER"))
# Resolves to the live server too, because some scripts behave differently on localhost.
PUBLIC_HOST = "shop.example"
FLAGS = [
    # Chromium's sandbox does not start as root, and the pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A container's /dev/shm is often too small.
    "--disable-dev-shm-usage",
    f"--host-resolver-rules=MAP {PUBLIC_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost",
]
# Long enough for a slow machine.
TIMEOUT_MS = 60_000
COLOR_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
expect.set_options(timeout=TIMEOUT_MS)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

NOTE = """
 ************************************************************************
 *  THE BROWSER HALF OF THE TESTS DID NOT RUN: there is no chromium on  *
 *  this machine. Install Debian's package chromium-headless-shell.     *
 ************************************************************************
"""


def _write_note() -> None:
    sys.stderr.write(NOTE)


if CHROMIUM is None and multiprocessing.parent_process() is None:
    # At the end of the run, where it is noticed, and not once for each parallel process.
    atexit.register(_write_note)


@functools.cache
def launch_browser() -> tuple[Browser, asyncio.AbstractEventLoop]:
    """Start the browser that all test classes of this process share, with Playwright's event loop."""
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    return browser, asyncio.get_running_loop()


@tag("browser", "any_database")
class BrowserTestCase(CommittedDataMixin, StaticLiveServerTestCase):
    """`self.page` is a page of 1280 x 800 in a new context, without a signed-in user."""

    browser: ClassVar[Browser]
    page: Page

    @classmethod
    def setUpClass(cls) -> None:
        if CHROMIUM is None:
            if MUST_RUN:
                raise AssertionError(
                    "There is no chromium on this machine, and CI or REQUIRE_BROWSER is set."
                )
            raise SkipTest("There is no chromium on this machine.")
        super().setUpClass()
        # Django refuses to use the database in a thread with an event loop, such as Playwright's.
        cls.enterClassContext(mock.patch.dict(os.environ, DJANGO_ALLOW_ASYNC_UNSAFE="true"))
        # For links in mails.
        cls.enterClassContext(override_settings(SITE_URL=cls.live_server_url))
        outside = connections[DEFAULT_DB_ALIAS]
        cls.browser, loop = launch_browser()
        # Playwright's event loop is marked as running in this thread, but not for other test classes.
        mark_running = asyncio._set_running_loop  # noqa: SLF001  # Playwright marks it the same way.
        mark_running(loop)
        cls.addClassCleanup(mark_running, None)
        # Inside an event loop Django would open a second connection, which has no copy of the migrations'
        # data, so that the data would not be restored after a test.
        connections[DEFAULT_DB_ALIAS] = outside

    def setUp(self) -> None:
        super().setUp()
        # The cache's table has no model, so nothing else deletes the failed sign-ins in it.
        cache.clear()
        self.addCleanup(cache.clear)
        self.complaints: list[str] = []
        self.addCleanup(self._fail_on_browser_errors)
        self.page = self.new_page()

    def new_page(
        self, *, width: int = 1280, height: int = 800, scheme: Literal["light", "dark"] = "light"
    ) -> Page:
        """Return a page in a new context, which shares no cookies."""
        context = self.browser.new_context(
            base_url=self.live_server_url,
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-US",
        )
        self.addCleanup(self._leave, context)
        context.set_default_timeout(TIMEOUT_MS)
        self._watch(context)
        return context.new_page()

    def in_each_layout(self, page: Page, widths: tuple[int, ...] = (320, 1280)) -> Iterator[str]:
        """Show the loaded page at each width in light and dark colors, and yield a label of the layout."""
        for width in widths:
            page.set_viewport_size({"width": width, "height": 800})
            for scheme in COLOR_SCHEMES:
                page.emulate_media(color_scheme=scheme)
                # The administration's links fade into their new color.
                page.evaluate("Promise.allSettled(document.getAnimations().map(one => one.finished))")
                yield f"{page.url}, {width} px, {scheme}"

    def _watch(self, context: BrowserContext) -> None:
        complain = self.complaints.append

        def look_at(request: Request) -> None:
            address = urlsplit(request.url)
            inside = address.port == self.server_thread.port and address.hostname in (self.host, PUBLIC_HOST)
            if address.scheme not in ("data", "blob") and not inside:
                complain(f"left the shop: {request.url}")

        context.on("request", look_at)

        def look_at_failure(request: Request) -> None:
            # The icon is fetched last, and leaving the page before that is no error.
            if not request.url.endswith("/icon.svg"):
                complain(f"failed: {request.url} {request.failure}")

        context.on("requestfailed", look_at_failure)
        context.on("weberror", lambda error: complain(f"script error: {error.error}"))
        context.on(
            "console",
            lambda message: complain(f"console: {message.text}") if message.type == "error" else None,
        )

    def _leave(self, context: BrowserContext) -> None:
        # A request that is aborted by closing the page would count as failed.
        for page in context.pages:
            page.wait_for_load_state("load")
        context.close()

    def _fail_on_browser_errors(self) -> None:
        self.assertEqual(self.complaints, [], "The browser complained.")

    @contextmanager
    def expect_browser_error(self, part: str) -> Iterator[None]:
        """Expect at least one error of the browser that contains `part`, and ignore all of these."""
        before = len(self.complaints)
        yield
        for _ in range(40):
            # Errors of the browser arrive while Playwright waits.
            self.page.wait_for_timeout(50)
            others = [line for line in self.complaints[before:] if part not in line]
            if len(others) < len(self.complaints) - before:
                self.complaints[before:] = others
                return
        self.fail(f"No complaint of {part!r}; there were {others}")

    def sign_in(self, user: User, page: Page | None = None) -> None:
        """Give the browser a session of `user` without using the form."""
        client = Client()
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
        (page or self.page).context.add_cookies(
            [
                {
                    "name": settings.SESSION_COOKIE_NAME,
                    "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
                    "url": self.live_server_url,
                }
            ]
        )

    def assert_accessible(self, page: Page) -> None:
        """Check that axe finds no violation of WCAG 2.2 A and AA on the loaded page."""
        page.wait_for_load_state("load")
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE_SCRIPT)
        # Without `resultTypes` it describes every element that passes, which takes longer than the rules.
        options = {"runOnly": WCAG, "resultTypes": ["violations"]}
        found: dict[str, Any] = page.evaluate(
            "async options => { const {passes, violations} = await axe.run(options);"
            " return {passed: passes.length, violations}; }",
            options,
        )
        self.assertGreater(found["passed"], 5, "axe looked at next to nothing.")
        problems = [
            f"{violation['id']}: {node['html']} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]
        self.assertEqual(problems, [], page.url)

    def assert_not_scrolling_sideways(self, page: Page) -> None:
        page.wait_for_load_state("load")
        excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        self.assertLessEqual(excess, 0, page.url)

    def take_screenshot(self, name: str) -> None:
        """Write `name`.png, for the README, to the folder in PICTURES, if that is set."""
        folder = os.environ.get("PICTURES")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png")

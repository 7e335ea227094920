"""Neither `next`, nor the Referer, nor the Host header of a request can lead to another site."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from unittest import mock
from urllib.parse import urlencode, urljoin, urlsplit

from django.conf import settings
from django.core import mail
from django.http import HttpResponse
from django.test import Client, SimpleTestCase, override_settings

from lori_assignment.testing.cases import PASSWORD
from lori_assignment.tests.roles import RoleTestCase, TableRow, rolled_back

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "////evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "\\/evil.example/",
    "https:evil.example",
    "https:/evil.example/",
    "https:///evil.example/",
    "http:\\\\evil.example/",
    "javascript:alert(1)//evil.example",
    "JaVaScRiPt:alert(1)//evil.example",
    "java\nscript:alert(1)//evil.example",
    "data:text/html,evil.example",
    "vbscript:evil.example",
    "\thttps://evil.example/",
    " //evil.example/",
    "/\t/evil.example/",
    "/\n/evil.example/",
    "/\r\n/evil.example/",
    "\x00//evil.example/",
    "\x08//evil.example/",
    "//testserver@evil.example/",
    "//testserver.evil.example/",
    "http://testserver:80@evil.example/",
    "//evil.example\\@testserver/",
    "//[evil.example",
    "//evil\u3002example/",
]
# These lead to our own pages, since the browser does not decode paths.
OURS = ["%2f%2fevil.example/", "/%09/evil.example/", "/%5cevil.example/", "/rentals/?next=//evil.example/"]
WITHIN = "/robots.txt"
OUR_PAGE = {"origin": "http://testserver"}
# Every page that redirects to `next`.
FOLLOWS = {
    "GET /user/login/",
    "POST /user/login/",
    "GET /user/signup/",
    "POST /user/signup/",
    "GET /user/logout/",
    "POST /user/logout/",
    "POST /admin/logout/",
    "GET /user/login/code/confirm/",
    "POST /user/login/code/confirm/",
    "POST /user/reauthenticate/",
    "GET /user/2fa/authenticate/",
    "POST /user/2fa/authenticate/",
    "GET /user/2fa/webauthn/login/",
    "POST /user/2fa/webauthn/login/",
    "POST /user/2fa/webauthn/keys/<passkey>/edit/",
    "POST /user/2fa/webauthn/keys/<passkey>/remove/",
    "POST /user/confirm-email/<address-key>/",
    "POST /user/password/change/",
    "POST /user/password/reset/",
    "POST /language/",
    "POST /holds/<hold>/cancel/",
}


def leads_elsewhere(address: str, *, here: str = "https://testserver/user/") -> bool:
    """Parse a URL as a browser does (WHATWG): ignore outer spaces and line breaks, and treat \\ as a /."""
    address = re.sub(r"[\t\r\n]", "", address.strip("".join(map(chr, range(33)))))
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=:)", address)
    if scheme and scheme[0].lower() not in ("http", "https"):
        return True
    address = address.replace("\\", "/")
    if scheme:
        # A host follows, after any number of slashes or none.
        address = re.sub(r"^(https?):/*", r"\1://", address, flags=re.IGNORECASE)
    else:
        address = re.sub("^//+", "//", address)
    try:
        return urlsplit(urljoin(here, address)).hostname != "testserver"
    except ValueError:
        return True


class ForeignUrlTest(SimpleTestCase):
    def test_every_hostile_url_leads_elsewhere(self) -> None:
        self.assertEqual([one for one in ELSEWHERE if not leads_elsewhere(one)], [])
        self.assertEqual([one for one in (*OURS, WITHIN, "", "#top") if leads_elsewhere(one)], [])


class NextParameterTest(RoleTestCase):
    def told(self, line: TableRow, role: str, following: str) -> HttpResponse:
        query, more = urlencode({"next": following}), {"next": following}
        if role == "anonymous" and line.path == "/user/login/":
            more |= {"login": "other.moss"}
        return self.asker.ask(line.method, line.path, role, query=query, more=more)

    def follows(self, line: TableRow) -> str | None:
        """Return a role for which this page redirects to `next`, if there is one."""
        for role in ("anonymous", "self", "staff"):
            if self.told(line, role, WITHIN).headers.get("Location") == WITHIN:
                return role
        return None

    def led_astray(self, *pages: str, by: Sequence[str] = (*ELSEWHERE, *OURS)) -> set[str]:
        found = set()
        for line in self.lines(lambda line: f"{line.method} {line.path}" in pages):
            role = self.follows(line) or ""
            for following in by:
                answer = self.told(line, role, following)
                if leads_elsewhere(answer.headers.get("Location", "")):
                    found.add(f"{line.method} {line.path} as {role}: {following!r}")
        return found

    def test_pages_following_next_are_known(self) -> None:
        """A new page that does has to be added, and its check reviewed."""
        pages = self.lines(lambda line: not line.is_api and line.method in ("GET", "POST"))
        self.assertEqual({f"{line.method} {line.path}" for line in pages if self.follows(line)}, FOLLOWS)

    def test_next_stays_within_the_shop(self) -> None:
        self.assertEqual(self.led_astray(*FOLLOWS), set())

    def test_without_the_check_next_leads_elsewhere(self) -> None:
        """Shows that the test above can fail, for each place with a check."""
        for place, page, role in (
            ("accounts.allauth_adapters", "POST /user/login/", "anonymous"),
            ("django.views.i18n", "POST /language/", "anonymous"),
            ("rentals.views.holds", "POST /holds/<hold>/cancel/", "self"),
            ("django.contrib.auth.views", "POST /admin/logout/", "staff"),
        ):
            with mock.patch(f"{place}.url_has_allowed_host_and_scheme", lambda *facts, **more: True):
                found = self.led_astray(page, by=["//evil.example/"])
            self.assertEqual(found, {f"{page} as {role}: '//evil.example/'"})

    def test_next_after_second_factor_stays_within(self) -> None:
        for following in (WITHIN, *ELSEWHERE):
            with self.subTest(following), rolled_back():
                browser = Client()
                form = {"login": "self.moss", "password": PASSWORD, "next": following}
                answer = browser.post("/user/login/", form)
                self.assertTrue(answer.headers["Location"].startswith("/user/2fa/authenticate/"))
                form = {"code": self.world.recovery_code, "next": following}
                answer = browser.post(answer.headers["Location"], form)
                self.assertEqual(answer.status_code, 302)
                self.assertIn("_auth_user_id", browser.session)
                self.assertFalse(leads_elsewhere(answer.headers["Location"]))
                self.assertEqual(answer.headers["Location"] == WITHIN, following == WITHIN)


class RefererTest(RoleTestCase):
    """The Referer, and htmx's header for the current page, are controlled by the page that led here."""

    BEFORE = ["https://evil.example/x", "http://testserver//evil.example/x"]

    def led_to(self) -> set[str]:
        """Return every URL of a redirect, link or form that leads to another site."""
        found = set()
        for line in self.lines(lambda line: not line.is_api and line.method in ("GET", "POST")):
            for role in ("anonymous", "self"):
                if line.answers[role] in ("405", "404", "403"):
                    continue
                for before in self.BEFORE:
                    headers = {"Referer": before, "HX_Current_URL": before}
                    answer = self.asker.ask(
                        line.method,
                        line.path,
                        role,
                        query="next=//evil.example/",
                        more={"next": before},
                        **headers,
                    )
                    found |= {
                        f"{line.method} {line.path} as {role}: {address}"
                        for address in addresses(answer)
                        if "evil" in address and leads_elsewhere(address)
                    }
        return found

    def test_referer_does_not_leave_the_shop(self) -> None:
        self.assertEqual(self.led_to(), set())

    def test_csrf_failure_does_not_leave_the_shop(self) -> None:
        for before in self.BEFORE:
            for origin in ("http://testserver", "https://evil.example"):
                browser = Client(enforce_csrf_checks=True, headers={"referer": before, "origin": origin})
                answer = browser.post("/user/login/", {"login": "x", "password": "y"})
                self.assertEqual(answer.status_code, 403)
                self.assertEqual([one for one in addresses(answer) if leads_elsewhere(one)], [])

    def test_foreign_link_is_detected(self) -> None:
        """Shows that the tests above can fail, for the search for URLs and for a page without the check."""
        page = '<a href="//evil.example/x">Back</a> <form action="/&#47;evil.example/y">'
        answer = HttpResponse(page, headers={"HX-Redirect": "//evil.example/z"})
        self.assertEqual([one[-1] for one in addresses(answer) if leads_elsewhere(one)], ["z", "x", "y"])
        with mock.patch("lori_assignment.http.member_pages.escape_leading_slashes", lambda path: path):
            browser = Client(enforce_csrf_checks=True, headers={"referer": self.BEFORE[1], **OUR_PAGE})
            answer = browser.post("/user/login/", {"login": "x", "password": "y"})
        self.assertIn("//evil.example/x", addresses(answer))


def addresses(answer: HttpResponse) -> Iterator[str]:
    """Yield all URLs to which an answer may lead."""
    for header in ("Location", "HX-Redirect", "HX-Push-Url", "Refresh", "Link"):
        if header in answer.headers:
            yield answer.headers[header]
    if not answer.streaming and "html" in answer.headers.get("Content-Type", ""):
        page = answer.content.decode()
        for address in re.findall(r"""(?:href|src|action|formaction|hx-\w+)=["']([^"']*)["']""", page):
            yield unescape(address)


@override_settings(ALLOWED_HOSTS=["testserver", "other.example"])
class HostHeaderTest(RoleTestCase):
    """Responses and mails contain neither another allowed host nor forged names of a proxy."""

    HEADERS = {"Host": "other.example", "X_Forwarded_Host": "evil.example", "Forwarded": "host=evil.example"}

    def naming_it(self, lines: list[TableRow], *roles: str) -> set[str]:
        found = set()
        for line in lines:
            for role in roles:
                answer = self.asker.ask(line.method, line.path, role, **self.HEADERS)
                body = b"".join(answer) if answer.streaming else answer.content
                told = f"{answer.headers} {answer.cookies} {body.decode(errors='replace')}"
                told += " ".join(f"{message.subject} {message.body}" for message in mail.outbox)
                mail.outbox.clear()
                if "other.example" in told or "evil.example" in told:
                    found.add(f"{line.method} {line.path} as {role}")
        return found

    def test_answers_and_mails_do_not_name_it(self) -> None:
        asked = self.lines(lambda line: line.method in ("GET", "POST") and line.answers["superuser"] != "405")
        self.assertEqual(self.naming_it(asked, "self", "superuser"), set())

    def test_links_in_mail_lead_to_the_shop(self) -> None:
        for path, role in (
            ("/user/signup/", "anonymous"),
            ("/user/password/reset/", "self"),
            ("/user/email/", "self"),
            ("/api/rest-auth/registration", "anonymous"),
            ("/api/rest-auth/password/reset", "other"),
            ("/api/rest-auth/password/reset", "anonymous"),
        ):
            self.asker.ask("POST", path, role, **self.HEADERS)
        links = [link for message in mail.outbox for link in re.findall(r"https?://\S+", message.body)]
        self.assertGreater(len(links), 3)
        self.assertEqual([link for link in links if not link.startswith(f"{settings.SITE_URL}/")], [])

    def test_without_site_url_links_lead_elsewhere(self) -> None:
        """Shows that the tests above can fail: Django and allauth build URLs from the request."""

        def by_request(path: str) -> str:
            return urljoin("http://other.example", path)

        for place, called in (
            ("lori_assignment.rest.pagination", "GET /api/v3/books?page_size=1"),
            ("accounts.allauth_adapters", "POST /user/signup/"),
        ):
            method, path = called.split(" ")
            with mock.patch(f"{place}.absolute_url", by_request):
                line = TableRow(method, path, {})
                self.assertEqual(self.naming_it([line], "anonymous"), {f"{called} as anonymous"})

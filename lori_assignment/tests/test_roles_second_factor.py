"""If staff need a second factor, they have no access before they have one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.conf import settings
from django.db.models import Q
from django.test import override_settings

from accounts import tokens
from accounts.tests.case import activate_totp
from lori_assignment.tests.roles import RoleTestCase, TableRow, describe_response

SETUP = "/user/2fa/"
STAFF = ("staff", "superuser")
# Pages to set one up, to sign out, and those without personal data.
OPEN = (
    *("/user/2fa/", "/user/email/", "/user/confirm-email/", "/user/logout/", "/user/reauthenticate/"),
    *("/user/token/renew/", "/language/", "/media/", "/favicon.ico", "/robots.txt"),
    *("/healthz", "/readyz", "/metrics"),
)


@override_settings(STAFF_SECOND_FACTOR=True)
class SecondFactorTest(RoleTestCase):
    def pages(self) -> list[TableRow]:
        return self.lines(
            lambda line: (
                not line.is_api
                and line.method in ("GET", "POST")
                and not line.path.startswith(OPEN)
                and not line.path.startswith(("/swagger", "/redoc"))
            )
        )

    def opened(self, lines: list[TableRow]) -> set[str]:
        """Return the requests of staff that are not redirected to the setup."""
        found = set()
        for line in lines:
            for role in STAFF:
                answer = self.asker.ask(line.method, line.path, role)
                if (answer.status_code, answer.headers.get("Location")) != (302, SETUP):
                    found.add(f"{line.method} {line.path} as {role}")
        return found

    def let_in(self, lines: list[TableRow]) -> set[str]:
        """Return the calls of the API that do not answer staff with a 401."""
        return {
            f"{line.method} {line.path} as {role}"
            for line in lines
            for role in STAFF
            if describe_response(self.asker.ask(line.method, line.path, role)) != "401"
        }

    def own(self) -> list[TableRow]:
        """Return the calls of the API that require authentication, or take a password or token."""
        return self.lines(
            lambda line: line.is_api and line.method != "HEAD" and line.answers.get("deactivated") == "401"
        )

    def test_every_page_redirects_to_setup(self) -> None:
        self.assertEqual(self.opened(self.pages()), set())

    def test_api_refuses_staff_without_a_factor(self) -> None:
        self.assertEqual(self.let_in(self.own()), set())

    def test_staff_with_a_factor_have_normal_access(self) -> None:
        for role in STAFF:
            activate_totp(self.world.people[role])
        lines = self.lines(
            lambda line: line.path in ("/admin/", "/home", "/rentals/", "/api/v3/copies", "/api/v1/accounts")
        )
        of_staff = [
            TableRow(
                line.method, line.path, {role: line.answers[role] for role in STAFF if role in line.answers}
            )
            for line in lines
        ]
        self.assertEqual(self.asker.differences(of_staff), [])

    def test_without_the_middleware_pages_are_open(self) -> None:
        """Shows that the first test can fail."""
        without = [name for name in settings.MIDDLEWARE if "StaffSecondFactor" not in name]
        with override_settings(MIDDLEWARE=without):
            self.asker.client = type(self.asker.client)()
            found = self.opened(self.lines(lambda line: line.path in ("/admin/", "/home")))
        self.assertLessEqual({"GET /admin/ as staff", "GET /home as superuser"}, found)

    @contextmanager
    def owners_without_condition(self) -> Iterator[None]:
        """Compile the query for a token's owner without its condition on staff."""
        tokens._owner_query.cache_clear()
        with mock.patch("accounts.tokens.has_required_second_factor", Q):
            yield
        tokens._owner_query.cache_clear()

    def test_without_the_checks_the_api_is_open(self) -> None:
        """Shows that the API's test can fail, for each check."""
        for guard, path in (
            (self.owners_without_condition(), "/api/v3/copies"),
            (
                mock.patch("accounts.tokens.must_set_up_second_factor", lambda user: False),
                "/api-token-refresh",
            ),
            (mock.patch("accounts.sign_in.must_set_up_second_factor", lambda user: False), "/api-token-auth"),
            (
                mock.patch("accounts.sign_in.must_set_up_second_factor", lambda user: False),
                "/api/rest-auth/login",
            ),
        ):
            lines = self.lines(lambda line, path=path: line.path == path and line in self.own())
            with guard:
                found = self.let_in(lines)
            self.assertTrue(any(path in one for one in found), (path, found))

"""What the requests of a visitor write to the database."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test import override_settings

from lori_assignment.tests.roles import RoleClient, RoleTestCase

WRITE = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "?(\w+)')
# As the script of the sign-in page calls, and as a form is sent.
KINDS: tuple[dict[str, str], ...] = ({}, {"X_Requested_With": "XMLHttpRequest"})
# The cache has the counts of requests: a row for each action and address, or for each e-mail address that a
# client names, which is limited by the client's address too.
COUNTS = {"cache", "accounts_passwordattempts"}
ACCOUNT = {"accounts_user", "account_emailaddress", "account_emailconfirmation"}
# Signing up is limited by the client's address; the others take a key that was mailed.
OTHERS = {
    "POST /user/signup/": {*ACCOUNT, "accounts_tokenfamily", "django_session", "usersessions_usersession"},
    "POST /api/rest-auth/registration": {*ACCOUNT, "accounts_tokenfamily"},
    "POST /user/confirm-email/<address-key>/": ACCOUNT,
    "POST /api/rest-auth/registration/verify-email": ACCOUNT,
    "POST /api/rest-auth/password/reset/confirm": {*ACCOUNT, "rentals_calendarfeed"},
}


class VisitorWritesTest(RoleTestCase):
    def written(self, *paths: str) -> dict[str, set[str]]:
        """Return the tables that each request of a visitor changes, without the counts."""
        tables: set[str] = set()

        def note(execute: Callable[..., Any], sql: Any, *more: Any) -> Any:
            if match := WRITE.match(str(sql)):
                tables.add(match[1])
            return execute(sql, *more)

        found = {}
        for path in paths or dict.fromkeys(line.path for line in self.lines(lambda line: True)):
            for method in ("GET", "POST"):
                tables.clear()
                with connection.execute_wrapper(note):
                    for headers in KINDS:
                        self.asker.ask(method, path, "anonymous", more={"note": "typed"}, **headers)
                if tables - COUNTS:
                    found[f"{method} {path}"] = tables - COUNTS
        return found

    def test_visitor_has_no_session(self) -> None:
        found = self.written()
        self.assertEqual({what for what, tables in found.items() if tables - OTHERS.get(what, set())}, set())
        self.assertLessEqual({"POST /user/signup/", "POST /api/rest-auth/registration"}, set(found))

    def test_stock_session_store_writes_sessions(self) -> None:
        """Shows that the test above can fail."""
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            self.asker = RoleClient(self.world)
            found = self.written(
                "/user/2fa/webauthn/login/",
                "/user/2fa/totp/activate/",
                "/user/password/reset/key/<uid>-<reset-key>/",
            )
        self.assertEqual({name for tables in found.values() for name in tables}, {"django_session"})
        self.assertEqual(len(found), 4)

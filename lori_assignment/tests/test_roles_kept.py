"""Responses with personal data or tokens are not cached, and reading changes nothing."""

from __future__ import annotations

from typing import Any
from unittest import mock

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as StockStore
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client, override_settings

from lori_assignment.http import security_headers
from lori_assignment.testing.cases import PASSWORD
from lori_assignment.tests.roles import RoleTestCase, TableRow, rolled_back
from lori_assignment.tests.test_roles_bodies import models

SIGNED_IN = ("self", "other", "staff", "superuser")


class KeptCase(RoleTestCase):
    def setUp(self) -> None:
        super().setUp()
        named = self.world.named
        # Personal data, and secrets that grant access.
        self.secrets = [f"{role}.moss" for role in self.world.people]
        self.secrets += [self.world.recovery_code, str(named["reset-key"]), str(named["address-key"])]
        self.secrets += [str(secret) for secret in self.world.secrets.values()]
        self.secrets += ["new@example.org"]
        # The beginning of real tokens; the sample in the OpenAPI document begins differently.
        self.secrets += {token.split(".")[1][:12] for pair in self.world.tokens.values() for token in pair}

    def shown(self, answer: HttpResponse) -> list[str]:
        """Return the secrets in the body and headers of an answer."""
        body = b"".join(answer) if answer.streaming else answer.content
        told = f"{answer.headers} {answer.cookies} {body.decode(errors='replace')}"
        return [secret for secret in self.secrets if secret in told]

    def kept(self, lines: list[TableRow], *roles: str) -> tuple[set[str], set[str]]:
        """Return the personal answers that may be cached, and all personal answers."""
        kept, all_of_them = set(), set()
        for line in lines:
            for role in roles:
                if line.answers.get(role) in (None, "405"):
                    continue
                answer = self.asker.ask(line.method, line.path, role)
                # The head of each page names the signed-in user; a file is the user's own.
                is_html = answer.headers.get("Content-Type", "").startswith("text/html")
                is_file = "Content-Disposition" in answer.headers and not line.path.startswith("/media/")
                is_page = answer.status_code == 200 and (is_html or is_file)
                if self.shown(answer) or (is_page and role in SIGNED_IN and not line.path.startswith(PUBLIC)):
                    all_of_them.add(f"{line.method} {line.path} as {role}")
                    if "no-store" not in answer.headers.get("Cache-Control", ""):
                        kept.add(f"{line.method} {line.path} as {role}")
        return kept, all_of_them


# The same for everybody: these pages send calls as the signed-in user, but do not show the user.
PUBLIC = ("/swagger", "/redoc")


class NoStoreTest(KeptCase):
    def test_personal_answers_are_not_stored(self) -> None:
        lines = self.lines(lambda line: line.method in ("GET", "POST", "PUT", "PATCH", "DELETE"))
        kept, all_of_them = self.kept(lines, "anonymous", "self", "staff")
        self.assertEqual(kept, set())
        for one in (
            "GET / as self",
            "GET /home as self",
            "GET /rentals/ as self",
            "GET /balance/statements/<month>.csv as self",
            "GET /user/2fa/recovery-codes/ as self",
            "GET /user/data/download/ as self",
            "GET /admin/accounts/user/ as staff",
            "GET /api/v1/accounts/<user> as staff",
            "POST /api-token-auth as self",
            "POST /api/rest-auth/registration as anonymous",
            "GET /rentals/calendar/<own-secret>.ics as self",
        ):
            self.assertIn(one, all_of_them)

    def test_without_the_rule_they_are_stored(self) -> None:
        """Shows that the test above can fail."""
        lines = self.lines(
            lambda line: line.method == "GET" and line.path in ("/", "/api/v3/accounts/<user>")
        )
        with mock.patch.object(security_headers, "is_personal", lambda request: False):
            kept, _ = self.kept(lines, "self")
        self.assertEqual(kept, {"GET / as self", "GET /api/v3/accounts/<user> as self"})


class SafeMethodTest(RoleTestCase):
    """A link may be followed by a browser's prefetching, a mail scanner, or an image on another site."""

    def rows(self) -> dict[str, list[Any]]:
        return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in models()}

    def changed_by_looking(self, lines: list[TableRow], *roles: str) -> dict[str, list[str]]:
        found = {}
        before = self.rows()
        for line in lines:
            for role in roles:
                if line.answers.get(role) in (None, "405", "sign-in", "401"):
                    continue
                with rolled_back():
                    address = self.world.address(line.path, role)
                    self.asker.send(line.method, address, role, {})
                    after = self.rows()
                    changed = [name for name, rows in after.items() if rows != before[name]]
                    changed += [] if self.is_signed_in(role) else ["the session"]
                if changed:
                    found[f"{line.method} {line.path} as {role}"] = changed
        return found

    def is_signed_in(self, role: str) -> bool:
        key = self.world.cookies.get(role)
        stored = Session.objects.filter(pk=key).first()
        return key is None or (stored is not None and SESSION_KEY in stored.get_decoded())

    def test_reading_changes_nothing(self) -> None:
        lines = self.lines(lambda line: line.method in ("GET", "HEAD"))
        self.assertEqual(self.changed_by_looking(lines, "anonymous", "self", "superuser"), {})

    def test_change_by_reading_is_detected(self) -> None:
        """Shows that the test above can fail, with settings of libraries that make links change something."""
        with override_settings(ACCOUNT_LOGOUT_ON_GET=True, ACCOUNT_CONFIRM_EMAIL_ON_GET=True):
            lines = self.lines(
                lambda line: line.path in ("/user/logout/", "/user/confirm-email/<address-key>/")
            )
            found = self.changed_by_looking([line for line in lines if line.method == "GET"], "self")
        self.assertEqual(found["GET /user/logout/ as self"], ["accounts.TokenFamily", "the session"])
        self.assertIn("account.EmailAddress", found["GET /user/confirm-email/<address-key>/ as self"])


class SessionFixationTest(RoleTestCase):
    """An attacker who has planted a session cookie in a browser is not signed in together with its user."""

    def survives(self, *steps: tuple[str, dict[str, str]]) -> bool:
        """Whether the planted cookie is still valid after all of `steps`."""
        with rolled_back():
            browser = Client()
            # Keeps the challenge of a passkey.
            browser.get("/user/2fa/webauthn/login/", headers={"X-Requested-With": "XMLHttpRequest"})
            planted = browser.cookies[settings.SESSION_COOKIE_NAME].value
            for address, form in steps:
                browser.post(address, form)
            self.assertIn(SESSION_KEY, browser.session)
            stored = Session.objects.filter(pk=planted).first()
            return browser.session.session_key == planted or stored is not None

    def ways_in(self) -> dict[str, list[tuple[str, dict[str, str]]]]:
        sign_in = ("/user/login/", {"login": "other.moss", "password": PASSWORD})
        new = {"username": "new", "email": "new@example.org", "password1": PASSWORD, "password2": PASSWORD}
        return {
            "the password": [sign_in],
            "the second factor": [
                ("/user/login/", {"login": "self.moss", "password": PASSWORD}),
                ("/user/2fa/authenticate/", {"code": self.world.recovery_code}),
            ],
            "signing up": [("/user/signup/", new)],
        }

    def test_every_sign_in_replaces_the_session(self) -> None:
        for way, steps in self.ways_in().items():
            self.assertFalse(self.survives(*steps), way)

    def test_without_a_new_key_the_session_survives(self) -> None:
        """Shows that the test above can fail."""
        engine = "django.contrib.sessions.backends.db"
        keeping = mock.patch.object(StockStore, "cycle_key", lambda session: None)
        with override_settings(SESSION_ENGINE=engine), keeping:
            for way, steps in self.ways_in().items():
                self.assertTrue(self.survives(*steps), way)

"""The security log."""

from __future__ import annotations

import io
import json
import logging
import re
from unittest import mock

from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts import tokens
from accounts.models import User
from accounts.sign_up import open_account
from accounts.tests.case import (
    CHANGE,
    CONFIRM,
    LOGOUT,
    NEW,
    REFRESH,
    REGISTER,
    RESET,
    WRONG,
    SignInCase,
    activate_totp,
)
from lori_assignment.observability.logs import JSONFormatter
from lori_assignment.observability.security_log import EVENTS, log_event
from lori_assignment.testing.cases import PASSWORD
from rentals.account_closing import close_account


class SecurityLogTest(SignInCase):
    def told(self, act):
        """Return the events that `act` logs, each with its account."""
        with self.assertLogs("security") as log:
            act()
        self.lines = [record.getMessage() for record in log.records]
        return [(record.event, getattr(record, "account", None)) for record in log.records]

    def page(self, path, **fields):
        return lambda: self.browser.post(path, fields)

    def setUp(self):
        self.browser = Client()

    def test_signing_in_and_out_is_logged(self):
        sign_in = self.page("/user/login/", login="alice", password=PASSWORD)
        self.assertEqual(self.told(sign_in), [("signed_in", self.alice.pk)])
        self.assertRegex(
            self.lines[0], r"\Aevent=signed_in account=\d+ client=[0-9a-f]{12} door=web how=password\Z"
        )
        self.assertEqual(self.told(self.page("/user/logout/")), [("signed_out", self.alice.pk)])
        self.assertEqual(self.told(self.sign_in), [("signed_in", self.alice.pk)])
        self.assertIn("door=api how=password", self.lines[0])
        pair = tokens.issue_tokens(self.alice)
        out = self.told(lambda: self.client.post(LOGOUT, {"refresh": pair.refresh}))
        self.assertEqual(out, [("signed_out", self.alice.pk)])

    def test_wrong_passwords_and_locks_are_logged(self):
        wrong = self.page("/user/login/", login="alice", password=WRONG)
        self.assertEqual(self.told(wrong), [("password_wrong", self.alice.pk)])
        self.assertEqual(self.told(lambda: self.sign_in("nobody")), [("password_wrong", None)])
        for _ in range(4):
            self.sign_in(password=WRONG)
        self.assertEqual(self.told(self.sign_in), [("sign_in_locked", self.alice.pk), ("throttled", None)])

    def test_second_factor_events_are_logged(self):
        activate_totp(self.alice)
        refused = self.told(lambda: self.sign_in(otp="000000"))
        self.assertEqual(refused, [("code_wrong", self.alice.pk)])
        self.browser.force_login(self.alice)
        self.browser.post("/user/reauthenticate/", {"password": PASSWORD})
        self.assertEqual(
            self.told(self.page("/user/2fa/totp/deactivate/")), [("factor_removed", self.alice.pk)]
        )

    def test_password_and_address_changes_are_logged(self):
        mine = self.client_with_token(tokens.issue_tokens(self.alice).access)
        body = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
        changed = ("password_changed", self.alice.pk)
        self.assertEqual(self.told(lambda: mine.post(CHANGE, body)), [changed])
        self.browser.post("/user/login/", {"login": "alice", "password": NEW})
        again = self.page("/user/password/change/", oldpassword=NEW, password1=PASSWORD, password2=PASSWORD)
        self.assertEqual(self.told(again), [changed])
        self.client.post(RESET, {"email": "alice@example.org"})
        uid, token = re.search(r"/key/([^-]+)-([^/]+)/", mail.outbox[-1].body).groups()
        body = {"uid": uid, "token": token, "new_password1": NEW, "new_password2": NEW}
        reset = self.told(lambda: self.client.post(CONFIRM, body))
        self.assertEqual(reset, [("password_reset", self.alice.pk)])
        self.browser.post("/user/login/", {"login": "alice", "password": NEW})
        self.browser.post("/user/reauthenticate/", {"password": NEW})
        moved = self.page("/user/email/", action_add="", email="moss@example.org")
        self.assertEqual(self.told(moved), [("address_changed", self.alice.pk)])

    def test_reused_token_is_logged(self):
        pair = tokens.issue_tokens(self.alice)
        tokens.renew(tokens.renew(pair.refresh).refresh)
        used = self.told(lambda: self.client.post(REFRESH, {"refresh": pair.refresh}))
        self.assertEqual(used, [("token_reused", self.alice.pk)])

    def test_refusals_are_logged(self):
        mine = self.client_with_token(tokens.issue_tokens(self.alice).access)
        asked = self.told(lambda: mine.get("/api/v3/accounts/"))
        self.assertEqual(asked, [("refused", self.alice.pk)])
        self.browser.force_login(self.alice)
        self.assertEqual(self.told(lambda: self.browser.get("/admin/login/")), [("refused", self.alice.pk)])
        strict = Client(enforce_csrf_checks=True)
        self.assertEqual(self.told(lambda: strict.post("/user/login/", {})), [("csrf_refused", None)])

    def test_admin_changes_are_logged(self):
        self.browser.force_login(self.dan)
        path = f"/admin/accounts/user/{self.alice.pk}/password/"
        change = self.page(path, usable_password="true", password1=NEW, password2=NEW)
        self.assertEqual(self.told(change), [("account_administered", self.alice.pk)])
        self.assertIn(f"actor={self.dan.pk}", self.lines[0])

    def test_accounts_and_sessions_are_logged(self):
        eve = {}
        opened = self.told(
            lambda: eve.update(user=open_account(username="eve", email="eve@example.org", password=PASSWORD))
        )
        self.assertEqual(opened, [("account_opened", eve["user"].pk)])
        self.browser.post("/user/login/", {"login": "eve", "password": PASSWORD})
        self.browser.post("/user/reauthenticate/", {"password": PASSWORD})
        ended = self.told(self.page("/user/sessions/end/"))
        self.assertEqual(ended, [("sessions_ended", eve["user"].pk)])
        now = eve["user"].date_joined
        closed = self.told(lambda: close_account(member=eve["user"], at=now))
        self.assertEqual(closed, [("account_closed", eve["user"].pk)])

    def test_every_line_has_the_client(self):
        new = {"username": "eve", "email": "eve@example.org", "password1": NEW, "password2": NEW}
        self.told(self.page("/user/signup/", **new))
        eve = User.objects.get(username="eve")
        pair = tokens.issue_tokens(eve)
        tokens.renew(tokens.renew(pair.refresh).refresh)
        self.browser.force_login(eve)
        self.browser.post("/user/reauthenticate/", {"password": NEW})
        for act, event in (
            (
                lambda: self.client.post(REGISTER, new | {"username": "zoe", "email": "zoe@example.org"}),
                "account_opened",
            ),
            (lambda: self.client.post(REFRESH, {"refresh": pair.refresh}), "token_reused"),
            (self.page("/user/sessions/end/"), "sessions_ended"),
            (self.page(reverse("close-account")), "account_closed"),
        ):
            first = self.lines
            with self.subTest(event):
                self.assertIn(event, [name for name, _account in self.told(act)])
            for line in first + self.lines:
                self.assertRegex(line, "client=[0-9a-f]{12}")

    def test_log_contains_no_personal_data_or_secret(self):
        with self.assertLogs("security") as log:
            self.sign_in()
            self.sign_in("alice@example.org", password=WRONG)
            self.sign_in("nobody\nevent=signed_in account=1", password=WRONG)
            self.browser.post("/user/login/", {"login": "alice", "password": WRONG})
        told = "\n".join(record.getMessage() for record in log.records)
        self.assertEqual(len(told.splitlines()), 4)
        for kept in ("alice", "nobody", "127.0.0.1", PASSWORD, WRONG):
            self.assertNotIn(kept, told)
        self.assertEqual(len({re.search("client=([0-9a-f]+)", line)[1] for line in told.splitlines()}), 1)

    def test_json_log_has_a_field_for_each_fact(self):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(JSONFormatter())
        with self.assertLogs("security"):
            logging.getLogger("security").addHandler(handler)
            log_event("signed_in", account=4, door="web", how="password")
            logging.getLogger("security").removeHandler(handler)
        entry = json.loads(stream.getvalue())
        facts = {"event": "signed_in", "account": 4, "door": "web", "how": "password", "logger": "security"}
        self.assertEqual({name: entry.get(name) for name in facts}, facts)

    def test_every_event_is_documented(self):
        with self.assertRaises(ValueError):
            log_event("something_else")
        said = (settings.BASE_DIR / "docs" / "security.md").read_text()
        section = said.partition("## What is logged")[2].partition("\n## ")[0]
        self.assertEqual(set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)), EVENTS)

    def test_pages_log_only_by_signal_handlers(self):
        with mock.patch("lori_assignment.observability.security_log.logger") as logger:
            self.page("/user/login/", login="alice", password=PASSWORD)()
            self.assertEqual(logger.log.call_count, 1)
        with self.assertNoLogs("security"):
            self.browser.get("/")

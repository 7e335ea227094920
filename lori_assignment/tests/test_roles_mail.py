"""No request sends mail if its transaction is rolled back."""

from __future__ import annotations

from unittest import mock

from django.core import mail
from django.test import override_settings

from accounts import mail as shops_mail
from lori_assignment.tests.roles import REFUSED, RoleTestCase, body_of, rolled_back


@override_settings(MAIL_IN_BACKGROUND=True)
class MailOnCommitTest(RoleTestCase):
    def mailed(self) -> dict[str, int]:
        """Return the calls that send mail although they are rolled back, with the number of mails."""
        found = {}
        for line in self.lines(lambda line: line.method in ("POST", "PUT", "PATCH", "DELETE")):
            for role in ("anonymous", "self", "staff", "superuser"):
                before = len(mail.outbox)
                if line.answers[role] not in ("405", *REFUSED):
                    self.asker.ask(line.method, line.path, role)
                if len(mail.outbox) > before:
                    found[f"{line.method} {line.path} as {role}"] = len(mail.outbox) - before
        return found

    def test_rollback_sends_no_mail(self) -> None:
        with mock.patch.object(shops_mail, "_executor") as postmen:
            self.assertEqual(self.mailed(), {})
        self.assertEqual(postmen.submit.call_count, 0)

    def test_commit_sends_the_mail(self) -> None:
        """These calls do send mail, after the commit."""
        for method, path, role, subject in (
            ("POST", "/user/password/change/", "self", "Your password was changed"),
            ("POST", "/user/2fa/totp/deactivate/", "self", "Authenticator app turned off"),
            ("POST", "/user/signup/", "anonymous", "Confirm your e-mail address"),
            ("POST", "/user/confirm-email/<address-key>/", "anonymous", "Your e-mail address was changed"),
        ):
            body, address = body_of(self.world, method, path, role), self.world.address(path, role)
            with self.subTest(path), rolled_back():
                with self.captureOnCommitCallbacks() as waiting:
                    self.asker.send(method, address, role, body)
                self.assertEqual(mail.outbox, [])
                for send in waiting:
                    send()
                self.assertEqual([message.subject for message in mail.outbox], [f"[Lori Books] {subject}"])
            mail.outbox.clear()

    def test_without_on_commit_mail_is_sent(self) -> None:
        """Shows that the first test can fail."""
        with override_settings(MAIL_IN_BACKGROUND=False):
            found = self.mailed()
        for call in (
            "POST /user/password/change/ as self",
            "POST /user/signup/ as anonymous",
            "POST /api/rest-auth/password/reset as anonymous",
            "POST /user/confirm-email/<address-key>/ as self",
            "POST /user/2fa/webauthn/keys/<passkey>/remove/ as self",
        ):
            self.assertIn(call, found)

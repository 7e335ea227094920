from __future__ import annotations

import re
from unittest import mock

from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError
from django.test import override_settings

from accounts.models import User
from accounts.sign_up import open_account
from accounts.tests.case import REGISTER, SignInCase
from lori_assignment.testing.cases import PASSWORD

VERIFY_EMAIL = "/api/rest-auth/registration/verify-email/"
RESEND = "/api/rest-auth/registration/resend-email/"


class RegistrationTest(SignInCase):
    def register(self, **changes):
        body = {"username": "eve", "email": "eve@example.org", "password1": PASSWORD, "password2": PASSWORD}
        return self.client.post(REGISTER, body | changes)

    def assert_refused(self, answer, *fields):
        """Assert a 400 for these fields, with no account created and no mail sent."""
        self.assertEqual((answer.status_code, set(answer.json())), (400, set(fields)), answer.content)
        self.assertEqual(User.objects.count(), 4)
        self.assertEqual((EmailAddress.objects.count(), mail.outbox), (0, []))

    def test_member_account_is_created_and_signed_in(self):
        """dj-rest-auth needs allauth.socialaccount for this."""
        answer = self.register(name="Eve Hill", phone="+39 06 555 0143", address="Via Appia 8")
        self.assertEqual((answer.status_code, set(answer.json())), (201, {"access", "refresh", "user"}))
        eve = User.objects.get(username="eve")
        self.assertEqual((eve.name, eve.phone, eve.address), ("Eve Hill", "+39 06 555 0143", "Via Appia 8"))
        self.assertEqual((eve.is_staff, eve.is_superuser, eve.is_active), (False, False, True))
        mine = self.client_with_token(answer.json()["access"]).get("/api/rest-auth/user/")
        self.assertEqual(mine.json(), answer.json()["user"])
        self.assertEqual(self.sign_in("eve@example.org").status_code, 200)

    def test_no_session_is_created(self):
        self.assertEqual(self.register().cookies, {})

    def test_only_profile_fields_are_writable(self):
        self.register(is_staff=True, is_superuser=True, id=99, is_active=False)
        eve = User.objects.get(username="eve")
        self.assertEqual((eve.is_staff, eve.is_superuser, eve.is_active), (False, False, True))

    def test_address_is_stored_in_lower_case(self):
        self.assertEqual(self.register(email="Eve@Example.ORG").json()["user"]["email"], "eve@example.org")

    def test_taken_address_ignores_case(self):
        """Two registrations with one unverified address must not both succeed."""
        self.assert_refused(self.register(email="Alice@EXAMPLE.org"), "email")
        self.assertEqual(self.register().status_code, 201)

    def test_a_verified_second_address_is_taken(self):
        address = EmailAddress.objects.create(user=self.bob, email="eve@example.org", verified=True)
        answer = self.register()
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["email"]))
        address.delete()
        self.assertEqual(self.register().status_code, 201)

    def test_taken_username_ignores_case(self):
        self.assert_refused(self.register(username="ALICE"), "username")

    def test_a_username_with_an_at_sign_is_refused(self):
        self.assert_refused(self.register(username="bob@example.org"), "username")

    def test_different_passwords_are_an_error(self):
        self.assert_refused(self.register(password2=PASSWORD + "s"), "password2")

    def test_weak_passwords_are_refused(self):
        cases = {
            "short1x": {},
            "password123": {},
            "12345678910": {},
            "LoriBooks2026!": {},
            "eveninghour1": {"username": "eveninghour"},
            "morninghour1": {"email": "morninghour@example.org"},
            "evelynhillock": {"name": "Evelyn Hillock"},
        }
        for password, more in cases.items():
            with self.subTest(password=password):
                self.assert_refused(
                    self.register(password1=password, password2=password, **more), "password1"
                )

    def test_all_errors_are_returned_at_once(self):
        answer = self.register(username="a b", email="alice@example.org", password1="1", password2="1")
        self.assert_refused(answer, "username", "email", "password1")

    def test_malformed_fields_are_errors(self):
        self.assert_refused(self.client.post(REGISTER, {}), "username", "email", "password1", "password2")
        for value in (None, "", [], {}, True, "\0", "x" * 300):
            with self.subTest(value=value):
                self.assert_refused(self.register(username=value), "username")
                self.assert_refused(self.register(email=value), "email")

    def test_other_integrity_error_is_raised(self):
        eve = {"username": "eve", "email": "eve@example.org", "password": PASSWORD}
        with (
            mock.patch("accounts.sign_up.reset_email_address", side_effect=IntegrityError),
            self.assertRaises(IntegrityError),
        ):
            open_account(**eve)
        self.assertEqual(User.objects.count(), 4)
        open_account(**eve)


@override_settings(SITE_URL="https://shop.example")
class ConfirmationTest(SignInCase):
    def setUp(self):
        body = {"username": "eve", "email": "eve@example.org", "password1": PASSWORD, "password2": PASSWORD}
        self.client.post(REGISTER, body)
        self.link = re.search(r"https?://\S+", mail.outbox[0].body).group()
        self.key = self.link.rstrip("/").rpartition("/")[2]

    def test_mail_names_the_shop(self):
        message = mail.outbox[0]
        self.assertEqual(message.to, ["eve@example.org"])
        self.assertTrue(message.subject.startswith("[Lori Books] "))
        self.assertIn("Best wishes,\nLori Books", message.body)
        self.assertNotIn("testserver", message.body)

    def test_the_link_leads_to_a_page_of_the_shop(self):
        """dj-rest-auth's bare route of the same name answered 500."""
        self.assertTrue(self.link.startswith("https://shop.example/user/confirm-email/"))
        page = self.client.get(self.link.removeprefix("https://shop.example"))
        self.assertEqual(page.status_code, 200)

    def test_key_confirms_once_without_a_cookie(self):
        answer = self.client.post(VERIFY_EMAIL, {"key": self.key})
        self.assertEqual((answer.status_code, answer.cookies), (200, {}))
        self.assertTrue(EmailAddress.objects.get(email="eve@example.org").verified)
        again = self.client.post(VERIFY_EMAIL, {"key": self.key})
        self.assertEqual((again.status_code, again.json()["code"]), (404, "not_found"))

    def test_address_confirmed_by_another_is_refused(self):
        EmailAddress.objects.create(user=self.bob, email="eve@example.org", verified=True)
        self.assertEqual(self.client.post(VERIFY_EMAIL, {"key": self.key}).status_code, 404)

    def test_invalid_key_is_404(self):
        self.assertEqual(self.client.post(VERIFY_EMAIL, {"key": "x"}).status_code, 404)
        self.assertEqual(self.client.post(VERIFY_EMAIL, {}).status_code, 400)

    def test_resend_needs_an_unconfirmed_address(self):
        self.client.post(RESEND, {"email": "eve@example.org"})
        self.assertEqual(len(mail.outbox), 1)  # From the registration.
        cache.clear()
        answers = [self.client.post(RESEND, {"email": "Eve@Example.org"}) for _ in range(2)]
        self.assertEqual(len(mail.outbox), 2)
        answers.append(self.client.post(RESEND, {"email": "nobody@example.org"}))
        self.assertEqual(len(mail.outbox), 2)
        self.assertEqual([answer.status_code for answer in answers], [200] * 3)
        self.assertEqual(len({answer.content for answer in answers}), 1)

    def test_mail_failure_does_not_stop_registration(self):
        body = {"username": "gus", "email": "gus@example.org", "password1": PASSWORD, "password2": PASSWORD}
        with (
            mock.patch("django.core.mail.EmailMessage.send", side_effect=ConnectionRefusedError),
            self.assertLogs("accounts.allauth_adapters", "ERROR"),
        ):
            self.assertEqual(self.client.post(REGISTER, body).status_code, 201)
        self.assertEqual(self.sign_in("gus").status_code, 200)

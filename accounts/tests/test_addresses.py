"""Changes of an account's e-mail address."""

from __future__ import annotations

import re
from unittest import mock

from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError
from django.test import Client

from accounts.models import User
from accounts.sign_up import change_email, open_account, reset_email_address
from accounts.tests.case import activate_totp
from lori_assignment.testing.cases import PASSWORD, CastTestCase

PAGE = "/user/email/"
MINE = "alice@example.org"
OTHER = "moss@example.org"


class AddressTest(CastTestCase):
    def setUp(self):
        cache.clear()
        reset_email_address(self.alice)
        self.client.force_login(self.alice)
        self.client.post("/user/reauthenticate/", {"password": PASSWORD})

    def confirmed(self, user=None):
        EmailAddress.objects.filter(user=user or self.alice).update(verified=True)

    def ask_for(self, address, client=None):
        return (client or self.client).post(PAGE, {"action_add": "", "email": address})

    def follow_the_mailed_link(self):
        [path] = re.findall(r"https?://[^/]+(/user/confirm-email/\S+)", mail.outbox[-1].body)
        return Client().post(path)

    def addresses(self, user=None):
        rows = EmailAddress.objects.filter(user=user or self.alice).order_by("pk")
        return list(rows.values_list("email", "verified", "primary"))

    def assert_address(self, expected, user=None):
        account = User.objects.get(pk=(user or self.alice).pk)
        self.assertEqual(account.email, expected)

    def test_confirmed_address_stays_until_replaced(self):
        self.confirmed()
        self.assertEqual(self.ask_for("Moss@example.org").status_code, 302)
        self.assert_address(MINE)
        self.assertEqual(self.addresses(), [(MINE, True, True), (OTHER, False, False)])
        self.follow_the_mailed_link()
        self.assert_address(OTHER)
        self.assertEqual(self.addresses(), [(OTHER, True, True)])

    def test_unconfirmed_address_is_replaced_at_once(self):
        self.ask_for(OTHER)
        self.assert_address(OTHER)
        self.assertEqual(self.addresses(), [(OTHER, False, True)])
        self.assertEqual(mail.outbox[-1].to, [OTHER])
        self.follow_the_mailed_link()
        self.assertEqual(self.addresses(), [(OTHER, True, True)])

    def test_taken_address_is_refused(self):
        for confirmed in (False, True):
            if confirmed:
                self.confirmed()
            answer = self.ask_for("BOB@example.org")
            self.assertContains(answer, "An account with this e-mail address already exists.")
        self.assertContains(self.ask_for(MINE.upper()), "This is already your address.")
        self.assert_address(MINE)

    def test_change_requires_the_password(self):
        client = Client()
        client.force_login(self.alice)
        answer = self.ask_for(OTHER, client)
        self.assertRedirects(answer, f"/user/reauthenticate/?next={PAGE}", fetch_redirect_response=False)
        self.assertEqual(len(self.addresses()), 1)
        # The change is made after the password was given.
        client.post(f"/user/reauthenticate/?next={PAGE}", {"password": PASSWORD})
        self.assert_address(OTHER)

    def test_change_works_with_a_second_factor(self):
        self.confirmed()
        activate_totp(self.alice)
        self.ask_for(OTHER)
        self.follow_the_mailed_link()
        self.assert_address(OTHER)

    def test_address_taken_meanwhile_is_not_confirmed(self):
        self.confirmed()
        self.ask_for(OTHER)
        eve = open_account(username="eve", email=OTHER, password=PASSWORD)
        self.follow_the_mailed_link()
        self.assert_address(MINE)
        self.assert_address(OTHER, eve)
        self.assertIn((MINE, True, True), self.addresses())

    def test_concurrently_taken_address_is_an_error(self):
        # Between the check and the save.
        with mock.patch("accounts.sign_up.reset_email_address", side_effect=IntegrityError):
            answer = self.ask_for(OTHER)
        self.assertContains(answer, "An account with this e-mail address already exists.")
        self.assert_address(MINE)

    def test_refused_change_changes_nothing(self):
        with self.assertRaisesMessage(Exception, "An account with this e-mail address already exists."):
            change_email(User.objects.get(pk=self.alice.pk), "Bob@example.org")
        self.assert_address(MINE)

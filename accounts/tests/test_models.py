from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.test import RequestFactory

from accounts.models import User
from accounts.passwords import send_reset_mail
from lori_assignment.cast import CastTestCase


class UserTest(CastTestCase):
    def test_a_change_of_the_profile_writes_nothing_else(self):
        stale = User.objects.get(pk=self.alice.pk)
        User.objects.filter(pk=self.alice.pk).update(is_active=False, phone="555")
        stale.change_profile(name="Alice Hill")
        self.alice.refresh_from_db()
        self.assertEqual(
            (self.alice.name, self.alice.phone, self.alice.is_active), ("Alice Hill", "555", False)
        )

    def test_each_sees_their_own_account_and_staff_all(self):
        for who, seen in (
            (AnonymousUser(), []),
            (self.alice, [self.alice]),
            (self.carol, [self.alice, self.bob, self.carol, self.dan]),
        ):
            self.assertEqual(list(User.objects.for_user(who).order_by("pk")), seen)

    def test_an_address_is_kept_in_lower_case(self):
        self.assertEqual(User.objects.create_user("eve", "Eve@Example.ORG").email, "eve@example.org")
        self.assertEqual(User.objects.create_user("gus", None).email, "")

    def test_people_are_called_by_their_name_or_else_their_username(self):
        self.assertEqual(
            (self.alice.get_full_name(), self.alice.get_short_name()), ("Alice Moss", "Alice Moss")
        )
        self.assertEqual((self.carol.get_full_name(), self.carol.get_short_name()), ("", "carol"))

    def test_what_is_no_address_is_sent_nothing(self):
        send_reset_mail(RequestFactory().post("/"), email="nowhere")
        self.assertEqual(mail.outbox, [])

from __future__ import annotations

from io import StringIO

from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import RequestFactory

from accounts.models import User
from accounts.passwords import send_reset_mail
from lori_assignment.testing.cases import CastTestCase


class UserTest(CastTestCase):
    def test_profile_change_saves_only_its_fields(self):
        stale = User.objects.get(pk=self.alice.pk)
        User.objects.filter(pk=self.alice.pk).update(is_active=False, phone="555")
        stale.change_profile(name="Alice Hill")
        self.alice.refresh_from_db()
        self.assertEqual(
            (self.alice.name, self.alice.phone, self.alice.is_active), ("Alice Hill", "555", False)
        )

    def test_for_user_limits_members_to_their_account(self):
        for who, seen in (
            (AnonymousUser(), []),
            (self.alice, [self.alice]),
            (self.carol, [self.alice, self.bob, self.carol, self.dan]),
        ):
            self.assertEqual(list(User.objects.for_user(who).order_by("pk")), seen)

    def test_address_is_stored_in_lower_case(self):
        self.assertEqual(User.objects.create_user("eve", "Eve@Example.ORG").email, "eve@example.org")
        self.assertEqual(User.objects.create_user("gus", None).email, "")

    def test_full_name_falls_back_to_the_username(self):
        self.assertEqual(
            (self.alice.get_full_name(), self.alice.get_short_name()), ("Alice Moss", "Alice Moss")
        )
        self.assertEqual((self.carol.get_full_name(), self.carol.get_short_name()), ("", "carol"))

    def test_invalid_address_gets_no_mail(self):
        send_reset_mail(RequestFactory().post("/"), email="nowhere")
        self.assertEqual(mail.outbox, [])


class SuperuserTest(CastTestCase):
    def test_superuser_must_be_staff(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=self.alice.pk).update(is_superuser=True)
        User.objects.filter(pk=self.alice.pk).update(is_superuser=True, is_staff=True)

    def test_createsuperuser_reports_a_taken_address(self):
        def create(email):
            call_command("createsuperuser", interactive=False, username="eve", email=email, stdout=StringIO())

        with self.assertRaisesMessage(CommandError, "An account with this e-mail address already exists."):
            create("ALICE@example.org")
        create("eve@example.org")
        self.assertTrue(User.objects.get(username="eve").is_superuser)


class LanguageTest(CastTestCase):
    def test_language_is_empty_until_chosen(self):
        self.assertEqual(self.alice.language, "")
        self.alice.choose_language("en")
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.language, "en")
        self.alice.choose_language("")
        self.assertEqual(User.objects.get(pk=self.alice.pk).language, "")

    def test_unsupported_language_is_refused(self):
        for language in ("tlh", "en'--", "x" * 50):
            with self.assertRaises(ValidationError):
                self.alice.choose_language(language)
        self.assertEqual(User.objects.get(pk=self.alice.pk).language, "")

    def test_earlier_release_can_still_insert_users(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO accounts_user (username, email, password, name, phone, address, is_active,"
                " is_staff, is_superuser, date_joined) SELECT 'eve', '', '', '', '', '', is_active, is_staff,"
                " is_superuser, date_joined FROM accounts_user WHERE username = 'alice'"
            )
        self.assertEqual(User.objects.get(username="eve").language, "")

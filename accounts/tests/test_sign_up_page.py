"""The sign-up form."""

from __future__ import annotations

from unittest import mock

from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts import sign_up
from accounts.models import EMAIL_TAKEN, USERNAME_TAKEN, User
from lori_assignment.testing.cases import PASSWORD, CastTestCase, RaceTestCase

PAGE = "/user/signup/"
FIFTH = "the-fifth-chapter"
EVE = {"username": "eve", "email": "Eve@Example.org", "password1": PASSWORD, "password2": PASSWORD}


class SignUpPageTest(CastTestCase):
    def setUp(self):
        cache.clear()

    def test_form_creates_a_member_account(self):
        answer = self.client.post(PAGE, EVE | {"name": "Eve Hill"})
        self.assertEqual(answer.status_code, 302)
        eve = User.objects.get(username="eve")
        self.assertEqual((eve.email, eve.name, eve.is_staff), ("eve@example.org", "Eve Hill", False))
        self.assertEqual(
            list(EmailAddress.objects.filter(user=eve).values_list("email", "primary", "verified")),
            [("eve@example.org", True, False)],
        )
        self.assertEqual([letter.to for letter in mail.outbox], [["eve@example.org"]])

    def test_name_is_optional(self):
        self.assertEqual(self.client.post(PAGE, EVE).status_code, 302)

    def test_invalid_value_is_a_field_error(self):
        for wrong, field, sentence in (
            ({"username": "Alice"}, "username", USERNAME_TAKEN),
            ({"email": "ALICE@example.org"}, "email", EMAIL_TAKEN),
            ({"username": "e@v.e"}, "username", "A username can only contain letters"),
            ({"password1": "password1", "password2": "password1"}, "password1", "too common"),
            ({"password2": "another-one-of-it"}, "password2", ""),
            # As in the API, the password must not be like the name.
            (
                {
                    "name": "the-fifth-chapter",
                    "password1": "the-fifth-chapter",
                    "password2": "the-fifth-chapter",
                },
                "password1",
                "similar to the name",
            ),
        ):
            with self.subTest(wrong=wrong):
                answer = self.client.post(PAGE, EVE | wrong)
                self.assertEqual(answer.status_code, 200)
                self.assertIn(str(sentence), " ".join(answer.context["form"].errors[field]))
                # All input except the passwords is kept.
                self.assertEqual(answer.context["form"]["email"].value(), (EVE | wrong)["email"])
        self.assertEqual(User.objects.count(), 4)

    def test_concurrently_taken_name_is_an_error(self):
        look = sign_up._taken_errors

        def look_and_be_late(user):
            found = look(user)
            User.objects.get_or_create(username="eve", email="eve@example.org")
            return found

        with mock.patch.object(sign_up, "_taken_errors", look_and_be_late):
            answer = self.client.post(PAGE, EVE)
        errors = answer.context["form"].errors
        self.assertEqual((list(errors), answer.status_code), (["username", "email"], 200))
        self.assertEqual(User.objects.filter(username="eve").count(), 1)


class SignUpRaceTest(RaceTestCase):
    def test_one_of_five_concurrent_sign_ups_succeeds(self):
        def sign_up_as(number):
            def call():
                answer = Client().post(PAGE, EVE | {"username": f"eve{number}"})
                return answer.status_code

            return call

        outcomes = self.run_concurrently(*[sign_up_as(number) for number in range(5)])
        self.assertEqual(sorted(outcomes), [200, 200, 200, 200, 302], connection.vendor)
        self.assertEqual(User.objects.filter(email="eve@example.org").count(), 1)

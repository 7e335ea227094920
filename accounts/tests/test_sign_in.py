"""The password doors: /api-token-auth/, dj-rest-auth's login, and the web's form, which share one lock."""

from __future__ import annotations

from unittest import mock

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse

from accounts.tests.case import LOGIN, TOKEN, USER, WRONG, SignInCase, at_the_second, code_of, give_totp
from lori_assignment.cast import PASSWORD

NOW = 1_800_000_000


class PasswordTest(SignInCase):
    def test_a_username_or_an_address_in_any_case_opens_both_doors(self):
        for door in (TOKEN, LOGIN):
            for login in ("alice", "ALICE", "alice@example.org", "Alice@Example.ORG", " alice "):
                with self.subTest(door=door, login=login):
                    self.assertEqual(self.sign_in(login, door=door).status_code, 200)

    def test_the_token_opens_the_account(self):
        answer = self.sign_in()
        self.assertEqual(set(answer.json()), {"token", "refresh"})
        mine = self.bearing(answer.json()["token"]).get(USER)
        self.assertEqual((mine.status_code, mine.json()["username"]), (200, "alice"))

    def test_login_answers_the_pair_and_the_account(self):
        answer = self.sign_in(door=LOGIN).json()
        self.assertEqual(set(answer), {"access", "refresh", "user"})
        self.assertEqual(answer["user"]["id"], self.alice.pk)
        self.assertEqual(self.bearing(answer["access"]).get(USER).status_code, 200)

    def test_login_takes_the_address_as_email_too(self):
        answer = self.client.post(LOGIN, {"email": "alice@example.org", "password": PASSWORD})
        self.assertEqual(answer.status_code, 200)
        answer = self.client.post(LOGIN, {"password": PASSWORD})
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["username"]))

    def test_no_session_begins(self):
        self.assertEqual(self.sign_in(door=LOGIN).cookies, {})
        self.assertEqual(self.sign_in().cookies, {})

    def test_the_last_sign_in_is_kept(self):
        self.sign_in()
        self.alice.refresh_from_db()
        self.assertIsNotNone(self.alice.last_login)

    def test_a_wrong_password_an_unknown_name_and_a_deactivated_account_answer_alike(self):
        self.bob.is_active = False
        self.bob.save()
        for door in (TOKEN, LOGIN):
            answers = [
                self.sign_in(password=WRONG, door=door),
                self.sign_in("nobody", door=door),
                self.sign_in("bob", door=door),
                self.sign_in("bob", password=WRONG, door=door),
            ]
            self.assertEqual({answer.status_code for answer in answers}, {401})
            self.assertEqual(len({answer.content for answer in answers}), 1)
            self.assertEqual(answers[0].json()["code"], "authentication_failed")
            self.assertIn("WWW-Authenticate", answers[0])

    def test_missing_and_blank_fields_are_named(self):
        for door in (TOKEN, LOGIN):
            answer = self.client.post(door, {})
            self.assertEqual(answer.status_code, 400)
            self.assertIn("password", answer.json())
            self.assertEqual(self.sign_in(" ", "", door=door).status_code, 400)
            self.assertEqual(set(self.sign_in(" ", "", door=door).json()), {"username", "password"})

    def test_blanks_of_a_password_count(self):
        self.alice.set_password(f" {PASSWORD} ")
        self.alice.save()
        self.assertEqual(self.sign_in(password=f" {PASSWORD} ").status_code, 200)
        self.assertEqual(self.sign_in(password=PASSWORD).status_code, 401)


class LockTest(SignInCase):
    def web(self, password):
        return Client().post(reverse("account_login"), {"login": "alice", "password": password})

    def fail(self, times, door):
        for _ in range(times):
            self.web(WRONG) if door == "web" else self.sign_in(password=WRONG, door=door)

    def test_failures_at_any_door_lock_every_door(self):
        for first in (TOKEN, LOGIN, "web"):
            with self.subTest(failed_at=first):
                cache.clear()
                self.fail(4, first)
                self.assertEqual(self.sign_in().status_code, 200)
                self.fail(1, first)
                for door in (TOKEN, LOGIN):
                    answer = self.sign_in(door=door)
                    self.assertEqual((answer.status_code, answer.json()["code"]), (429, "throttled"))
                    self.assertEqual(answer["Retry-After"], "300")
                self.assertEqual(self.web(PASSWORD).status_code, 200)  # The form again, not the way in.

    def test_the_web_opens_while_there_is_no_lock(self):
        self.fail(4, TOKEN)
        self.assertEqual(self.web(PASSWORD).status_code, 302)

    def test_another_host_name_of_the_shop_has_no_count_of_its_own(self):
        self.fail(5, TOKEN)
        with override_settings(ALLOWED_HOSTS=["other.example"]):
            answer = self.client.post(
                TOKEN, {"username": "alice", "password": PASSWORD}, headers={"host": "other.example"}
            )
        self.assertEqual(answer.status_code, 429)

    def test_the_count_is_in_the_database(self):
        self.fail(1, TOKEN)
        with connection.cursor() as cursor:
            cursor.execute("SELECT cache_key FROM cache")
            keys = [key for (key,) in cursor.fetchall()]
        self.assertTrue(any("login_failed" in key for key in keys), keys)

    def test_others_are_not_locked_out(self):
        self.fail(5, TOKEN)
        self.assertEqual(self.sign_in("bob").status_code, 200)

    @override_settings(ACCOUNT_RATE_LIMITS=False)
    def test_without_limits_there_is_no_lock(self):
        self.fail(6, TOKEN)
        self.assertEqual(self.sign_in().status_code, 200)

    def test_the_sixty_first_call_of_a_minute_waits(self):
        for _ in range(60):
            self.assertEqual(self.client.post(TOKEN, {}).status_code, 400)
        answer = self.client.post(LOGIN, {})
        self.assertEqual(answer.status_code, 429)
        self.assertIn("Retry-After", answer)


class SecondFactorTest(SignInCase):
    def setUp(self):
        self.secret = give_totp(self.alice)

    def assert_refused(self, answer, code):
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, code))

    def test_without_a_code_there_are_no_tokens(self):
        for door in (TOKEN, LOGIN):
            self.assert_refused(self.sign_in(door=door), "otp_required")
            with at_the_second(NOW + 600 * (door == LOGIN)):
                code = code_of(self.secret, NOW + 600 * (door == LOGIN))
                self.assertEqual(self.sign_in(door=door, otp=code).status_code, 200)

    def test_a_code_works_once_over_both_doors(self):
        with at_the_second(NOW):
            code = code_of(self.secret, NOW)
            self.assertEqual(self.sign_in(otp=code).status_code, 200)
            self.assert_refused(self.sign_in(otp=code), "otp_invalid")
            self.assert_refused(self.sign_in(door=LOGIN, otp=code), "otp_invalid")

    def test_a_wrong_code_is_refused(self):
        with at_the_second(NOW):
            self.assert_refused(self.sign_in(otp=code_of(self.secret, NOW + 3600)), "otp_invalid")

    def test_a_recovery_code_works_once(self):
        code = RecoveryCodes.activate(self.alice).get_unused_codes()[0]
        self.assertEqual(self.sign_in(otp=code).status_code, 200)
        self.assert_refused(self.sign_in(otp=code), "otp_invalid")

    def test_a_code_does_not_replace_the_password(self):
        with at_the_second(NOW):
            answer = self.sign_in(password=WRONG, otp=code_of(self.secret, NOW))
        self.assert_refused(answer, "authentication_failed")

    def test_guessing_codes_locks(self):
        with at_the_second(NOW):
            for _ in range(5):
                self.assert_refused(self.sign_in(otp=code_of(self.secret, NOW + 3600)), "otp_invalid")
            answer = self.sign_in(otp=code_of(self.secret, NOW))
        self.assertEqual((answer.status_code, answer["Retry-After"]), (429, "300"))

    def test_who_has_no_second_factor_needs_no_code(self):
        self.assertEqual(self.sign_in("bob").status_code, 200)
        self.assertEqual(self.sign_in("bob", otp="123456").status_code, 200)

    def test_the_use_is_recorded(self):
        with at_the_second(NOW), mock.patch("allauth.mfa.models.Authenticator.record_usage") as record:
            self.sign_in(otp=code_of(self.secret, NOW))
        record.assert_called_once_with()


class CrowdTest(SignInCase):
    def test_a_lock_holds_while_many_others_fail_to_sign_in(self):
        for _ in range(5):
            self.sign_in(password=WRONG)
        self.assertEqual(self.sign_in().status_code, 429)
        # More keys than the database cache keeps by its default of 300.
        cache.set_many({f"other:{number}": 1 for number in range(400)})
        self.assertEqual(self.sign_in().status_code, 429)

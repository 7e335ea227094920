"""The time limits of a web session, and what is kept before there is one."""

from __future__ import annotations

import secrets
from datetime import timedelta
from unittest import mock

from allauth.account import app_settings as allauth
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.sessions.backends.db import SessionStore as StockStore
from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.utils import timezone

from accounts.allauth_adapters import MAX_NEXT_BYTES
from accounts.models import User
from accounts.session_store import OF_MEMBERS, OF_STAFF
from accounts.tests.case import NEW, activate_totp, frozen_clock, totp_code
from accounts.tests.passkeys import SoftwarePasskey
from lori_assignment.testing.cases import PASSWORD, CastTestCase

PROFILE = "/user/profile/"
PASSKEY = "/user/2fa/webauthn/login/"
SECOND_FACTOR = "/user/2fa/authenticate/"


class SessionExpiryTest(CastTestCase):
    def setUp(self):
        self.start = timezone.now()

    def sign_in(self, who, **more):
        client = Client()
        client.post("/user/login/", {"login": who, "password": PASSWORD, **more})
        return client

    def is_in(self, client, after: timedelta) -> bool:
        with mock.patch("django.utils.timezone.now", return_value=self.start + after):
            return client.get(PROFILE).status_code == 200

    def test_unused_session_expires(self):
        second = timedelta(seconds=30)
        for who, limits in (("alice", OF_MEMBERS), ("carol", OF_STAFF)):
            with self.subTest(who=who):
                self.assertTrue(self.is_in(self.sign_in(who), limits.unused - second))
                self.assertFalse(self.is_in(self.sign_in(who), limits.unused + second))

    def test_used_session_expires_after_its_maximum(self):
        for who, limits in (("alice", OF_MEMBERS), ("carol", OF_STAFF)):
            with self.subTest(who=who):
                client, step, after = self.sign_in(who), limits.unused * 0.9, timedelta(0)
                while after + step < limits.in_all:
                    after += step
                    self.assertTrue(self.is_in(client, after))
                self.assertGreater(after, limits.unused)
                self.assertFalse(self.is_in(client, limits.in_all + timedelta(seconds=30)))

    def test_stock_session_store_never_expires_staff(self):
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            self.assertTrue(self.is_in(self.sign_in("carol"), OF_STAFF.in_all + timedelta(hours=1)))

    def test_saving_does_not_extend_the_maximum(self):
        client = self.sign_in("carol")
        with mock.patch("django.utils.timezone.now", return_value=self.start + timedelta(minutes=50)):
            client.post("/user/reauthenticate/", {"password": PASSWORD})
        [row] = Session.objects.all()
        self.assertLess(row.expire_date, self.start + timedelta(minutes=111))
        self.assertFalse(self.is_in(client, OF_STAFF.in_all + timedelta(seconds=30)))

    def test_last_use_is_saved_at_intervals(self):
        client = self.sign_in("carol")
        for minutes, queries in ((1, 2), (5, 2), (7, 3), (8, 2), (14, 3)):
            with self.subTest(minutes=minutes), self.assertNumQueries(queries):
                self.is_in(client, timedelta(minutes=minutes))

    def test_cookie_max_age_follows_remember_me(self):
        self.assertEqual(self.sign_in("carol").cookies["sessionid"]["max-age"], "")
        for who, limits in (("alice", OF_MEMBERS), ("carol", OF_STAFF)):
            kept = self.sign_in(who, remember="on").cookies["sessionid"]["max-age"]
            self.assertAlmostEqual(kept, limits.in_all.total_seconds(), delta=30)


class VisitorSessionTest(CastTestCase):
    """What a sign-in in progress needs, before there is a session."""

    def setUp(self):
        self.start = timezone.now()
        self.secret = activate_totp(self.alice)

    def begin(self, client=None, **more):
        """Give the right password; the second factor is missing."""
        client = client or Client()
        answer = client.post("/user/login/", {"login": "alice", "password": PASSWORD, **more})
        self.assertRedirects(answer, SECOND_FACTOR, fetch_redirect_response=False)
        return client

    def at(self, **after):
        return mock.patch("django.utils.timezone.now", return_value=self.start + timedelta(**after))

    def finish(self, client, now):
        with frozen_clock(now):
            return client.post(SECOND_FACTOR, {"code": totp_code(self.secret, now)})

    def test_visitor_has_no_row(self):
        client = self.begin()
        client.get(PASSKEY, headers={"X-Requested-With": "XMLHttpRequest"})
        client.post(PASSKEY, {"credential": "{}"})
        self.assertEqual(client.get(SECOND_FACTOR).status_code, 200)
        self.assertEqual(Session.objects.count(), 0)
        now = int(self.start.timestamp())
        self.assertRedirects(self.finish(client, now), "/", fetch_redirect_response=False)
        self.assertEqual([row.pk for row in Session.objects.all()], [client.cookies["sessionid"].value])

    def test_stock_session_store_keeps_a_row(self):
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            self.begin()
        self.assertEqual(Session.objects.count(), 1)

    def test_cookie_is_protected_and_lasts_ten_minutes(self):
        cookie = self.begin(remember="on").cookies["sessionid"]
        self.assertEqual((cookie["httponly"], cookie["samesite"], cookie["max-age"]), (True, "Lax", 600))
        with override_settings(SESSION_COOKIE_SECURE=True):
            self.assertTrue(self.begin().cookies["sessionid"]["secure"])

    def test_stay_signed_in_survives_the_second_factor(self):
        for more, lasts in (({}, ""), ({"remember": "on"}, OF_MEMBERS.in_all.total_seconds())):
            client = self.begin(**more)
            now = int(self.start.timestamp()) + (300 if more else 0)
            self.finish(client, now)
            age = client.cookies["sessionid"]["max-age"]
            self.assertEqual(age, lasts) if lasts == "" else self.assertAlmostEqual(age, lasts, delta=30)

    def test_value_ends_ten_minutes_after_it_was_set(self):
        client = self.begin()
        with self.at(minutes=9):
            # Sets only the challenge of a passkey.
            self.assertEqual(client.get(SECOND_FACTOR).status_code, 200)
        with self.at(minutes=11):
            self.assertRedirects(client.get(SECOND_FACTOR), "/user/login/", fetch_redirect_response=False)
            self.assertEqual(set(client.session.keys()), {"mfa.webauthn.state"})
        with self.at(minutes=20):
            client.get(SECOND_FACTOR)
        self.assertEqual(client.cookies["sessionid"].value, "")

    def test_changed_cookie_is_ignored_and_deleted(self):
        client = self.begin()
        value = client.cookies["sessionid"].value
        for changed in (value[:-1] + ("A" if value[-1] != "A" else "B"), "x:y", ":" * 4000, "é:1:2"):
            client.cookies["sessionid"] = changed
            with self.subTest(changed[:20]), self.assertNumQueries(0):
                self.assertEqual(client.get(SECOND_FACTOR).status_code, 302)
            self.assertEqual(client.cookies["sessionid"].value, "")

    def test_row_of_a_visitor_is_given_up(self):
        """Such rows were written before visitors had none."""
        row = StockStore()
        row["account_reauthentication_state"] = {}
        row.save()
        client = Client()
        client.cookies["sessionid"] = row.session_key
        client.get("/rentals/")
        self.assertEqual(client.cookies["sessionid"].value, "")

    def test_interrupted_request_of_a_visitor_is_not_kept(self):
        """allauth would keep the whole request, with its headers, to repeat it after the sign-in."""
        client = Client()
        for path in ("/user/2fa/totp/activate/", "/user/2fa/recovery-codes/generate/"):
            answer = client.post(path, {"code": "0" * 50_000})
            self.assertEqual((answer.status_code, "sessionid" in answer.cookies), (302, False), path)

    def test_cookie_fits_into_a_browser(self):
        User.objects.filter(pk=self.alice.pk).update(username="w" * 150)
        place = "/home?search=" + secrets.token_urlsafe(2000)
        longest = place[:MAX_NEXT_BYTES]
        for next_page, lands in (
            (longest, longest),
            (place[: MAX_NEXT_BYTES + 1], "/"),
            (f"/{'ü' * 999}", "/"),
        ):
            client = Client()
            form = {"login": "w" * 150, "password": PASSWORD, "next": next_page}
            client.post("/user/login/", form)
            client.get(SECOND_FACTOR)
            self.assertLess(len(client.cookies["sessionid"].OutputString()), 3000)
            now = int(self.start.timestamp())
            with frozen_clock(now), mock.patch("allauth.mfa.totp.internal.auth.cache"):
                answer = client.post(SECOND_FACTOR, {"code": totp_code(self.secret, now)})
            self.assertEqual(answer.headers["Location"], lands)

    def test_cookie_is_no_session_and_no_second_sign_in(self):
        client = self.begin()
        pending, now = client.cookies["sessionid"].value, int(self.start.timestamp())
        self.assertEqual(self.finish(client, now).status_code, 302)
        self.assertNotEqual(client.cookies["sessionid"].value, pending)
        client.post("/user/logout/")
        self.assertEqual(Session.objects.count(), 0)
        again = Client()
        again.cookies["sessionid"] = pending
        self.assertEqual(again.get(PROFILE).status_code, 302)
        # The code was used.
        self.assertEqual(self.finish(again, now).status_code, 200)
        self.assertEqual(again.get(PROFILE).status_code, 302)

    def test_changed_password_ends_the_pending_sign_in(self):
        codes = recovery_codes(self.alice)
        code, passkey = self.begin(), self.begin()
        key = SoftwarePasskey(self.alice)
        credential = key.sign(challenge_of(passkey.get(SECOND_FACTOR)))
        app, now = self.begin(), int(self.start.timestamp())
        self.alice.set_password(NEW)
        self.alice.save()
        for client, answer in (
            (app, self.finish(app, now)),
            (code, code.post(SECOND_FACTOR, {"code": codes[0]})),
            (passkey, passkey.post(SECOND_FACTOR, {"credential": credential})),
        ):
            self.assertEqual(answer.headers["Location"], "/user/login/")
            self.assertEqual(client.get(PROFILE).status_code, 302)
        self.assertEqual(Session.objects.count(), 0)

    def test_pending_sign_in_is_completed_once(self):
        codes, key = recovery_codes(self.alice), SoftwarePasskey(self.alice)
        client, now = self.begin(), int(self.start.timestamp())
        pending = client.cookies["sessionid"].value
        self.assertEqual(self.finish(client, now).headers["Location"], "/")

        def replay(send):
            again = Client()
            again.cookies["sessionid"] = pending
            self.assertEqual(send(again).headers["Location"], "/user/login/")
            self.assertEqual(again.get(PROFILE).status_code, 302)

        replay(lambda again: self.finish(again, now + 30))
        replay(lambda again: again.post(SECOND_FACTOR, {"code": codes[0]}))
        replay(
            lambda again: again.post(
                SECOND_FACTOR, {"credential": key.sign(challenge_of(again.get(SECOND_FACTOR)))}
            )
        )
        self.assertEqual(Session.objects.count(), 1)
        # Another one can be completed.
        self.assertEqual(self.finish(self.begin(), now + 60).headers["Location"], "/")

    def test_deactivation_ends_the_pending_sign_in(self):
        client = self.begin()
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        answer = self.finish(client, int(self.start.timestamp()))
        self.assertEqual(answer.headers["Location"], "/user/login/")
        self.assertEqual(Session.objects.count(), 0)

    def test_wrong_code_does_not_end_the_pending_sign_in(self):
        client = self.begin()
        self.assertEqual(client.post(SECOND_FACTOR, {"code": "wrong"}).status_code, 200)
        self.assertEqual(self.finish(client, int(self.start.timestamp())).headers["Location"], "/")

    def test_reset_link_ends_with_its_use_and_after_ten_minutes(self):
        link = reset_link(self.alice)
        client = Client()
        page = client.get(link).headers["Location"]
        cookie = client.cookies["sessionid"].value
        with self.at(minutes=11):
            self.assertContains(client.get(page), "This link no longer works")
        client.cookies["sessionid"] = cookie
        new = {"password1": NEW, "password2": NEW}
        self.assertEqual(client.post(page, new).status_code, 302)
        client.cookies["sessionid"] = cookie
        self.assertNotEqual(client.post(page, new).status_code, 302)
        self.assertEqual(Session.objects.count(), 0)

    def test_codes_by_mail_are_off(self):
        """They would be in the cookie, where the visitor can read them."""
        self.assertFalse(allauth.LOGIN_BY_CODE_ENABLED or allauth.LOGIN_BY_CODE_REQUIRED)
        self.assertFalse(allauth.EMAIL_VERIFICATION_BY_CODE_ENABLED or allauth.PASSWORD_RESET_BY_CODE_ENABLED)


class PasskeyReplayTest(CastTestCase):
    def setUp(self):
        self.key = SoftwarePasskey(self.alice)

    def begin(self):
        client = Client()
        answer = client.get(PASSKEY, headers={"X-Requested-With": "XMLHttpRequest"})
        return client, self.key.sign(answer.json()["request_options"]["publicKey"]["challenge"])

    def test_challenge_is_accepted_once(self):
        client, credential = self.begin()
        cookie = client.cookies["sessionid"].value
        self.assertEqual(client.post(PASSKEY, {"credential": credential}).headers["Location"], "/")
        self.assertEqual(client.get(PROFILE).status_code, 200)
        for client in (Client(), Client()):
            client.cookies["sessionid"] = cookie
            answer = client.post(PASSKEY, {"credential": credential})
            self.assertEqual(answer.headers["Location"], "/user/login/")
            self.assertEqual(client.get(PROFILE).status_code, 302)
        self.assertEqual(Session.objects.count(), 1)

    def test_challenge_could_be_replayed_otherwise(self):
        """Shows that the test above can fail."""
        client, credential = self.begin()
        cookie = client.cookies["sessionid"].value
        with mock.patch("accounts.forms.use_once", return_value=True):
            for client in (Client(), Client()):
                client.cookies["sessionid"] = cookie
                client.post(PASSKEY, {"credential": credential})
                self.assertEqual(client.get(PROFILE).status_code, 200)

    def test_challenge_ends_after_ten_minutes(self):
        client, credential = self.begin()
        later = timezone.now() + timedelta(minutes=10)
        with mock.patch("django.utils.timezone.now", return_value=later):
            answer = client.post(PASSKEY, {"credential": credential})
        self.assertEqual(answer.headers["Location"], "/user/login/")

    def test_second_factor_and_confirmation_accept_it_once(self):
        client = Client()
        client.post("/user/login/", {"login": "alice", "password": PASSWORD})
        credential = self.key.sign(challenge_of(client.get(SECOND_FACTOR)))
        cookie = client.cookies["sessionid"].value
        self.assertEqual(client.post(SECOND_FACTOR, {"credential": credential}).headers["Location"], "/")
        again = Client()
        again.cookies["sessionid"] = cookie
        self.assertContains(again.post(SECOND_FACTOR, {"credential": credential}), "has already been used")

        page = "/user/2fa/webauthn/reauthenticate/"
        credential = self.key.sign(challenge_of(client.get(page)))
        self.assertEqual(client.post(page, {"credential": credential, "next": "/rentals/"}).status_code, 302)
        session = client.session
        session["mfa.webauthn.state"] = {"challenge": self.key.challenge, "user_verification": "preferred"}
        session.save()
        answer = client.post(page, {"credential": credential, "next": "/rentals/"})
        self.assertEqual(answer.headers["Location"], "/user/login/")


def recovery_codes(user: User) -> list[str]:
    return RecoveryCodes.activate(user).get_unused_codes()


def challenge_of(page) -> str:
    return page.context["js_data"]["request_options"]["publicKey"]["challenge"]


def reset_link(user: User) -> str:
    key = default_token_generator.make_token(user)
    return f"/user/password/reset/key/{user_pk_to_url_str(user)}-{key}/"

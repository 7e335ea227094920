from __future__ import annotations

import base64
import json
from datetime import timedelta
from unittest import mock

from django.core.management import call_command
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts import tokens
from accounts.tests.case import LOGOUT, NEW, REFRESH, TOKEN, VERIFY, SignInCase
from accounts.tokens import TokenError


def _segment(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


GARBAGE = [
    "x",
    "a.b.c",
    "é.é.é",
    "\ud800",
    _segment('{"alg":"none"}') + "." + _segment('{"user_id":"1"}') + ".",
    _segment("[" * 9000) + ".e30.x",
    _segment('{"alg":{}}') + ".e30.x",
]


class TokensTest(SignInCase):
    def setUp(self):
        self.pair = tokens.give_tokens(self.alice)

    def refused(self, refresh=None):
        """`refresh` neither renews nor passes the check."""
        with self.assertRaises(TokenError):
            tokens.check(refresh or self.pair.refresh)
        with self.assertRaises(TokenError):
            tokens.renew(refresh or self.pair.refresh)

    def test_a_new_pair_works_and_the_old_refresh_token_does_not(self):
        renewed = tokens.renew(self.pair.refresh)
        tokens.check(renewed.access)
        tokens.check(renewed.refresh)
        self.refused(self.pair.refresh)

    def test_garbage_is_refused(self):
        for text in GARBAGE:
            with self.subTest(text=text[:20]):
                self.refused(text)

    def test_an_expired_token_is_refused(self):
        with mock.patch.object(RefreshToken, "lifetime", timedelta(seconds=-1)):
            expired = tokens.give_tokens(self.alice).refresh
        self.refused(expired)

    def test_an_access_token_does_not_renew(self):
        with self.assertRaises(TokenError):
            tokens.renew(self.pair.access)

    def test_a_deleted_account_has_no_tokens(self):
        self.alice.delete()
        self.refused()

    def test_a_deactivated_account_has_no_tokens(self):
        type(self.alice).objects.filter(pk=self.alice.pk).update(is_active=False)
        self.refused()

    def test_a_changed_password_ends_the_tokens(self):
        self.alice.set_password(NEW)
        self.alice.save()
        self.refused()

    def test_an_ended_token_is_refused_and_ends_once(self):
        tokens.end(self.pair.refresh)
        self.refused()
        with self.assertRaises(TokenError):
            tokens.end(self.pair.refresh)

    def test_a_token_whose_row_is_gone_is_used_up_all_the_same(self):
        OutstandingToken.objects.all().delete()
        tokens.renew(self.pair.refresh)
        self.refused()

    def test_what_the_look_missed_the_constraint_refuses(self):
        tokens.renew(self.pair.refresh)
        with mock.patch.object(RefreshToken, "check_blacklist"), self.assertRaises(TokenError):
            tokens.renew(self.pair.refresh)
        self.assertEqual(BlacklistedToken.objects.count(), 1)

    def test_flushing_removes_expired_rows_only(self):
        """Hole 10: every refresh adds a row; the daily command takes them away."""
        with mock.patch.object(RefreshToken, "lifetime", timedelta(seconds=-1)):
            tokens.give_tokens(self.alice)
        call_command("flushexpiredtokens", stdout=mock.Mock())
        self.assertEqual(OutstandingToken.objects.count(), 1)
        tokens.check(self.pair.refresh)


class TokenCallsTest(SignInCase):
    def setUp(self):
        self.pair = tokens.give_tokens(self.alice)

    def test_refresh_answers_a_pair_that_works_once(self):
        answer = self.client.post(REFRESH, {"refresh": self.pair.refresh})
        self.assertEqual((answer.status_code, set(answer.json())), (200, {"token", "refresh"}))
        self.assertEqual(self.bearing(answer.json()["token"]).get("/api/rest-auth/user/").status_code, 200)

        again = self.client.post(REFRESH, {"refresh": self.pair.refresh})
        self.assertEqual((again.status_code, again.json()["code"]), (401, "token_not_valid"))

    def test_refresh_under_rest_auth_has_its_names(self):
        answer = self.client.post("/api/rest-auth/token/refresh/", {"refresh": self.pair.refresh})
        self.assertEqual((answer.status_code, set(answer.json())), (200, {"access", "refresh"}))

    def test_verify_tells_a_good_token_from_a_bad_one(self):
        for path in (VERIFY, "/api/rest-auth/token/verify/"):
            for text in (self.pair.access, self.pair.refresh):
                answer = self.client.post(path, {"token": text})
                self.assertEqual((answer.status_code, answer.json()), (200, {}))
            answer = self.client.post(path, {"token": self.pair.access + "x"})
            self.assertEqual((answer.status_code, answer.json()["code"]), (401, "token_not_valid"))
            self.assertEqual(set(answer.json()), {"detail", "code"})

    def test_garbage_is_a_4xx(self):
        for path, field in ((REFRESH, "refresh"), (VERIFY, "token"), (LOGOUT, "refresh")):
            for value in [*GARBAGE, None, "", 1, True, [], {}, "\0"]:
                with self.subTest(path=path, value=str(value)[:20].encode("unicode_escape")):
                    # Written in ASCII, as only that can carry half a surrogate pair.
                    body = json.dumps({field: value})
                    answer = self.client.post(path, body, content_type="application/json")
                    self.assertIn(answer.status_code, (400, 401))
            self.assertEqual(list(self.client.post(path, {}).json()), [field])

    def test_garbage_in_the_header_is_a_401(self):
        self.assertEqual(self.bearing(self.pair.access).get("/api/rest-auth/user/").status_code, 200)
        for text in GARBAGE[:2] + GARBAGE[4:]:
            self.assertEqual(self.bearing(text).get("/api/rest-auth/user/").status_code, 401)

    def test_a_stale_header_does_not_stand_in_the_way_of_a_new_token(self):
        with mock.patch.object(AccessToken, "lifetime", timedelta(seconds=-1)):
            stale = self.bearing(tokens.give_tokens(self.alice).access)
        self.assertEqual(stale.get("/api/rest-auth/user/").status_code, 401)
        self.assertEqual(stale.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 200)

    def test_both_words_and_both_spellings_work(self):
        for word in ("JWT", "Bearer"):
            for path in ("/api/rest-auth/user/", "/api/rest-auth/user"):
                answer = self.client.get(path, headers={"authorization": f"{word} {self.pair.access}"})
                self.assertEqual(answer.status_code, 200)

    def test_only_post_is_answered(self):
        for path in (TOKEN, REFRESH, VERIFY, LOGOUT):
            self.assertEqual(self.client.get(path).status_code, 405)

    def test_refresh_after_the_account_is_deleted_is_a_401(self):
        """Hole 5: a deleted user's token was a 500."""
        of_bob = tokens.give_tokens(self.bob)
        self.bob.delete()
        for path in (REFRESH, "/api/rest-auth/token/refresh/"):
            answer = self.client.post(path, {"refresh": of_bob.refresh})
            self.assertEqual((answer.status_code, answer.json()["code"]), (401, "token_not_valid"))
        self.assertEqual(self.client.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 200)

    def test_log_out_ends_the_refresh_token(self):
        answer = self.bearing(self.pair.access).post(LOGOUT, {"refresh": self.pair.refresh})
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(self.client.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 401)
        again = self.client.post(LOGOUT, {"refresh": self.pair.refresh})
        self.assertEqual((again.status_code, again.json()["code"]), (401, "token_not_valid"))

    def test_log_out_without_the_token_names_the_field(self):
        answer = self.bearing(self.pair.access).post(LOGOUT)
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["refresh"]))

from __future__ import annotations

import base64
import json
from datetime import timedelta
from unittest import mock

import jwt
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts import tokens
from accounts.api.authentication import HeaderOrCookie
from accounts.models import TokenFamily, User
from accounts.tests.case import CHANGE, LOGOUT, NEW, REFRESH, TOKEN, USER, VERIFY, SignInCase
from accounts.tokens import TokenError, _mark_of
from accounts.web_tokens import ACCESS_COOKIE
from lori_assignment.cast import PASSWORD


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

    def test_of_a_used_token_nothing_is_left(self):
        """It was held by two: nobody can tell the thief, so the whole family ends."""
        renewed = tokens.renew(self.pair.refresh)
        elsewhere = tokens.give_tokens(self.alice)
        self.refused(self.pair.refresh)
        for text in (renewed.refresh, renewed.access, self.pair.access):
            with self.assertRaises(TokenError):
                tokens.check(text)
        tokens.check(elsewhere.access)
        tokens.renew(elsewhere.refresh)

    def test_looking_at_a_used_token_ends_nothing(self):
        renewed = tokens.renew(self.pair.refresh)
        with self.assertRaises(TokenError):
            tokens.check(self.pair.refresh)
        tokens.renew(renewed.refresh)

    def test_signing_out_by_a_used_token_ends_the_family_too(self):
        renewed = tokens.renew(self.pair.refresh)
        with self.assertRaises(TokenError):
            tokens.end(self.pair.refresh)
        self.refused(renewed.refresh)

    def test_every_token_has_a_number_of_its_own(self):
        renewed = tokens.renew(self.pair.refresh)
        claims = [jwt.decode(text, options={"verify_signature": False}) for text in (*self.pair, *renewed)]
        self.assertEqual(len({one["jti"] for one in claims}), 4)
        self.assertEqual(len({one["family"] for one in claims}), 1)

    def test_an_access_token_lives_five_minutes(self):
        claims = jwt.decode(self.pair.access, options={"verify_signature": False})
        self.assertEqual(claims["exp"] - claims["iat"], 300)

    def test_a_family_is_one_row_however_often_it_is_renewed(self):
        for _ in range(3):
            self.pair = tokens.renew(self.pair.refresh)
        self.assertEqual(TokenFamily.objects.count(), 1)

    def test_a_family_ends_thirty_days_after_its_sign_in_however_often_it_is_renewed(self):
        now = int(timezone.now().timestamp())
        for days, left in ((22, 7), (26, 4)):
            TokenFamily.objects.update(began_at=timezone.now() - timedelta(days=days))
            self.pair = tokens.renew(self.pair.refresh)
            with self.subTest(days=days):
                self.assertAlmostEqual(RefreshToken(self.pair.refresh)["exp"] - now, left * 86400, delta=60)
        TokenFamily.objects.update(began_at=timezone.now() - timedelta(days=30, seconds=1))
        self.refused(tokens.renew(self.pair.refresh).refresh)

    def test_without_that_end_it_would_go_on(self):
        with mock.patch.object(tokens, "LONGEST", timedelta(days=9999)):
            TokenFamily.objects.update(began_at=timezone.now() - timedelta(days=31))
            tokens.check(tokens.renew(self.pair.refresh).refresh)

    def test_flushing_forgets_what_has_run_out_only(self):
        """Hole 10: every refresh added a row; the daily command takes them away."""
        with mock.patch.object(RefreshToken, "lifetime", timedelta(seconds=-1)):
            tokens.give_tokens(self.alice)
        call_command("flushexpiredtokens", stdout=mock.Mock())
        self.assertEqual(TokenFamily.objects.count(), 1)
        tokens.check(self.pair.refresh)


class ForgedTokenTest(SignInCase):
    """What is signed otherwise than we sign, with the claims of a token that works."""

    def setUp(self):
        self.access = tokens.give_tokens(self.alice).access
        self.claims = jwt.decode(self.access, options={"verify_signature": False})

    def assert_refused(self, text):
        self.assertEqual(self.bearing(text).get(USER).status_code, 401)
        with self.assertRaises(TokenError):
            tokens.check(text)

    def test_the_key_is_the_tokens_own(self):
        self.assertNotEqual(settings.TOKEN_SIGNING_KEY, settings.SECRET_KEY)
        ours = jwt.encode(self.claims, settings.TOKEN_SIGNING_KEY, algorithm="HS256")
        self.assertEqual(self.bearing(ours).get(USER).status_code, 200)
        for key in (settings.SECRET_KEY, "x" * 64, settings.TOKEN_SIGNING_KEY + "x"):
            self.assert_refused(jwt.encode(self.claims, key, algorithm="HS256"))

    def test_no_other_algorithm_is_heard_be_the_key_right_or_not(self):
        for algorithm in ("HS384", "HS512"):
            self.assert_refused(jwt.encode(self.claims, settings.TOKEN_SIGNING_KEY, algorithm=algorithm))
        self.assert_refused(jwt.encode(self.claims, None, algorithm="none"))
        _head, body, seal = self.access.split(".")
        for name in ("none", "None", "NONE", "HS512", "RS256", "", None):
            other = _segment(json.dumps({"alg": name, "typ": "JWT"}))
            for end in (seal, ""):
                self.assert_refused(f"{other}.{body}.{end}")

    def test_no_claim_is_changed(self):
        head, _body, seal = self.access.split(".")
        for claim, value in (("user_id", str(self.dan.pk)), ("exp", self.claims["exp"] + 999), ("jti", "x")):
            body = _segment(json.dumps(self.claims | {claim: value}))
            self.assert_refused(f"{head}.{body}.{seal}")

    def test_a_key_that_the_token_brings_along_is_not_used(self):
        key = "k" * 64
        extra = {
            "jwk": {"kty": "oct", "k": _segment(key)},
            "kid": "../../dev/null",
            "jku": "https://x.example",
        }
        self.assert_refused(jwt.encode(self.claims, key, algorithm="HS256", headers=extra))

    def test_a_token_for_another_shop_or_for_none_is_refused(self):
        key = settings.TOKEN_SIGNING_KEY
        self.assertEqual(self.claims["aud"], settings.SITE_URL)
        self.assert_refused(
            jwt.encode(self.claims | {"aud": "https://other.example"}, key, algorithm="HS256")
        )
        without = {name: value for name, value in self.claims.items() if name != "aud"}
        self.assert_refused(jwt.encode(without, key, algorithm="HS256"))

    def test_a_token_of_another_password_is_refused_and_tells_of_none(self):
        key, mark = settings.TOKEN_SIGNING_KEY, self.claims["password_mark"]
        for changes in ({"password_mark": mark[::-1]}, {"password_mark": None}, {"password_mark": ["x"]}):
            self.assert_refused(jwt.encode(self.claims | changes, key, algorithm="HS256"))
        with self.settings(TOKEN_SIGNING_KEY="another"):
            self.assertNotEqual(_mark_of(self.alice), mark)
        self.assertFalse(any("hash" in name for name in self.claims))

    def test_a_token_of_another_account_or_none_in_a_family_is_refused(self):
        for changes in ({"user_id": str(self.bob.pk)}, {"family": ""}, {"family": None}, {"family": "x"}):
            forged = self.claims | changes
            self.assert_refused(jwt.encode(forged, settings.TOKEN_SIGNING_KEY, algorithm="HS256"))
        without = {name: value for name, value in self.claims.items() if name != "family"}
        self.assert_refused(jwt.encode(without, settings.TOKEN_SIGNING_KEY, algorithm="HS256"))

    def test_odd_claims_are_refused(self):
        strings = ["", "x", "4.0", "\x00", "\ud800", "é", "١", "x" * 5000, "1" * 40]
        others = [None, True, -1, 1.5, 2**63, [], {}, ["1"], {"a": 1}]
        odd = {name: [*strings, *others] for name in ("user_id", "family", "password_mark", "jti")}
        odd["exp"] = [*strings[:5], None, True, -1, 1e300, 2**63, 2**40, 10**30, float("inf"), [], {}]
        refresh = jwt.decode(tokens.give_tokens(self.alice).refresh, options={"verify_signature": False})
        for name, value in ((name, value) for name, values in odd.items() for value in values):
            with self.subTest(name, value=value):
                text = jwt.encode(self.claims | {name: value}, settings.TOKEN_SIGNING_KEY)
                self.assert_refused(text)
                self.client.cookies[ACCESS_COOKIE] = text
                self.assertEqual(self.client.get(USER).status_code, 401)
                text = jwt.encode(refresh | {name: value}, settings.TOKEN_SIGNING_KEY)
                with self.assertRaises(TokenError):
                    tokens.renew(text)
                with self.assertRaises(TokenError):
                    tokens.end(text)


class EndAtOnceTest(SignInCase):
    """An access token does not outlive what ended it, for which no request takes a query more."""

    def setUp(self):
        self.pair = tokens.give_tokens(self.alice)
        self.mine = self.bearing(self.pair.access)
        self.elsewhere = self.bearing(tokens.give_tokens(self.alice).access)
        self.assertEqual(self.mine.get(USER).status_code, 200)

    def assert_ended(self, client=None, pair=None):
        answer = (client or self.mine).get(USER)
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, "token_not_valid"))
        answer = self.client.post(REFRESH, {"refresh": (pair or self.pair).refresh})
        self.assertEqual(answer.status_code, 401)

    def test_by_signing_out(self):
        self.client.post(LOGOUT, {"refresh": self.pair.refresh})
        self.assert_ended()
        self.assertEqual(self.elsewhere.get(USER).status_code, 200)

    def test_by_a_changed_password(self):
        body = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
        self.assertEqual(self.mine.post(CHANGE, body).status_code, 200)
        self.assert_ended()
        self.assert_ended(self.elsewhere)

    def test_by_a_deactivation_and_for_good(self):
        desk = self.client_class()
        desk.force_login(self.dan)
        page = f"/admin/accounts/user/{self.alice.pk}/change/"
        form = {"username": "alice", "email": self.alice.email, "date_joined_0": "2026-01-02"}
        form |= {"date_joined_1": "03:04:05"}
        for active in ({}, {"is_active": "on"}):
            self.assertEqual(desk.post(page, form | active, format="multipart").status_code, 302)
            self.assertEqual(User.objects.get(pk=self.alice.pk).is_active, bool(active))
            self.assert_ended()
            self.assert_ended(self.elsewhere)

    def test_by_a_theft_that_was_found_out(self):
        tokens.renew(self.pair.refresh)
        self.client.post(REFRESH, {"refresh": self.pair.refresh})
        self.assert_ended()

    def test_a_call_by_token_takes_the_one_query_that_finds_its_account(self):
        with self.assertNumQueries(1):
            self.mine.get(USER)

    def test_without_the_look_at_the_family_it_would_live_on(self):
        """The twin: simplejwt's own look, which knows the account only."""
        stock = super(type(HeaderOrCookie()), HeaderOrCookie()).get_user
        self.client.post(LOGOUT, {"refresh": self.pair.refresh})
        with mock.patch.object(HeaderOrCookie, "get_user", lambda _self, token: stock(token)):
            self.assertEqual(self.mine.get(USER).status_code, 200)
        self.assert_ended()


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

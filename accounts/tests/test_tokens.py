from __future__ import annotations

import base64
import json
from datetime import timedelta
from unittest import mock

import jwt
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.throttling import ScopedRateThrottle
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts import tokens
from accounts.api.auth_views import PATHS
from accounts.api.authentication import JWTHeaderOrCookieAuthentication
from accounts.api.token_views import TokenRefresh
from accounts.models import TokenFamily, User
from accounts.tests.case import CHANGE, LOGOUT, NEW, REFRESH, TOKEN, USER, VERIFY, SignInCase
from accounts.tokens import TokenError, _password_fingerprint
from accounts.web_tokens import ACCESS_COOKIE
from lori_assignment.testing.cases import PASSWORD


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
        self.pair = tokens.issue_tokens(self.alice)

    def renew_later(self, refresh, seconds=10):
        """Renew `refresh` when the last renewal was so many seconds ago."""
        later = timezone.now() + timedelta(seconds=seconds)
        with mock.patch("lori_assignment.clock.now", return_value=later):
            return tokens.renew(refresh)

    def refused(self, refresh=None):
        """Assert that `refresh` can be neither verified nor renewed."""
        with self.assertRaises(TokenError):
            tokens.verify(refresh or self.pair.refresh)
        with self.assertRaises(TokenError):
            tokens.renew(refresh or self.pair.refresh)

    def test_renewal_replaces_the_refresh_token(self):
        renewed = tokens.renew(self.pair.refresh)
        tokens.verify(renewed.access)
        tokens.verify(renewed.refresh)
        with self.assertRaises(TokenError):
            tokens.verify(self.pair.refresh)
        with self.assertRaises(TokenError):
            self.renew_later(self.pair.refresh)

    def test_repeated_renewal_returns_the_same_pair(self):
        renewed = tokens.renew(self.pair.refresh)
        family = TokenFamily.objects.values().get()
        for seconds in (0, 9.9):
            with CaptureQueriesContext(connection) as taken:
                self.assertEqual(self.renew_later(self.pair.refresh, seconds), renewed)
            self.assertFalse([query for query in taken if query["sql"].startswith("UPDATE")])
        self.assertEqual(TokenFamily.objects.values().get(), family)
        self.assertFalse({*renewed, *self.pair} & set(map(str, family.values())))
        tokens.renew(renewed.refresh)

    def test_repetition_ends_after_ten_seconds(self):
        renewed = tokens.renew(self.pair.refresh)
        with self.assertRaises(TokenError):
            self.renew_later(self.pair.refresh)
        self.refused(renewed.refresh)
        self.assertFalse(TokenFamily.objects.exists())

    def test_repetition_ends_when_the_successor_is_used(self):
        second = tokens.renew(self.pair.refresh)
        third = tokens.renew(second.refresh)
        with self.assertRaises(TokenError):
            tokens.renew(self.pair.refresh)
        for text in (*second, *third):
            with self.assertRaises(TokenError):
                tokens.verify(text)

    def test_each_renewal_can_be_repeated(self):
        for _ in range(3):
            renewed = tokens.renew(self.pair.refresh)
            self.assertEqual(tokens.renew(self.pair.refresh), renewed)
            self.pair = renewed

    def test_nothing_is_repeated_after_the_login_ended(self):
        renewed = tokens.renew(self.pair.refresh)
        tokens.revoke(renewed.refresh)
        self.refused(self.pair.refresh)

    def test_nothing_is_repeated_after_a_new_password(self):
        tokens.renew(self.pair.refresh)
        self.alice.set_password(NEW)
        self.alice.save()
        self.refused(self.pair.refresh)

    def test_family_of_the_previous_release_repeats_nothing(self):
        renewed = tokens.renew(self.pair.refresh)
        TokenFamily.objects.update(renewed_at=None)
        with self.assertRaises(TokenError):
            tokens.renew(self.pair.refresh)
        self.refused(renewed.refresh)

    def test_malformed_token_is_refused(self):
        for text in GARBAGE:
            with self.subTest(text=text[:20]):
                self.refused(text)

    def test_an_expired_token_is_refused(self):
        with mock.patch.object(RefreshToken, "lifetime", timedelta(seconds=-1)):
            expired = tokens.issue_tokens(self.alice).refresh
        self.refused(expired)

    def test_an_access_token_does_not_renew(self):
        with self.assertRaises(TokenError):
            tokens.renew(self.pair.access)

    def test_token_of_deleted_account_is_refused(self):
        self.alice.delete()
        self.refused()

    def test_token_of_inactive_account_is_refused(self):
        type(self.alice).objects.filter(pk=self.alice.pk).update(is_active=False)
        self.refused()

    def test_password_change_ends_the_tokens(self):
        self.alice.set_password(NEW)
        self.alice.save()
        self.refused()

    def test_ended_token_is_refused(self):
        tokens.revoke(self.pair.refresh)
        self.refused()
        with self.assertRaises(TokenError):
            tokens.revoke(self.pair.refresh)

    def test_reuse_revokes_the_whole_family(self):
        """The thief cannot be told from the owner, so the whole family ends."""
        renewed = tokens.renew(self.pair.refresh)
        elsewhere = tokens.issue_tokens(self.alice)
        with self.assertRaises(TokenError):
            self.renew_later(self.pair.refresh)
        for text in (renewed.refresh, renewed.access, self.pair.access):
            with self.assertRaises(TokenError):
                tokens.verify(text)
        tokens.verify(elsewhere.access)
        tokens.renew(elsewhere.refresh)

    def test_checking_a_used_token_revokes_nothing(self):
        renewed = tokens.renew(self.pair.refresh)
        with self.assertRaises(TokenError):
            tokens.verify(self.pair.refresh)
        tokens.renew(renewed.refresh)

    def test_logout_with_a_used_token_ends_family(self):
        renewed = tokens.renew(self.pair.refresh)
        with self.assertRaises(TokenError):
            tokens.revoke(self.pair.refresh)
        self.refused(renewed.refresh)

    def test_every_token_has_its_own_id(self):
        renewed = tokens.renew(self.pair.refresh)
        claims = [jwt.decode(text, options={"verify_signature": False}) for text in (*self.pair, *renewed)]
        self.assertEqual(len({one["jti"] for one in claims}), 4)
        self.assertEqual(len({one["family"] for one in claims}), 1)

    def test_an_access_token_lives_five_minutes(self):
        claims = jwt.decode(self.pair.access, options={"verify_signature": False})
        self.assertEqual(claims["exp"] - claims["iat"], 300)

    def test_renewal_adds_no_row(self):
        for _ in range(3):
            self.pair = tokens.renew(self.pair.refresh)
        self.assertEqual(TokenFamily.objects.count(), 1)

    def test_family_expires_after_thirty_days(self):
        now = int(timezone.now().timestamp())
        for days, left in ((22, 7), (26, 4)):
            TokenFamily.objects.update(began_at=timezone.now() - timedelta(days=days))
            self.pair = tokens.renew(self.pair.refresh)
            with self.subTest(days=days):
                self.assertAlmostEqual(RefreshToken(self.pair.refresh)["exp"] - now, left * 86400, delta=60)
        TokenFamily.objects.update(began_at=timezone.now() - timedelta(days=30, seconds=1))
        self.refused(tokens.renew(self.pair.refresh).refresh)

    def test_without_the_maximum_it_would_not_expire(self):
        with mock.patch.object(tokens, "MAX_AGE", timedelta(days=9999)):
            TokenFamily.objects.update(began_at=timezone.now() - timedelta(days=31))
            tokens.verify(tokens.renew(self.pair.refresh).refresh)

    def test_flush_removes_only_expired_families(self):
        with mock.patch.object(RefreshToken, "lifetime", timedelta(seconds=-1)):
            tokens.issue_tokens(self.alice)
        call_command("flushexpiredtokens", stdout=mock.Mock())
        self.assertEqual(TokenFamily.objects.count(), 1)
        tokens.verify(self.pair.refresh)


class ForgedTokenTest(SignInCase):
    """Tokens with valid claims that are not signed as ours are."""

    def setUp(self):
        self.access = tokens.issue_tokens(self.alice).access
        self.claims = jwt.decode(self.access, options={"verify_signature": False})

    def assert_refused(self, text):
        self.assertEqual(self.client_with_token(text).get(USER).status_code, 401)
        with self.assertRaises(TokenError):
            tokens.verify(text)

    def test_signing_key_is_separate(self):
        self.assertNotEqual(settings.TOKEN_SIGNING_KEY, settings.SECRET_KEY)
        ours = jwt.encode(self.claims, settings.TOKEN_SIGNING_KEY, algorithm="HS256")
        self.assertEqual(self.client_with_token(ours).get(USER).status_code, 200)
        for key in (settings.SECRET_KEY, "x" * 64, settings.TOKEN_SIGNING_KEY + "x"):
            self.assert_refused(jwt.encode(self.claims, key, algorithm="HS256"))

    def test_other_algorithms_are_refused(self):
        for algorithm in ("HS384", "HS512"):
            self.assert_refused(jwt.encode(self.claims, settings.TOKEN_SIGNING_KEY, algorithm=algorithm))
        self.assert_refused(jwt.encode(self.claims, None, algorithm="none"))
        _head, body, seal = self.access.split(".")
        for name in ("none", "None", "NONE", "HS512", "RS256", "", None):
            other = _segment(json.dumps({"alg": name, "typ": "JWT"}))
            for end in (seal, ""):
                self.assert_refused(f"{other}.{body}.{end}")

    def test_changed_claims_are_refused(self):
        head, _body, seal = self.access.split(".")
        for claim, value in (("user_id", str(self.dan.pk)), ("exp", self.claims["exp"] + 999), ("jti", "x")):
            body = _segment(json.dumps(self.claims | {claim: value}))
            self.assert_refused(f"{head}.{body}.{seal}")

    def test_key_in_the_header_is_ignored(self):
        key = "k" * 64
        extra = {
            "jwk": {"kty": "oct", "k": _segment(key)},
            "kid": "../../dev/null",
            "jku": "https://x.example",
        }
        self.assert_refused(jwt.encode(self.claims, key, algorithm="HS256", headers=extra))

    def test_wrong_or_missing_audience_is_refused(self):
        key = settings.TOKEN_SIGNING_KEY
        self.assertEqual(self.claims["aud"], settings.SITE_URL)
        self.assert_refused(
            jwt.encode(self.claims | {"aud": "https://other.example"}, key, algorithm="HS256")
        )
        without = {name: value for name, value in self.claims.items() if name != "aud"}
        self.assert_refused(jwt.encode(without, key, algorithm="HS256"))

    def test_token_of_an_old_password_is_refused(self):
        key, mark = settings.TOKEN_SIGNING_KEY, self.claims["password_mark"]
        for changes in ({"password_mark": mark[::-1]}, {"password_mark": None}, {"password_mark": ["x"]}):
            self.assert_refused(jwt.encode(self.claims | changes, key, algorithm="HS256"))
        with self.settings(TOKEN_SIGNING_KEY="another"):
            self.assertNotEqual(_password_fingerprint(self.alice), mark)
        self.assertFalse(any("hash" in name for name in self.claims))

    def test_wrong_account_or_family_is_refused(self):
        for changes in ({"user_id": str(self.bob.pk)}, {"family": ""}, {"family": None}, {"family": "x"}):
            forged = self.claims | changes
            self.assert_refused(jwt.encode(forged, settings.TOKEN_SIGNING_KEY, algorithm="HS256"))
        without = {name: value for name, value in self.claims.items() if name != "family"}
        self.assert_refused(jwt.encode(without, settings.TOKEN_SIGNING_KEY, algorithm="HS256"))

    def test_malformed_claims_are_refused(self):
        strings = ["", "x", "4.0", "\x00", "\ud800", "é", "١", "x" * 5000, "1" * 40]
        others = [None, True, -1, 1.5, 2**63, [], {}, ["1"], {"a": 1}]
        odd = {name: [*strings, *others] for name in ("user_id", "family", "password_mark", "jti")}
        odd["exp"] = [*strings[:5], None, True, -1, 1e300, 2**63, 2**40, 10**30, float("inf"), [], {}]
        refresh = jwt.decode(tokens.issue_tokens(self.alice).refresh, options={"verify_signature": False})
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
                    tokens.revoke(text)


class RevocationTest(SignInCase):
    """Access tokens are revoked at once, without an extra query in each request."""

    def setUp(self):
        self.pair = tokens.issue_tokens(self.alice)
        self.mine = self.client_with_token(self.pair.access)
        self.elsewhere = self.client_with_token(tokens.issue_tokens(self.alice).access)
        self.assertEqual(self.mine.get(USER).status_code, 200)

    def assert_ended(self, client=None, pair=None):
        answer = (client or self.mine).get(USER)
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, "token_not_valid"))
        answer = self.client.post(REFRESH, {"refresh": (pair or self.pair).refresh})
        self.assertEqual(answer.status_code, 401)

    def test_signing_out_ends_access(self):
        self.client.post(LOGOUT, {"refresh": self.pair.refresh})
        self.assert_ended()
        self.assertEqual(self.elsewhere.get(USER).status_code, 200)

    def test_password_change_ends_access(self):
        body = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
        self.assertEqual(self.mine.post(CHANGE, body).status_code, 200)
        self.assert_ended()
        self.assert_ended(self.elsewhere)

    def test_deactivation_ends_access_for_good(self):
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

    def test_detected_reuse_ends_access(self):
        tokens.renew(tokens.renew(self.pair.refresh).refresh)
        self.client.post(REFRESH, {"refresh": self.pair.refresh})
        self.assert_ended()

    def test_authentication_takes_one_query(self):
        with self.assertNumQueries(1):
            self.mine.get(USER)

    def test_without_the_family_check_access_remains(self):
        """simplejwt's own check looks at the account only."""
        stock = super(type(JWTHeaderOrCookieAuthentication()), JWTHeaderOrCookieAuthentication()).get_user
        self.client.post(LOGOUT, {"refresh": self.pair.refresh})
        with mock.patch.object(
            JWTHeaderOrCookieAuthentication, "get_user", lambda _self, token: stock(token)
        ):
            self.assertEqual(self.mine.get(USER).status_code, 200)
        self.assert_ended()


class TokenApiTest(SignInCase):
    def setUp(self):
        self.pair = tokens.issue_tokens(self.alice)

    def test_refresh_returns_a_pair(self):
        answer = self.client.post(REFRESH, {"refresh": self.pair.refresh})
        self.assertEqual((answer.status_code, set(answer.json())), (200, {"token", "refresh"}))
        self.assertEqual(
            self.client_with_token(answer.json()["token"]).get("/api/rest-auth/user/").status_code, 200
        )

    def test_every_refresh_path_repeats_its_pair(self):
        paths = [path for path, view in PATHS if issubclass(view, TokenRefresh)]
        self.assertEqual(len(paths), 2)
        for path in [f"/{path}{end}" for path in paths for end in ("", "/")]:
            with self.subTest(path):
                refresh = tokens.issue_tokens(self.alice).refresh
                answers = [self.client.post(path, {"refresh": refresh}) for _ in range(2)]
                self.assertEqual([answer.status_code for answer in answers], [200, 200])
                self.assertEqual(answers[0].json(), answers[1].json())
                tokens.renew(answers[0].json()["refresh"])
                again = self.client.post(path, {"refresh": refresh})
                self.assertEqual((again.status_code, again.json()["code"]), (401, "token_not_valid"))

    def test_rest_auth_refresh_has_its_field_names(self):
        answer = self.client.post("/api/rest-auth/token/refresh/", {"refresh": self.pair.refresh})
        self.assertEqual((answer.status_code, set(answer.json())), (200, {"access", "refresh"}))

    def test_verify_distinguishes_valid_from_invalid(self):
        for path in (VERIFY, "/api/rest-auth/token/verify/"):
            for text in (self.pair.access, self.pair.refresh):
                answer = self.client.post(path, {"token": text})
                self.assertEqual((answer.status_code, answer.json()), (200, {}))
            answer = self.client.post(path, {"token": self.pair.access + "x"})
            self.assertEqual((answer.status_code, answer.json()["code"]), (401, "token_not_valid"))
            self.assertEqual(set(answer.json()), {"detail", "code"})

    def test_malformed_token_is_a_client_error(self):
        for path, field in ((REFRESH, "refresh"), (VERIFY, "token"), (LOGOUT, "refresh")):
            for value in [*GARBAGE, None, "", 1, True, [], {}, "\0"]:
                with self.subTest(path=path, value=str(value)[:20].encode("unicode_escape")):
                    # As ASCII, because only an escape can carry half a surrogate pair.
                    body = json.dumps({field: value})
                    answer = self.client.post(path, body, content_type="application/json")
                    self.assertIn(answer.status_code, (400, 401))
            self.assertEqual(list(self.client.post(path, {}).json()), [field])

    def test_malformed_header_is_401(self):
        self.assertEqual(
            self.client_with_token(self.pair.access).get("/api/rest-auth/user/").status_code, 200
        )
        for text in GARBAGE[:2] + GARBAGE[4:]:
            self.assertEqual(self.client_with_token(text).get("/api/rest-auth/user/").status_code, 401)

    def test_expired_header_does_not_block_a_refresh(self):
        with mock.patch.object(AccessToken, "lifetime", timedelta(seconds=-1)):
            stale = self.client_with_token(tokens.issue_tokens(self.alice).access)
        self.assertEqual(stale.get("/api/rest-auth/user/").status_code, 401)
        self.assertEqual(stale.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 200)

    def test_both_header_keywords_work(self):
        for word in ("JWT", "Bearer"):
            for path in ("/api/rest-auth/user/", "/api/rest-auth/user"):
                answer = self.client.get(path, headers={"authorization": f"{word} {self.pair.access}"})
                self.assertEqual(answer.status_code, 200)

    def test_only_post_is_allowed(self):
        for path in (TOKEN, REFRESH, VERIFY, LOGOUT):
            self.assertEqual(self.client.get(path).status_code, 405)

    def test_refresh_of_deleted_account_is_401(self):
        """simplejwt's own view answers 500 for a deleted user's token."""
        of_bob = tokens.issue_tokens(self.bob)
        self.bob.delete()
        for path in (REFRESH, "/api/rest-auth/token/refresh/"):
            answer = self.client.post(path, {"refresh": of_bob.refresh})
            self.assertEqual((answer.status_code, answer.json()["code"]), (401, "token_not_valid"))
        self.assertEqual(self.client.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 200)

    def test_logout_ends_the_refresh_token(self):
        answer = self.client_with_token(self.pair.access).post(LOGOUT, {"refresh": self.pair.refresh})
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(self.client.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 401)
        again = self.client.post(LOGOUT, {"refresh": self.pair.refresh})
        self.assertEqual((again.status_code, again.json()["code"]), (401, "token_not_valid"))

    def test_logout_requires_the_token(self):
        answer = self.client_with_token(self.pair.access).post(LOGOUT)
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["refresh"]))


class TokenBudgetTest(SignInCase):
    """Refreshing and verifying have limits of their own, by address and by login."""

    PATHS = (
        (REFRESH, "refresh"),
        ("/api/rest-auth/token/refresh/", "refresh"),
        (VERIFY, "token"),
        ("/api/rest-auth/token/verify/", "token"),
    )

    def setUp(self):
        cache.clear()
        self.addCleanup(cache.clear)
        self.pair = tokens.issue_tokens(self.alice)

    def verify(self, text, address="192.0.2.1"):
        return self.client.post(VERIFY, {"token": text}, REMOTE_ADDR=address)

    def assert_throttled(self, answer):
        self.assertEqual((answer.status_code, answer.json()["code"]), (429, "throttled"))
        self.assertIn(int(answer["Retry-After"]), range(1, 61))

    def test_rates(self):
        rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
        self.assertEqual(
            rates, {"dj_rest_auth": "60/minute", "tokens": "600/minute", "token_family": "30/minute"}
        )

    def test_login_may_send_thirty_calls_a_minute(self):
        for number in range(15):
            for text in self.pair:
                self.assertEqual(self.verify(text, f"192.0.2.{number}").status_code, 200)
        for path, field in self.PATHS:
            for text in self.pair:
                self.assert_throttled(self.client.post(path, {field: text}))
        # Refused calls have used nothing, and another login of the same member has its own count.
        self.assertEqual(self.verify(tokens.issue_tokens(self.alice).access).status_code, 200)
        cache.clear()
        self.assertEqual(self.client.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 200)

    def test_invalid_tokens_count_for_no_login(self):
        claims = jwt.decode(self.pair.access, options={"verify_signature": False})
        forged = jwt.encode(claims, "x" * 64, algorithm="HS256")
        for text in (forged, "x", 7, None) * 10:
            self.assertIn(self.verify(text).status_code, (400, 401))
        self.assertEqual(self.client.post(VERIFY, [], format="json").status_code, 400)
        self.assertEqual(self.verify(self.pair.access).status_code, 200)

    def test_form_counts_like_json(self):
        form = {"token": self.pair.access}
        told = [self.client.post(VERIFY, form, format="multipart").status_code for _ in range(31)]
        self.assertEqual(told, [200] * 30 + [429])

    def test_address_limit_is_shared_by_all_paths(self):
        with mock.patch.dict(ScopedRateThrottle.THROTTLE_RATES, {"tokens": "8/minute"}):
            for path, field in self.PATHS * 2:
                self.assertEqual(self.client.post(path, {field: "x"}).status_code, 401)
            for path, field in self.PATHS:
                self.assert_throttled(self.client.post(path, {field: "x"}))
            self.assertEqual(self.verify("x").status_code, 401)

    def test_period_begins_with_the_first_call_and_ends(self):
        with mock.patch.dict(ScopedRateThrottle.THROTTLE_RATES, {"tokens": "2/minute"}):
            for second, status, wait in (
                (0.5, 401, None),
                (20, 401, None),
                (20.75, 429, "40"),
                (60.25, 429, "1"),
                (60.5, 401, None),
            ):
                with (
                    self.subTest(second),
                    mock.patch.object(ScopedRateThrottle, "timer", lambda _self, at=second: 1_000_000 + at),
                    self.assertNumQueries(1),
                ):
                    answer = self.verify("x")
                self.assertEqual((answer.status_code, answer.get("Retry-After")), (status, wait))

    def test_sign_in_and_token_limits_are_separate(self):
        for _ in range(60):
            self.client.post(TOKEN, {})
        self.assert_throttled(self.client.post(TOKEN, {}))
        for number in range(61):
            if number % 30 == 0:
                self.pair = tokens.issue_tokens(self.alice)
            self.assertEqual(self.client.post(VERIFY, {"token": self.pair.access}).status_code, 200)

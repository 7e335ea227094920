"""Sign-in by /api-token-auth/, dj-rest-auth's login and the web form, which share one throttle."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import login_throttle, tokens
from accounts.models import PasswordAttempts, User
from accounts.tests.case import (
    CHANGE,
    LOGIN,
    NEW,
    RESET,
    TOKEN,
    USER,
    WRONG,
    SignInCase,
    activate_totp,
    frozen_clock,
    totp_code,
)
from lori_assignment.testing.cases import PASSWORD

NOW = 1_800_000_000


class PasswordTest(SignInCase):
    def test_username_and_address_ignore_case(self):
        for door in (TOKEN, LOGIN):
            for login in ("alice", "ALICE", "alice@example.org", "Alice@Example.ORG", " alice "):
                with self.subTest(door=door, login=login):
                    self.assertEqual(self.sign_in(login, door=door).status_code, 200)

    def test_token_authenticates(self):
        answer = self.sign_in()
        self.assertEqual(set(answer.json()), {"token", "refresh"})
        mine = self.client_with_token(answer.json()["token"]).get(USER)
        self.assertEqual((mine.status_code, mine.json()["username"]), (200, "alice"))

    def test_login_returns_tokens_and_the_account(self):
        answer = self.sign_in(door=LOGIN).json()
        self.assertEqual(set(answer), {"access", "refresh", "user"})
        self.assertEqual(answer["user"]["id"], self.alice.pk)
        self.assertEqual(self.client_with_token(answer["access"]).get(USER).status_code, 200)

    def test_login_accepts_the_email_field(self):
        answer = self.client.post(LOGIN, {"email": "alice@example.org", "password": PASSWORD})
        self.assertEqual(answer.status_code, 200)
        answer = self.client.post(LOGIN, {"password": PASSWORD})
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["username"]))

    def test_no_session_is_created(self):
        self.assertEqual(self.sign_in(door=LOGIN).cookies, {})
        self.assertEqual(self.sign_in().cookies, {})

    def test_last_login_is_saved(self):
        self.sign_in()
        self.alice.refresh_from_db()
        self.assertIsNotNone(self.alice.last_login)

    def test_all_failures_look_alike(self):
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

    def test_missing_and_blank_fields_are_errors(self):
        for door in (TOKEN, LOGIN):
            answer = self.client.post(door, {})
            self.assertEqual(answer.status_code, 400)
            self.assertIn("password", answer.json())
            self.assertEqual(self.sign_in(" ", "", door=door).status_code, 400)
            self.assertEqual(set(self.sign_in(" ", "", door=door).json()), {"username", "password"})

    def test_spaces_in_a_password_count(self):
        self.alice.set_password(f" {PASSWORD} ")
        self.alice.save()
        self.assertEqual(self.sign_in(password=f" {PASSWORD} ").status_code, 200)
        self.assertEqual(self.sign_in(password=PASSWORD).status_code, 401)


class LockTest(SignInCase):
    """All entry points that take a password share one throttle."""

    def setUp(self):
        cache.clear()
        self.browser = Client()
        self.browser.force_login(self.alice)
        self.mine = self.client_with_token(tokens.issue_tokens(self.alice).access)

    def doors(self):
        """Return a function for each entry point that sends it a password and returns the response."""
        wanted = {"new_password1": NEW, "new_password2": NEW}
        typed = {"password1": NEW, "password2": NEW}
        web, change = reverse("account_login"), reverse("account_change_password")
        # The last three need a signed-in user; given the right password, the last two change it.
        return {
            "token": lambda word: self.sign_in(password=word),
            "rest-auth": lambda word: self.sign_in(password=word, door=LOGIN),
            "web": lambda word: Client().post(web, {"login": "alice", "password": word}),
            "admin": lambda word: Client().post(
                Client().get("/admin/", follow=True).redirect_chain[-1][0],
                {"login": "alice", "password": word},
            ),
            "confirmation": lambda word: self.browser.post(
                reverse("account_reauthenticate"), {"password": word}
            ),
            "change on the web": lambda word: self.browser.post(change, {"oldpassword": word} | typed),
            "change over the API": lambda word: self.mine.post(CHANGE, {"old_password": word} | wanted),
        }

    def guess(self, times, door="token"):
        for _ in range(times):
            self.assertIn(self.doors()[door](WRONG).status_code, (200, 400, 401), door)

    def test_five_failures_lock_every_entry_point(self):
        for first in self.doors():
            with self.subTest(failed_at=first), transaction.atomic():
                cache.clear()
                self.guess(4, first)
                self.assertEqual(self.sign_in().status_code, 200)
                self.guess(1, first)
                for door, knock in self.doors().items():
                    answer = knock(PASSWORD)
                    self.assertEqual(answer.status_code, 429, door)
                    self.assertIn(int(answer["Retry-After"]), range(280, 301), door)
                transaction.set_rollback(True)

    def test_api_locks_in_json_and_web_on_a_page(self):
        self.guess(5)
        self.assertEqual(self.sign_in().json()["code"], "throttled")
        answer = self.doors()["web"](PASSWORD)
        self.assertTemplateUsed(answer, "429.html")
        self.assertNotIn("_auth_user_id", self.client.session)

    def test_locked_attempts_are_not_hashed(self):
        encode = MD5PasswordHasher.encode
        with mock.patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=encode) as computed:
            self.guess(5)
            self.assertEqual(computed.call_count, 5)
            for knock in self.doors().values():
                knock(PASSWORD)
            self.assertEqual(computed.call_count, 5)

    def test_without_recorded_attempts_nothing_locks(self):
        with mock.patch("accounts.backends.login_throttle.record_attempt", return_value=None):
            self.guess(9)
            self.assertEqual(self.sign_in().status_code, 200)

    def test_other_addresses_are_not_locked(self):
        self.guess(5)
        answer = self.client.post(TOKEN, {"username": "alice", "password": PASSWORD}, REMOTE_ADDR="192.0.2.7")
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(self.sign_in().status_code, 429)

    def test_spellings_of_a_name_share_one_count(self):
        for spellings in (
            ("alice", "ALICE", " Alice ", "álice", "alicE"),
            (
                "alice@example.org",
                "ALICE@Example.org",
                " alice@example.org",
                "alice@EXAMPLE.org",
                "Alice@example.org",
            ),
            # There is no account of this name.
            ("rene", "René", "RENÉ", "rene\u0301", " rené "),
        ):
            for spelling in spellings:
                self.assertEqual(self.sign_in(spelling, WRONG).status_code, 401)
            for spelling in spellings:
                self.assertEqual(self.sign_in(spelling, WRONG).status_code, 429, spelling)

    def test_forged_x_forwarded_for_is_ignored(self):
        for proxies in (0, 1, 2):
            with override_settings(TRUSTED_PROXIES=proxies), transaction.atomic():
                answers = []
                for number in range(6):
                    forged = [f"198.51.100.{number}"] * 3
                    # Each of our proxies appends the address of its client.
                    told = forged + ["192.0.2.9"] * min(proxies, 1) + ["10.0.0.1"] * max(proxies - 1, 0)
                    headers = {"X-Forwarded-For": ", ".join(told)}
                    body = {"username": "alice", "password": WRONG}
                    answers.append(self.client.post(TOKEN, body, headers=headers).status_code)
                self.assertEqual(answers, [401] * 5 + [429], proxies)
                transaction.set_rollback(True)

    @override_settings(TRUSTED_PROXIES=1)
    def test_direct_connection_uses_its_own_address(self):
        body = {"username": "alice", "password": WRONG}
        for _ in range(5):
            self.client.post(TOKEN, body, headers={"X-Forwarded-For": "192.0.2.9"})
        for client, expected in (("192.0.2.9", 429), ("192.0.2.10", 200)):
            body = {"username": "alice", "password": PASSWORD}
            self.assertEqual(self.client.post(TOKEN, body, REMOTE_ADDR=client).status_code, expected)
        page = {"login": "alice", "password": PASSWORD}
        self.assertEqual(Client(REMOTE_ADDR="192.0.2.10").post("/user/login/", page).status_code, 302)

    @override_settings(TRUSTED_PROXIES=1)
    def test_clients_behind_a_proxy_count_separately(self):
        for client, expected in (("192.0.2.9", 429), ("192.0.2.10", 200)):
            headers = {"X-Forwarded-For": client}
            if expected == 429:
                for _ in range(5):
                    self.client.post(TOKEN, {"username": "alice", "password": WRONG}, headers=headers)
            body = {"username": "alice", "password": PASSWORD}
            self.assertEqual(self.client.post(TOKEN, body, headers=headers).status_code, expected)

    def test_ipv6_network_is_one_client(self):
        for number in range(6):
            answer = self.client.post(
                TOKEN, {"username": "alice", "password": WRONG}, REMOTE_ADDR=f"2001:db8::{number}"
            )
        self.assertEqual(answer.status_code, 429)

    def test_other_host_name_shares_the_count(self):
        self.guess(5)
        with override_settings(ALLOWED_HOSTS=["other.example"]):
            answer = self.client.post(
                TOKEN, {"username": "alice", "password": PASSWORD}, headers={"host": "other.example"}
            )
        self.assertEqual(answer.status_code, 429)

    def test_one_address_may_try_twenty_names(self):
        for number in range(20):
            self.assertEqual(self.sign_in(f"m{number}", WRONG).status_code, 401)
        self.assertEqual(self.sign_in("m20", WRONG).status_code, 429)
        self.assertEqual(self.sign_in("bob").status_code, 429)

    def test_refused_attempts_leave_no_rows(self):
        for number in range(login_throttle.MAX_PER_ADDRESS):
            self.sign_in(f"m{number}", WRONG)
        rows = PasswordAttempts.objects.count()
        for number in range(5):
            self.assertEqual(self.sign_in(f"new{number}", WRONG).status_code, 429)
        self.assertEqual(PasswordAttempts.objects.count(), rows)

    def test_locked_attempts_lock_no_other_account(self):
        self.guess(5)
        for _ in range(30):
            self.sign_in()
        self.assertEqual(self.sign_in("bob").status_code, 200)

    def test_known_address_skips_the_name_limit(self):
        def try_from(address, password):
            body = {"username": "alice", "password": password}
            return self.client.post(TOKEN, body, REMOTE_ADDR=address).status_code

        self.assertEqual(try_from("192.0.2.1", PASSWORD), 200)
        for number in range(login_throttle.MAX_PER_NAME):
            self.assertEqual(try_from(f"198.51.100.{number}", WRONG), 401)
        self.assertEqual(try_from("203.0.113.1", PASSWORD), 429)
        self.assertEqual(try_from("192.0.2.1", PASSWORD), 200)

    def test_lock_expires(self):
        now = timezone.now()
        with mock.patch("lori_assignment.clock.now") as clock:
            for seconds, expected in ((0, 401), (100, 401), (100, 401), (200, 401), (290, 401), (589, 429)):
                clock.return_value = now + timedelta(seconds=seconds)
                self.assertEqual(self.sign_in(password=WRONG).status_code, expected, seconds)
            clock.return_value = now + timedelta(seconds=591)
            self.assertEqual(self.sign_in().status_code, 200)

    def test_attempt_takes_two_or_three_statements(self):
        for password, statements in ((WRONG, 2), (PASSWORD, 3)):
            with CaptureQueriesContext(connection) as taken:
                self.sign_in(password=password)
            counted = [query for query in taken if "passwordattempts" in query["sql"]]
            self.assertEqual(len(counted), statements)

    def test_table_contains_no_names_or_addresses(self):
        self.guess(1)
        keys = list(PasswordAttempts.objects.values_list("key", flat=True))
        self.assertEqual([len(key) for key in keys], [64] * 3)
        self.assertNotIn("alice", "".join(keys))

    def test_expired_attempts_are_purged(self):
        self.guess(1)
        self.sign_in("bob")
        later = timezone.now() + timedelta(days=1)
        self.assertEqual(login_throttle.delete_expired(at=later), 5)
        # Bob's address stays known for a month.
        self.assertEqual(login_throttle.delete_expired(at=later + timedelta(days=31)), 1)

    def test_expired_call_counts_are_purged(self):
        self.sign_in()
        cache.set("of-another-for-an-hour", 1, 3600)
        soon, later = (timezone.now() + timedelta(minutes=minutes) for minutes in (0, 2))
        self.assertEqual(
            [login_throttle.delete_expired_cache_rows(at=at) for at in (soon, later, later)], [0, 1, 0]
        )
        self.assertEqual(cache.get("of-another-for-an-hour"), 1)

    @override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}})
    def test_expiring_cache_needs_no_purge(self):
        self.assertEqual(login_throttle.delete_expired_cache_rows(at=timezone.now()), 0)

    def test_admin_password_form_redirects(self):
        desk = Client()
        desk.force_login(self.dan)
        self.assertRedirects(
            desk.get("/admin/password_change/"), "/user/password/change/", fetch_redirect_response=False
        )

    def test_other_accounts_are_not_locked(self):
        self.guess(5)
        self.assertEqual(self.sign_in("bob").status_code, 200)

    @override_settings(RATE_LIMITS="off")
    def test_disabled_limits_never_lock(self):
        self.guess(6)
        self.assertEqual(self.sign_in().status_code, 200)

    def test_sixty_first_call_in_a_minute_is_429(self):
        for _ in range(60):
            self.assertEqual(self.client.post(TOKEN, {}).status_code, 400)
        answer = self.client.post(LOGIN, {})
        self.assertEqual(answer.status_code, 429)
        self.assertIn("Retry-After", answer)


class NameDisclosureTest(SignInCase):
    """When a lock begins does not tell which names have an account, or which of them are of one account."""

    PAIRS = (
        ("alice", "alice@example.org"),
        ("alice@example.org", "alice"),
        ("alice", "bob@example.org"),
        ("alice", "bob"),
        ("alice", "nobody"),
        ("nobody", "nobody@example.org"),
        ("nobody@example.org", "somebody@example.org"),
    )
    SPELLINGS = (("álice", "alice"), ("alice", "ALÍCE"), ("nóbody", "nobody"), ("n\uff4fbody", "NOBODY"))

    def setUp(self):
        cache.clear()
        self.addresses = (f"198.51.100.{number}" for number in range(250))

    def doors(self):
        return {
            "token": lambda login, word, at: self.client.post(
                TOKEN, {"username": login, "password": word}, REMOTE_ADDR=at
            ),
            "rest-auth": lambda login, word, at: self.client.post(
                LOGIN, {"email" if "@" in login else "username": login, "password": word}, REMOTE_ADDR=at
            ),
            "web": lambda login, word, at: Client(REMOTE_ADDR=at).post(
                reverse("account_login"), {"login": login, "password": word}
            ),
        }

    def assert_all_alike(self, pairs, expected, guess):
        for door, knock in self.doors().items():
            for first, second in pairs:
                with self.subTest(door, names=(first, second)), transaction.atomic():
                    cache.clear()
                    answer = guess(knock, first, second)
                    self.assertEqual(answer.status_code == 429, expected)
                    if expected:
                        self.assertIn(int(answer["Retry-After"]), range(295, 301))
                    transaction.set_rollback(True)

    def test_names_of_one_account_count_separately(self):
        def guess(knock, first, second):
            here = next(self.addresses)
            for _ in range(login_throttle.MAX_PER_NAME_AND_ADDRESS):
                self.assertNotEqual(knock(first, WRONG, here).status_code, 429)
            self.assertEqual(knock(first, WRONG, here).status_code, 429)
            return knock(second, WRONG, here)

        self.assert_all_alike(self.PAIRS, False, guess)
        self.assert_all_alike(self.SPELLINGS, True, guess)

    def fill(self, login):
        """Reach the limit of `login` from many addresses."""
        for number in range(login_throttle.MAX_PER_NAME):
            body = {"username": login, "password": WRONG}
            answer = self.client.post(TOKEN, body, REMOTE_ADDR=f"203.0.113.{number}")
            self.assertEqual(answer.status_code, 401)

    def test_limit_from_all_addresses_tells_nothing(self):
        def guess(knock, first, second):
            self.fill(first)
            self.assertEqual(knock(first, WRONG, next(self.addresses)).status_code, 429)
            return knock(second, WRONG, next(self.addresses))

        self.assert_all_alike([self.PAIRS[0], self.PAIRS[5]], False, guess)
        self.assert_all_alike([self.SPELLINGS[0], self.SPELLINGS[2]], True, guess)

    def test_known_address_shows_only_with_the_password(self):
        """Somebody in the same network as a member learns nothing from the exception for it."""
        home = next(self.addresses)
        self.assertEqual(self.try_at(home, "alice", PASSWORD), (200, 1))
        for name in ("alice", "alice@example.org", "nobody"):
            cache.clear()
            self.fill(name)
            self.assertEqual(self.try_at(home, name, WRONG), (429, 1), name)
            self.assertEqual(self.try_at(next(self.addresses), name, WRONG), (429, 1), name)
        self.assertEqual(self.try_at(next(self.addresses), "alice", PASSWORD), (429, 1))
        cache.clear()
        # An address is known for both names.
        for name in ("alice", "alice@example.org"):
            self.assertEqual(self.try_at(home, name, PASSWORD), (200, 1), name)

    def try_at(self, address, login, password):
        """Return the status and the number of hashes."""
        encode = MD5PasswordHasher.encode
        with mock.patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=encode) as computed:
            body = {"username": login, "password": password}
            answer = self.client.post(TOKEN, body, REMOTE_ADDR=address)
        return answer.status_code, computed.call_count

    def test_locked_name_costs_each_address_five_hashes(self):
        self.fill("alice")
        self.fill("nobody")
        for name, password in (("alice", WRONG), ("alice", PASSWORD), ("nobody", WRONG)):
            cache.clear()
            here = next(self.addresses)
            tried = [self.try_at(here, name, password) for _ in range(7)]
            self.assertEqual(tried, [(429, 1)] * 5 + [(429, 0)] * 2, name)

    def test_guesses_at_one_account_are_bounded(self):
        here = next(self.addresses)
        names = ["alice", "ALICE", "álice", "alice@example.org", "Alice@example.org"]
        tried = [self.try_at(here, name, WRONG)[1] for name in names * 8]
        self.assertEqual(sum(tried), 2 * login_throttle.MAX_PER_NAME_AND_ADDRESS)

    def test_deactivated_account_counts_like_no_account(self):
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        tried = [self.sign_in().status_code for _ in range(6)]
        self.assertEqual(tried, [401] * 5 + [429])

    def test_reset_keeps_the_count_of_all_addresses(self):
        self.fill("alice")
        home = next(self.addresses)
        for _ in range(6):
            self.assertEqual(self.try_at(home, "alice", PASSWORD)[0], 429)
        request = RequestFactory(REMOTE_ADDR=home).get("/")
        login_throttle.clear_attempts(request, self.alice, at=timezone.now())
        cache.clear()
        self.assertEqual(self.try_at(next(self.addresses), "alice", WRONG)[0], 429)
        self.assertEqual(self.try_at(home, "alice", PASSWORD)[0], 200)

    def test_long_names_are_cut(self):
        """Such a text has 18 characters for each of its own once it is decomposed."""
        self.assertLess(len(login_throttle.normalize_login("\ufdfa" * 100_000)), 10_000)

    def test_mails_are_limited_alike(self):
        for path, post in ((RESET, self.client.post), ("/user/password/reset/", Client().post)):
            for address in ("alice@example.org", "nobody@example.org"):
                with self.subTest(path, address=address):
                    cache.clear()
                    told = [
                        post(path, {"email": spelling}).status_code
                        for spelling in [address, address.upper()] * 3
                    ]
                    self.assertEqual([status == 429 for status in told], [False] * 5 + [True])

    def test_codes_are_asked_for_after_the_password_only(self):
        activate_totp(self.alice)
        answers = [self.sign_in(name, WRONG, otp="123456") for name in ("alice", "nobody") for _ in range(6)]
        told = [(answer.status_code, answer.json()["code"]) for answer in answers]
        once = [(401, "authentication_failed")] * 5 + [(429, "throttled")]
        self.assertEqual(told, once * 2)


class SecondFactorTest(SignInCase):
    def setUp(self):
        self.secret = activate_totp(self.alice)

    def assert_refused(self, answer, code):
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, code))

    def test_code_is_required(self):
        for door in (TOKEN, LOGIN):
            self.assert_refused(self.sign_in(door=door), "otp_required")
            with frozen_clock(NOW + 600 * (door == LOGIN)):
                code = totp_code(self.secret, NOW + 600 * (door == LOGIN))
                self.assertEqual(self.sign_in(door=door, otp=code).status_code, 200)

    def test_code_works_once(self):
        with frozen_clock(NOW):
            code = totp_code(self.secret, NOW)
            self.assertEqual(self.sign_in(otp=code).status_code, 200)
            self.assert_refused(self.sign_in(otp=code), "otp_invalid")
            self.assert_refused(self.sign_in(door=LOGIN, otp=code), "otp_invalid")

    def test_a_wrong_code_is_refused(self):
        with frozen_clock(NOW):
            self.assert_refused(self.sign_in(otp=totp_code(self.secret, NOW + 3600)), "otp_invalid")

    def test_a_recovery_code_works_once(self):
        code = RecoveryCodes.activate(self.alice).get_unused_codes()[0]
        self.assertEqual(self.sign_in(otp=code).status_code, 200)
        self.assert_refused(self.sign_in(otp=code), "otp_invalid")

    def test_a_code_does_not_replace_the_password(self):
        with frozen_clock(NOW):
            answer = self.sign_in(password=WRONG, otp=totp_code(self.secret, NOW))
        self.assert_refused(answer, "authentication_failed")

    def test_guessing_codes_locks(self):
        with frozen_clock(NOW):
            for _ in range(5):
                self.assert_refused(self.sign_in(otp=totp_code(self.secret, NOW + 3600)), "otp_invalid")
            answer = self.sign_in(otp=totp_code(self.secret, NOW))
        self.assertEqual((answer.status_code, answer["Retry-After"]), (429, "300"))

    def test_guessing_codes_on_the_web_locks(self):
        browser = Client()
        browser.post(reverse("account_login"), {"login": "alice", "password": PASSWORD})
        with frozen_clock(NOW):
            for _ in range(5):
                answer = browser.post(
                    reverse("mfa_authenticate"), {"code": totp_code(self.secret, NOW + 3600)}
                )
                self.assertEqual(answer.status_code, 200)
            answer = browser.post(reverse("mfa_authenticate"), {"code": totp_code(self.secret, NOW)})
        self.assertEqual((answer.status_code, answer["Retry-After"]), (429, "300"))
        self.assertNotIn("_auth_user_id", browser.session)

    def test_account_without_a_factor_needs_no_code(self):
        self.assertEqual(self.sign_in("bob").status_code, 200)
        self.assertEqual(self.sign_in("bob", otp="123456").status_code, 200)

    def test_use_of_a_factor_is_recorded(self):
        with frozen_clock(NOW), mock.patch("allauth.mfa.models.Authenticator.record_usage") as record:
            self.sign_in(otp=totp_code(self.secret, NOW))
        record.assert_called_once_with()

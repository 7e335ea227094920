"""Concurrent renewals, sign-ins and sign-ups."""

from __future__ import annotations

from collections import Counter
from functools import partial
from threading import Barrier
from unittest import mock

import jwt
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.db import connection
from rest_framework.test import APIClient
from rest_framework.throttling import ScopedRateThrottle

from accounts import backends, login_throttle, sign_up, tokens, web_tokens
from accounts.hashing_queue import HashingQueue
from accounts.models import PasswordAttempts, TokenFamily, User
from accounts.tests.case import REGISTER, TOKEN, VERIFY, WRONG, make_hash_of_nobody
from accounts.tests.test_web_tokens import BrowserClient
from lori_assignment.testing.cases import PASSWORD, RaceTestCase

THREADS = 8


def jti(pair):
    return jwt.decode(pair.refresh, options={"verify_signature": False})["jti"]


class RacesTest(RaceTestCase):
    def setUp(self):
        super().setUp()
        # The cache table belongs to no model, so nothing else empties it.
        cache.clear()
        self.addCleanup(cache.clear)
        make_hash_of_nobody()

    def renew_at_once(self):
        refresh = tokens.issue_tokens(self.alice).refresh
        return self.run_concurrently(*[partial(tokens.renew, refresh)] * THREADS)

    def test_concurrent_renewals_get_the_same_pair(self):
        [pair] = set(self.renew_at_once())
        for text in pair:
            tokens.verify(text)
        tokens.renew(pair.refresh)

    def test_without_family_lock_pairs_differ(self):
        line = Barrier(THREADS)

        def look(user_id, family):
            found = TokenFamily.objects.select_related("user").get(pk=family, user_id=user_id)
            # By now all threads have read the same current token.
            line.wait(timeout=10)
            return found

        rotate = tokens._rotate
        if connection.vendor == "sqlite":
            # There the transaction is the lock.
            rotate = rotate.__wrapped__
        with mock.patch.object(tokens, "lock_family", look), mock.patch.object(tokens, "_rotate", rotate):
            answers = self.renew_at_once()
        self.assertEqual(len(set(answers)), THREADS)
        self.assertEqual(TokenFamily.objects.filter(current__in=map(jti, answers)).count(), 1)

    def test_concurrent_uses_of_an_older_token_end_the_family(self):
        refresh = tokens.issue_tokens(self.alice).refresh
        tokens.renew(tokens.renew(refresh).refresh)
        answers = self.run_concurrently(*[partial(tokens.renew, refresh)] * THREADS)
        self.assertEqual(set(map(type, answers)), {tokens.TokenError})
        self.assertFalse(TokenFamily.objects.exists())

    def test_tokens_renewed_during_sign_out_end(self):
        for number in range(4):
            browser = BrowserClient()
            browser.sign_in()
            [key] = Session.objects.values_list("session_key", flat=True)
            twin = BrowserClient()
            twin.cookies = browser.cookies.copy()
            renewed, _ended = self.run_concurrently(
                lambda twin=twin: twin.say("/user/token/renew/").status_code,
                lambda key=key: web_tokens.end_sessions(self.alice.pk, [key]),
            )
            self.assertIn(renewed, (204, 401))
            self.assertFalse(TokenFamily.objects.exists(), number)

    def guess_at_once(self):
        def guess():
            body = {"username": "alice", "password": WRONG}
            return APIClient().post(TOKEN, body, format="json").status_code

        encode = MD5PasswordHasher.encode
        # Otherwise some would be refused as busy before they are counted.
        places = mock.patch.object(backends, "hashing_queue", HashingQueue(at_once=THREADS, waiting=0))
        compute = mock.patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=encode)
        with places, compute as computed:
            answers = Counter(self.run_concurrently(*[guess] * THREADS))
        return answers, computed.call_count

    def test_five_of_eight_concurrent_guesses_count(self):
        self.assertEqual(self.guess_at_once(), ({401: 5, 429: 3}, 5))

    def test_read_then_write_misses_guesses(self):
        """Shown on both databases, since neither locks a row between two statements."""
        APIClient().post(TOKEN, {"username": "alice", "password": WRONG}, format="json")
        line = Barrier(THREADS)

        def look_and_write(most, now):
            held = dict(PasswordAttempts.objects.values_list("pk", "failures"))
            line.wait(timeout=10)
            rows = []
            for key, limit in sorted(most.items()):
                row = PasswordAttempts(key, held.get(key, 0) + 1, limit, now + 300, 0)
                row.save()
                rows.append(row)
            return rows

        with mock.patch.object(login_throttle, "_increment", look_and_write):
            self.assertEqual(self.guess_at_once(), ({401: THREADS}, THREADS))

    def verify_at_once(self, text):
        def verify():
            client = APIClient()
            # A connection for each of 100 calls would be more than PostgreSQL has.
            return [client.post(VERIFY, {"token": text}).status_code for _ in range(100 // 20)]

        return Counter(status for told in self.run_concurrently(*[verify] * 20) for status in told)

    def test_concurrent_calls_of_an_address_are_counted(self):
        with mock.patch.dict(ScopedRateThrottle.THROTTLE_RATES, {"tokens": "60/minute"}):
            self.assertEqual(self.verify_at_once("x"), {401: 60, 429: 40})

    def test_concurrent_calls_of_a_login_are_counted(self):
        self.assertEqual(self.verify_at_once(tokens.issue_tokens(self.alice).access), {200: 30, 429: 70})

    def test_concurrent_registrations_are_unique(self):
        """The constraint decides when no check before the save sees the other registrations."""
        look, missed = sign_up._taken_errors, Barrier(THREADS)
        looks = Counter()

        def late(user):
            looks[user.username] += 1
            found = look(user)
            if looks[user.username] == 1:
                missed.wait()
            return found

        def register(index):
            spelling = "Eve@Example.org" if index % 2 else "eve@example.org"
            body = {
                "username": f"eve{index}",
                "email": spelling,
                "password1": PASSWORD,
                "password2": PASSWORD,
            }
            answer = APIClient().post(REGISTER, body)
            return answer.status_code, list(answer.json())

        with mock.patch.object(sign_up, "_taken_errors", late):
            answers = Counter(
                map(str, self.run_concurrently(*[partial(register, index) for index in range(THREADS)]))
            )
        self.assertEqual(
            answers, {"(201, ['access', 'refresh', 'user'])": 1, "(400, ['email'])": THREADS - 1}
        )
        self.assertEqual(User.objects.filter(email="eve@example.org").count(), 1)
        self.assertEqual(EmailAddress.objects.filter(email="eve@example.org").count(), 1)
        self.assertEqual(len(mail.outbox), 1)

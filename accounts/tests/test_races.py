"""What happens when several ask at the same time."""

from __future__ import annotations

from collections import Counter
from functools import partial
from threading import Barrier
from unittest import mock

from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from accounts import sign_up, tokens
from accounts.models import User
from accounts.tests.case import REGISTER
from lori_assignment.cast import PASSWORD, RaceTestCase

THREADS = 8


class RacesTest(RaceTestCase):
    def setUp(self):
        super().setUp()
        # The table of the cache is no model's: nothing else empties it.
        cache.clear()
        self.addCleanup(cache.clear)

    def test_of_one_refresh_token_used_at_once_one_wins(self):
        refresh = tokens.give_tokens(self.alice).refresh
        # None of them sees another's mark in time: only the constraint is left.
        with mock.patch.object(tokens.RefreshToken, "check_blacklist"):
            answers = self.all_at_once(*[partial(tokens.renew, refresh)] * THREADS)
        kinds = Counter(type(answer) for answer in answers)
        self.assertEqual(kinds, {tokens.Pair: 1, tokens.TokenError: THREADS - 1})
        self.assertEqual(BlacklistedToken.objects.count(), 1)

    def test_of_one_address_registered_at_once_one_gets_it(self):
        """Hole 6, with the look before the write missing every one of the others."""
        look, missed = sign_up._taken, Barrier(THREADS)
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

        with mock.patch.object(sign_up, "_taken", late):
            answers = Counter(
                map(str, self.all_at_once(*[partial(register, index) for index in range(THREADS)]))
            )
        self.assertEqual(
            answers, {"(201, ['access', 'refresh', 'user'])": 1, "(400, ['email'])": THREADS - 1}
        )
        self.assertEqual(User.objects.filter(email="eve@example.org").count(), 1)
        self.assertEqual(EmailAddress.objects.filter(email="eve@example.org").count(), 1)
        self.assertEqual(len(mail.outbox), 1)

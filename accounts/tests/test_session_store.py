"""The two time limits of a web session."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.utils import timezone

from accounts.session_store import OF_MEMBERS, OF_STAFF
from lori_assignment.testing.cases import PASSWORD, CastTestCase

PROFILE = "/user/profile/"


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

    def test_anonymous_session_lasts_thirty_days(self):
        client = Client()
        client.post(PROFILE, {"name": "Alice"})
        [row] = Session.objects.all()
        self.assertAlmostEqual(row.expire_date, self.start + timedelta(days=30), delta=timedelta(minutes=1))

"""The two ends of a web session."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.utils import timezone

from accounts.session_store import OF_MEMBERS, OF_STAFF
from lori_assignment.cast import PASSWORD, CastTestCase

PROFILE = "/user/profile/"


class SessionEndsTest(CastTestCase):
    def setUp(self):
        self.start = timezone.now()

    def sign_in(self, who, **more):
        client = Client()
        client.post("/user/login/", {"login": who, "password": PASSWORD, **more})
        return client

    def is_in(self, client, after: timedelta) -> bool:
        with mock.patch("django.utils.timezone.now", return_value=self.start + after):
            return client.get(PROFILE).status_code == 200

    def test_who_does_nothing_for_long_is_out(self):
        second = timedelta(seconds=30)
        for who, limits in (("alice", OF_MEMBERS), ("carol", OF_STAFF)):
            with self.subTest(who=who):
                self.assertTrue(self.is_in(self.sign_in(who), limits.unused - second))
                self.assertFalse(self.is_in(self.sign_in(who), limits.unused + second))

    def test_who_goes_on_is_in_until_the_second_end_and_no_longer(self):
        for who, limits in (("alice", OF_MEMBERS), ("carol", OF_STAFF)):
            with self.subTest(who=who):
                client, step, after = self.sign_in(who), limits.unused * 0.9, timedelta(0)
                while after + step < limits.in_all:
                    after += step
                    self.assertTrue(self.is_in(client, after))
                self.assertGreater(after, limits.unused)
                self.assertFalse(self.is_in(client, limits.in_all + timedelta(seconds=30)))

    def test_by_djangos_own_store_staff_would_stay(self):
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
            self.assertTrue(self.is_in(self.sign_in("carol"), OF_STAFF.in_all + timedelta(hours=1)))

    def test_a_change_of_what_is_in_it_is_no_way_around_the_second_end(self):
        client = self.sign_in("carol")
        with mock.patch("django.utils.timezone.now", return_value=self.start + timedelta(minutes=50)):
            client.post("/user/reauthenticate/", {"password": PASSWORD})
        [row] = Session.objects.all()
        self.assertLess(row.expire_date, self.start + timedelta(minutes=111))
        self.assertFalse(self.is_in(client, OF_STAFF.in_all + timedelta(seconds=30)))

    def test_a_use_is_written_down_now_and_then_only(self):
        client = self.sign_in("carol")
        for minutes, queries in ((1, 2), (5, 2), (7, 3), (8, 2), (14, 3)):
            with self.subTest(minutes=minutes), self.assertNumQueries(queries):
                self.is_in(client, timedelta(minutes=minutes))

    def test_the_cookie_outlives_the_browser_only_when_it_is_asked_for_and_never_the_second_end(self):
        self.assertEqual(self.sign_in("carol").cookies["sessionid"]["max-age"], "")
        for who, limits in (("alice", OF_MEMBERS), ("carol", OF_STAFF)):
            kept = self.sign_in(who, remember="on").cookies["sessionid"]["max-age"]
            self.assertAlmostEqual(kept, limits.in_all.total_seconds(), delta=30)

    def test_who_has_not_signed_in_has_the_ends_of_the_cookie(self):
        client = Client()
        client.post(PROFILE, {"name": "Alice"})
        [row] = Session.objects.all()
        self.assertAlmostEqual(row.expire_date, self.start + timedelta(days=30), delta=timedelta(minutes=1))

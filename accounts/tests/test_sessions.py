"""Listing and ending a person's browser sessions."""

from __future__ import annotations

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.sessions import end_other_sessions, end_session, sessions_of
from accounts.tests.case import NEW, USER
from accounts.tests.test_web_tokens import RENEW, BrowserClient, WebCase
from lori_assignment.testing.cases import PASSWORD


class SessionsTest(WebCase):
    def listed(self, browser=None):
        this = browser.session.session_key if browser else None
        return sessions_of(self.alice, at=timezone.now(), this=this)

    def test_sessions_are_listed_latest_first(self):
        first = BrowserClient(headers={"user-agent": "Firefox on a desk"})
        first.sign_in()
        second = BrowserClient(headers={"user-agent": "Safari on a phone"})
        second.sign_in()
        self.browser("bob")
        self.assertEqual(
            [(one.agent, one.address, one.is_this) for one in self.listed(first)],
            [("Safari on a phone", "127.0.0.1", False), ("Firefox on a desk", "127.0.0.1", True)],
        )

    def test_invalid_sessions_are_not_listed(self):
        signed_out, run_out, good = self.browser(), self.browser(), self.browser()
        form = {"csrfmiddlewaretoken": signed_out.cookies["csrftoken"].value}
        signed_out.post("/user/logout/", form)
        key = run_out.session.session_key
        Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(seconds=1))
        self.assertEqual([one.is_this for one in self.listed(good)], [True])
        self.alice.set_password(NEW)
        self.alice.save()
        self.assertEqual(self.listed(good), [])

    def test_list_takes_two_queries(self):
        for browsers in (1, 4):
            for _ in range(browsers):
                self.browser()
            with self.assertNumQueries(2):
                self.listed()

    def test_sign_in_query_count_is_constant(self):
        def queries():
            client = Client()
            with CaptureQueriesContext(connection) as taken:
                client.post("/user/login/", {"login": "alice", "password": PASSWORD})
            return len(taken)

        queries()
        few = queries()
        for _ in range(5):
            self.browser()
        self.assertEqual(queries(), few)

    def test_ending_others_takes_constant_queries(self):
        mine = self.browser()
        for others in (2, 5):
            for _ in range(others):
                self.browser()
            with self.assertNumQueries(8):
                end_other_sessions(self.alice, this=mine.session.session_key)
            self.assertEqual(len(self.listed(mine)), 1)

    def test_sign_in_removes_expired_sessions(self):
        key = self.browser().session.session_key
        Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(seconds=1))
        self.browser()
        self.assertFalse(UserSession.objects.filter(session_key=key).exists())

    def test_session_ends_with_its_tokens(self):
        mine, other = self.browser(), self.browser()
        [pk] = [one.pk for one in self.listed(mine) if not one.is_this]
        refresh = self.refresh_of(other)
        end_session(self.alice, pk)
        self.assertEqual(Client().post("/api-token-refresh/", refresh).status_code, 401)
        self.assertEqual(other.get("/user/email/").status_code, 302)
        self.assertEqual(other.say(RENEW).status_code, 401)
        self.assertEqual((mine.get("/user/email/").status_code, mine.say(RENEW).status_code), (200, 204))

    def refresh_of(self, browser):
        return {"refresh": browser.cookies["lori-refresh"].value}

    def test_all_other_sessions_end(self):
        mine, *others = (self.browser() for _ in range(3))
        refreshed = [self.refresh_of(one) for one in others]
        bobs = self.browser("bob")
        end_other_sessions(self.alice, this=mine.session.session_key)
        for one, pair in zip(others, refreshed, strict=True):
            self.assertEqual(one.say(RENEW).status_code, 401)
            self.assertEqual(Client().post("/api-token-refresh/", pair).status_code, 401)
        for one in (mine, bobs):
            self.assertEqual((one.say(RENEW).status_code, one.get(USER).status_code), (204, 200))

    def test_session_of_other_member_is_not_found(self):
        self.browser("bob")
        theirs = UserSession.objects.get(user=self.bob)
        with self.assertRaises(UserSession.DoesNotExist):
            end_session(self.alice, theirs.pk)
        self.assertTrue(UserSession.objects.filter(pk=theirs.pk).exists())

    def test_session_without_tokens_ends(self):
        client = Client()
        client.force_login(self.alice)
        UserSession.objects.create(user=self.alice, session_key=client.session.session_key, ip="127.0.0.1")
        end_other_sessions(self.alice, this=None)
        self.assertEqual(client.get("/user/email/").status_code, 302)
        self.assertTrue(User.objects.filter(pk=self.alice.pk).exists())

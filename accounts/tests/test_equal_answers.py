"""Responses, work and timing do not reveal whether an account exists."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from unittest import mock

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import MD5PasswordHasher, PBKDF2PasswordHasher, make_password
from django.core import mail
from django.core.cache import cache
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client, SimpleTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import hashers
from accounts import mail as shops_mail
from accounts.hashers import OwaspArgon2
from accounts.models import User
from accounts.sign_up import reset_email_address
from accounts.tests.case import LOGIN, RESET, TOKEN, WRONG, SignInCase, make_hash_of_nobody
from lori_assignment import settings as written
from lori_assignment.testing.cases import PASSWORD, RaceTestCase

RESEND = "/api/rest-auth/registration/resend-email/"
HASHERS = written.PASSWORD_HASHERS


class HashTest(SignInCase):
    def test_passwords_are_hashed_as_owasp_recommends(self):
        self.assertEqual(HASHERS[0], "accounts.hashers.OwaspArgon2")
        with override_settings(PASSWORD_HASHERS=HASHERS):
            self.assertTrue(make_password("x").startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$"))

    @override_settings(PASSWORD_HASHERS=HASHERS)
    def test_old_hash_is_upgraded_at_sign_in(self):
        costly = type("Costly", (OwaspArgon2,), {"memory_cost": 102400, "parallelism": 8})()
        for old in (
            costly.encode(PASSWORD, "0123456789abcdefghijkl"),
            PBKDF2PasswordHasher().encode(PASSWORD, "0123456789abcdefghijkl", iterations=1000),
        ):
            User.objects.filter(pk=self.alice.pk).update(password=old)
            self.assertEqual(self.sign_in(password=WRONG).status_code, 401)
            self.alice.refresh_from_db()
            self.assertEqual(self.alice.password, old)
            answer = self.sign_in()
            self.alice.refresh_from_db()
            self.assertIn("m=19456,t=2,p=1", self.alice.password)
            # The tokens fit the new hash.
            self.assertEqual(
                self.client_with_token(answer.json()["token"]).get("/api/rest-auth/user/").status_code, 200
            )
            self.assertEqual(self.sign_in().status_code, 200)


class PasswordWorkTest(SignInCase):
    """A wrong password, an unknown name, a deactivated account and one without a password cost the same."""

    def setUp(self):
        cache.clear()
        for user in (self.alice, self.bob, self.carol):
            reset_email_address(user)
        EmailAddress.objects.filter(user=self.bob).update(verified=True)
        User.objects.filter(pk=self.bob.pk).update(is_active=False)
        self.carol.set_unusable_password()
        self.carol.save()

    def work(self, call):
        """Return the response and the numbers of hashes and statements that it took."""
        encode = MD5PasswordHasher.encode
        hashes = mock.patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=encode)
        with hashes as computed, CaptureQueriesContext(connection) as taken:
            answer = call()
        statements = sum("SAVEPOINT" not in query["sql"] for query in taken)
        return answer, computed.call_count, statements

    def test_failures_take_equal_work_and_answers(self):
        logins = ("alice", "bob", "carol", "nobody")
        for door in (TOKEN, LOGIN):
            for names in (logins, [f"{name}@example.org" for name in logins]):
                self.work(lambda door=door: self.sign_in("somebody", WRONG, door=door))
                done = [self.work(partial(self.sign_in, name, WRONG, door=door)) for name in names]
                self.assertEqual({hashes for _, hashes, _ in done}, {1})
                self.assertEqual(len({statements for *_, statements in done}), 1, done)
                self.assertEqual(len({answer.content for answer, *_ in done}), 1)
                self.assert_headers_equal(answer for answer, *_ in done)

    def test_sign_in_page_takes_equal_work(self):
        def sign_in(name):
            return Client().post("/user/login/", {"login": name, "password": WRONG})

        self.work(partial(sign_in, "somebody"))
        done = [self.work(partial(sign_in, name)) for name in ("alice", "bob", "carol", "nobody")]
        self.assertEqual({(hashes, statements) for _, hashes, statements in done}, {(1, done[0][2])})
        self.assertEqual(len({answer.context["form"].non_field_errors()[0] for answer, *_ in done}), 1)

    @override_settings(PASSWORD_HASHERS=HASHERS)
    def test_second_spelling_takes_equal_work(self):
        for user in (self.alice, self.bob):
            user.set_password(PASSWORD)
            user.save()
        hash_once = hashers.hashing_queue.hash
        make_hash_of_nobody()
        for password, hashes in ((WRONG, 1), (f"{WRONG} e\u0301", 2)):
            for name in ("alice", "bob", "carol", "nobody"):
                with mock.patch.object(hashers.hashing_queue, "hash", side_effect=hash_once) as computed:
                    self.assertEqual(self.sign_in(name, password).status_code, 401)
                self.assertEqual(computed.call_count, hashes, (name, password))

    def test_without_the_dummy_hash_work_differs(self):
        with mock.patch("accounts.backends.check_password"):
            done = [self.work(partial(self.sign_in, name, WRONG))[1] for name in ("alice", "nobody")]
        self.assertEqual(done, [1, 0])


@override_settings(PASSWORD_HASHERS=HASHERS)
class PasswordTimeTest(SignInCase):
    def seconds(self, *names):
        """Return the least CPU time for each name, in seconds; the load of other processes does not count."""
        took = {name: [] for name in names}
        for number in range(8):
            client = APIClient(REMOTE_ADDR=f"192.0.2.{number}")
            for name in names:
                began = time.process_time()
                client.post(TOKEN, {"username": name, "password": WRONG})
                took[name].append(time.process_time() - began)
        return [min(took[name]) for name in names]

    def test_unknown_name_takes_equal_time(self):
        self.alice.set_password(PASSWORD)
        self.alice.save()
        _, wrong, unknown = self.seconds("somebody", "alice", "nobody")
        self.assertLess(max(wrong, unknown) / min(wrong, unknown), 1.4)
        with mock.patch("accounts.backends.check_password"):
            _, wrong, unknown = self.seconds("somebody", "alice", "nobody")
        # Without the dummy hash an unknown name is answered faster.
        self.assertGreater(wrong / unknown, 1.4)


class MailWorkTest(SignInCase):
    """Mails that anyone can request, for a known and an unknown address."""

    def setUp(self):
        cache.clear()
        reset_email_address(self.alice)

    def asked(self):
        web = partial(Client().post, "/user/password/reset/")
        for path, post in ((RESET, self.client.post), (RESEND, self.client.post), ("web", web)):
            for address in ("alice@example.org", "nobody@example.org"):
                path_or_none = () if path == "web" else (path,)
                yield path, partial(post, *path_or_none, {"email": address})

    def test_mail_requests_take_equal_statements(self):
        with (
            override_settings(MAIL_IN_BACKGROUND=True),
            mock.patch.object(shops_mail, "_executor") as postmen,
        ):
            done = {}
            for path, ask in self.asked():
                cache.clear()
                with CaptureQueriesContext(connection) as taken, self.captureOnCommitCallbacks(execute=True):
                    answer = ask()
                kept = done.setdefault(path, [])
                kept.append((answer.status_code, answer.content, len(taken), len(mail.outbox)))
        for path, (known, unknown) in done.items():
            self.assertEqual(known, unknown, path)
            self.assertEqual(known[3], 0, path)
        self.assertEqual(postmen.submit.call_count, 6)

    def test_mails_are_sent(self):
        for _path, ask in self.asked():
            ask()
        # Six requests, but an unknown address gets no confirmation mail.
        self.assertEqual(len(mail.outbox), 5)


class SlowBackend(EmailBackend):
    SECONDS = 1.5

    def send_messages(self, messages):
        time.sleep(self.SECONDS)
        return super().send_messages(messages)


@override_settings(MAIL_IN_BACKGROUND=True)
class BackgroundMailTest(RaceTestCase):
    """With real threads and a slow mail server."""

    @contextmanager
    def postmen(self):
        """Wait at the end until all mails are sent and their connections closed."""
        with ThreadPoolExecutor(max_workers=2) as pool, mock.patch.object(shops_mail, "_executor", pool):
            yield

    def test_answer_does_not_wait_for_mail(self):
        cache.clear()
        self.addCleanup(cache.clear)
        slow = f"{SlowBackend.__module__}.SlowBackend"
        with mock.patch("django.conf.settings.EMAIL_BACKEND", slow), self.postmen():
            began = time.monotonic()
            for address in ("alice@example.org", "nobody@example.org"):
                self.assertEqual(APIClient().post(RESET, {"email": address}).status_code, 200)
            self.assertLess(time.monotonic() - began, SlowBackend.SECONDS)
        self.assertEqual(
            sorted("/user/password/reset/key/" in message.body for message in mail.outbox), [False, True]
        )

    def test_failed_mail_does_not_stop_later_ones(self):
        with self.assertLogs("accounts.mail", "ERROR"), self.postmen():
            shops_mail.send_in_background(lambda: 1 / 0)
            shops_mail.send_in_background(lambda: mail.send_mail("x", "x", None, ["alice@example.org"]))
        self.assertEqual(len(mail.outbox), 1)


class HasherParametersTest(SimpleTestCase):
    def test_parameters_are_as_owasp_recommends(self):
        self.assertEqual(
            (OwaspArgon2.memory_cost, OwaspArgon2.time_cost, OwaspArgon2.parallelism), (19456, 2, 1)
        )

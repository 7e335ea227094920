"""Concurrent sign-ins queue for hashing and leave threads to other requests."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock, skipUnless

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from django.test import SimpleTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from accounts import hashing_queue
from accounts.hashers import OwaspArgon2
from accounts.hashing_queue import HashingQueue
from accounts.models import PasswordAttempts
from accounts.tests.case import TOKEN
from lori_assignment.errors import Throttled
from lori_assignment.server import gunicorn_conf
from lori_assignment.testing.cases import PASSWORD, CastTestCase


def in_thread(call: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


class HashingQueueTest(SimpleTestCase):
    def setUp(self) -> None:
        self.hashing_queue = HashingQueue(at_once=1, waiting=1)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.at_work = self.most = 0
        self.addCleanup(self.go_on.set)

    def work(self) -> None:
        with self.hashing_queue.slot():
            self.begun.release()
            self.hashing_queue.hash(self.hash)

    def hash(self) -> None:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        self.go_on.wait(timeout=10)
        self.at_work -= 1

    def test_full_queue_raises_too_many(self) -> None:
        threads = [in_thread(self.work) for _ in range(2)]
        for _ in threads:
            self.assertTrue(self.begun.acquire(timeout=10))
        with self.assertRaises(Throttled) as told, self.hashing_queue.slot():
            self.fail("There was a place.")
        self.assertEqual(told.exception.seconds, hashing_queue.RETRY_AFTER)
        with self.assertRaises(Throttled):
            self.hashing_queue.hash(self.fail)
        self.go_on.set()
        for thread in threads:
            thread.join(timeout=10)
        self.assertEqual(self.most, 1)
        self.assertEqual(self.hashing_queue.hash(lambda: 7), 7)

    def test_slot_is_reentrant(self) -> None:
        narrow = HashingQueue(at_once=1, waiting=0)
        for _ in range(3):
            with narrow.slot(), narrow.slot():
                self.assertEqual(narrow.hash(lambda: 7), 7)

    def test_slot_is_released_after_an_error(self) -> None:
        for _ in range(5):
            with self.assertRaises(ZeroDivisionError):
                self.hashing_queue.hash(lambda: 1 // 0)

    @skipUnless(sys.platform == "linux", "threads have a priority of their own on Linux")
    def test_hashing_runs_at_a_lower_priority(self) -> None:
        def nice() -> int:
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        before = nice()
        self.assertEqual(self.hashing_queue.hash(nice), max(before, hashing_queue.NICENESS))
        self.assertEqual(nice(), before)

    def test_worker_has_spare_threads(self) -> None:
        self.assertGreaterEqual(
            gunicorn_conf.threads, hashing_queue.MAX_CONCURRENT + hashing_queue.MAX_WAITING + 2
        )

    def test_password_hasher_uses_the_queue(self) -> None:
        full = HashingQueue(at_once=0, waiting=0)
        with mock.patch("accounts.hashers.hashing_queue", full):
            with self.assertRaises(Throttled):
                OwaspArgon2().encode("x" * 8, "s" * 16)
            with self.assertRaises(Throttled):
                OwaspArgon2().verify("x" * 8, Argon2PasswordHasher().encode("x" * 8, "s" * 16))


class FullQueueTest(CastTestCase):
    def setUp(self) -> None:
        patch = mock.patch("accounts.backends.hashing_queue", HashingQueue(at_once=0, waiting=0))
        patch.start()
        self.addCleanup(patch.stop)

    def test_api_answers_429_without_a_lookup(self) -> None:
        with CaptureQueriesContext(connection) as asked:
            answer = self.client.post(TOKEN, {"username": "alice", "password": PASSWORD})
        self.assertEqual((answer.status_code, answer.headers["Retry-After"]), (429, "1"))
        self.assertEqual(answer.json()["code"], "throttled")
        self.assertNotIn("account", " ".join(query["sql"] for query in asked))

    @override_settings(RATE_LIMITS="on")
    def test_refusal_is_not_a_failed_attempt(self) -> None:
        self.client.post(TOKEN, {"username": "alice", "password": PASSWORD})
        self.assertFalse(PasswordAttempts.objects.exists())

    def test_page_answers_429(self) -> None:
        answer = self.client.post("/user/login/", {"login": "alice", "password": PASSWORD})
        self.assertEqual((answer.status_code, answer.headers["Retry-After"]), (429, "1"))

"""Tests races over HTTP, across two gunicorn servers with one database."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import User
from accounts.tokens import issue_tokens
from books.stock import add_book
from lori_assignment.testing.cases import RaceTestCase
from rentals.models import LedgerEntry, Rental
from rentals.services import rent_book


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def database_url() -> str:
    """Return the URL of the test database."""
    facts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{facts['NAME']}"
    secret = f":{facts['PASSWORD']}" if facts["PASSWORD"] else ""
    return f"postgres://{facts['USER']}{secret}@{facts['HOST']}:{facts['PORT']}/{facts['NAME']}"


class ServedRaceTest(RaceTestCase):
    sites: list[str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.sites = [cls.serve(cls.addClassCleanup)[0] for _ in range(2)]

    @classmethod
    def serve(cls, clean_up: Callable[..., Any]) -> tuple[str, subprocess.Popen[bytes]]:
        """Start a gunicorn server with one worker; return its URL, once it responds, and its process."""
        port = free_port()
        environment = os.environ | {
            "DEBUG": "on",
            "SECRET_KEY": settings.SECRET_KEY,
            "DATABASE_URL": database_url(),
            "BIND": "127.0.0.1",
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
            "LOG_LEVEL": "ERROR",
        }
        server = subprocess.Popen(  # noqa: S603  # Our own interpreter and code.
            [
                *(sys.executable, "-m", "gunicorn", "--config", "lori_assignment/server/gunicorn_conf.py"),
                *("--log-level", "error", "--access-logfile", os.devnull, "lori_assignment.wsgi"),
            ],
            cwd=settings.BASE_DIR,
            env=environment,
        )
        clean_up(server.wait, timeout=30)
        clean_up(server.terminate)
        site = f"http://127.0.0.1:{port}"
        # Starting can take long on a busy machine.
        for _ in range(600):
            try:
                urlopen(f"{site}/api/v3/books/").close()  # noqa: S310  # Our own server.
                return site, server
            except URLError:
                time.sleep(0.1)
        raise AssertionError("The server did not come up.")

    def post(
        self, number: int, user: User, path: str, *, key: str | None = None, **body: Any
    ) -> Callable[[], str]:
        """Return a function that posts to one of the two servers and returns the status and the code."""
        request = Request(  # noqa: S310  # Our own server.
            f"{self.sites[number % 2]}{path}",
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"JWT {issue_tokens(user).access}",
                "Content-Type": "application/json",
            }
            | ({"Idempotency-Key": key} if key else {}),
        )

        def call() -> str:
            try:
                with urlopen(request, timeout=60) as answer:  # noqa: S310  # As above.
                    return str(answer.status)
            except HTTPError as refused:
                with refused:
                    return f"{refused.status} {json.loads(refused.read())['code']}"

        return call

    def test_the_last_copy_goes_to_one_of_fifty(self) -> None:
        book = add_book(name="Emma", kind=3)
        members = [User.objects.create_user(f"m{number}", f"m{number}@example.org") for number in range(50)]
        calls = [
            self.post(number, member, "/api/v3/book_rentals/", book=book.pk)
            for number, member in enumerate(members)
        ]
        self.assertEqual(Counter(self.run_concurrently(*calls)), {"201": 1, "409 book_unavailable": 49})
        self.assertEqual(Rental.objects.count(), 1)

    def test_worker_ignores_ctrl_c(self) -> None:
        _, server = self.serve(self.addCleanup)
        master = server.pid
        (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        os.kill(int(worker), signal.SIGINT)
        time.sleep(0.5)
        self.assertEqual(Path(f"/proc/{master}/task/{master}/children").read_text().split(), [worker])
        started = time.monotonic()
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
        self.assertLess(time.monotonic() - started, 5)

    def test_ten_returns_make_one_charge(self) -> None:
        now = timezone.now()
        rental = rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        path = f"/api/v3/book_rentals/{rental.ref}/return"
        calls = [self.post(number, self.carol, path) for number in range(10)]
        self.assertEqual(Counter(self.run_concurrently(*calls)), {"200": 1, "409 already_returned": 9})
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_one_idempotency_key_makes_one_rental(self) -> None:
        book = add_book(name="Emma", kind=3)
        calls = [
            self.post(number, self.alice, "/api/v3/book_rentals/", key="one", book=book.pk)
            for number in range(8)
        ]
        self.assertEqual(Counter(self.run_concurrently(*calls)), {"201": 8})
        self.assertEqual(Rental.objects.count(), 1)

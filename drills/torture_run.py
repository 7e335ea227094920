"""Runs the drill of drills/torture, which describes it."""

# ruff: noqa: INP001, T201, S311  # A script, not part of a package; prints its results; not security.
from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
django.setup()

import psycopg2  # noqa: E402  # After django.setup(), like those below.
from django.db import connection  # noqa: E402
from rest_framework_simplejwt.tokens import AccessToken  # noqa: E402
from torture_clients import Book, Client, Load, run_concurrently  # noqa: E402
from torture_rolling import rolling_restart  # noqa: E402
from torture_server import Database, Failed, Server, fill_disk  # noqa: E402

from accounts.models import User  # noqa: E402
from accounts.tokens import issue_tokens  # noqa: E402
from books.models import Kind  # noqa: E402
from books.stock import add_book  # noqa: E402
from rentals.models import LedgerEntry, Rental  # noqa: E402

KILLS = int(os.environ.get("KILLS", "8"))
WRITES = int(os.environ.get("WRITES", "1000"))
RENTALS = int(os.environ.get("RENTALS", "400"))
MEMBERS = 16
AT_ONCE = 50
COPIES = 50
HEALED_WITHIN = 5.0
# Reads and their status. For each, a worker starts series of metrics.
READS = {
    "/": 200,
    "/home": 200,
    "/books/1/": 200,
    "/api/v3/books/": 200,
    "/api/v3/books/1": 200,
    "/user/login/": 200,
    "/rentals/": 302,
    "/no/such/page": 404,
    "/api/v3/book_rentals/": 401,
}

began = time.monotonic()


def say(what: str) -> None:
    print(f"torture: {time.monotonic() - began:5.1f} s  {what}", flush=True)


def demand(condition: object, sentence: str) -> None:
    if not condition:
        raise Failed(sentence)


def tokens_of(count: int, name: str, **facts: Any) -> dict[int, str]:
    """Create accounts; return a token for each that outlasts the drill."""
    made = User.objects.bulk_create(
        User(username=f"{name}{number}", email=f"{name}{number}@example.org", **facts)
        for number in range(count)
    )
    return {user.pk: issue_tokens(user).access for user in made}


class Torture:
    def __init__(self) -> None:
        AccessToken.lifetime = timedelta(hours=6)
        self.books = [
            add_book(name=f"Volume {number}", kind=Kind.REGULAR, copies=MEMBERS) for number in range(8)
        ]
        self.members = tokens_of(MEMBERS, "member")
        (self.staff,) = tokens_of(1, "staff", is_staff=True).values()
        ((self.prober, probing),) = tokens_of(1, "prober").items()
        self.probed = add_book(name="Probed", kind=Kind.REGULAR, copies=1)
        self.told = Book()
        self.database = Database()
        self.temporary = Path(os.environ["TORTURE"]) / "tmp"
        self.server = Server(temporary=self.temporary)
        self.probe = Client(self.server.port, probing)
        self.desk = Client(self.server.port, self.staff)
        self.load = Load(
            self.server.port,
            members=self.members,
            staff=self.staff,
            books=[book.pk for book in self.books],
            book=self.told,
        )

    # ------------------------------------------------------------ checks

    def write(self) -> int:
        """Rent and return a book. Returns 201, the status of a failed request, or 0 without a response."""
        keys = {"Idempotency_Key": uuid.uuid4().hex}
        try:
            status, headers, answer = self.probe.call(
                "POST", "/api/v3/book_rentals/", {"book": self.probed.pk}, **keys
            )
            if status == 409 and answer["code"] == "already_rented":
                # An earlier rental succeeded without a response: return that one.
                answer = {
                    "ref": self.probe.call("GET", "/api/v3/book_rentals/?status=2")[2]["results"][0]["ref"]
                }
            elif status != 201:
                return self._told(status, headers, answer)
            path = f"/api/v3/book_rentals/{answer['ref']}/return"
            status, headers, answer = self.desk.call("POST", path, Idempotency_Key=uuid.uuid4().hex)
        except (OSError, LookupError, TypeError):
            return 0
        return 201 if status == 200 else self._told(status, headers, answer)

    def _told(self, status: int, headers: dict[str, str], answer: Any) -> int:
        if status == 503:
            demand(headers.get("Retry-After", "").isdigit(), "503 without Retry-After")
            demand(answer["code"] == "unavailable", f"503 with {answer}")
        return status

    def heals(self) -> str:
        """Wait until writes succeed and /readyz is 200 again, without help; return a summary."""
        since = time.monotonic()
        while (status := self.write()) != 201:
            demand(
                time.monotonic() - since < HEALED_WITHIN, f"{HEALED_WITHIN} s later a write is still {status}"
            )
            time.sleep(0.05)
        healed = time.monotonic() - since
        self.server.wait_for("/readyz", 200, seconds=HEALED_WITHIN - min(healed, HEALED_WITHIN - 0.5))
        demand(self.server.process.poll() is None, "the server has ended")
        return f"writes again {healed:.2f} s later"

    def is_alive(self) -> None:
        for host in ("localhost", "10.0.0.7", "anybody.example"):
            answer = self.server.ask("/healthz", Host=host)
            demand(answer and answer[0] == 200, f"/healthz for {host} is {answer}")

    def refuses_writes(self, why: str) -> None:
        """Check that writes get 503, also as a problem document, and that /readyz gives the reason `why`."""
        _, answer = self.server.wait_for("/readyz", 503, seconds=HEALED_WITHIN)
        demand(answer["checks"]["database"] == why, f"/readyz says {answer}")
        self.is_alive()
        demand((status := self.write()) == 503, f"a write was answered {status}")
        problem = {"Accept": "application/problem+json", "Idempotency_Key": uuid.uuid4().hex}
        status, headers, answer = self.probe.call(
            "POST", "/api/v3/book_rentals/", {"book": self.probed.pk}, **problem
        )
        demand(status == answer["status"] == 503, f"as a problem it was answered {status} {answer}")
        demand(headers["Content-Type"] == "application/problem+json", f"the problem is {headers}")

    # ------------------------------------------------------------ faults

    def kill_workers(self) -> None:
        gone = 0
        for number in range(KILLS):
            while self.told.acknowledged < (number + 1) * 0.6 * WRITES / KILLS:
                demand(not self.told.wrong, f"{self.told.wrong[:3]}")
                time.sleep(0.01)
            until = time.monotonic() + HEALED_WITHIN
            while len(workers := self.server.workers()) < 2:
                demand(time.monotonic() < until, "a killed worker was not replaced")
                time.sleep(0.02)
            os.kill(random.choice(workers), 9)
            gone += 1
        say(f"{gone} workers killed; {self.heals()}")

    def stop_database(self) -> None:
        self.database.control("stop", "-m", "immediate")
        self.refuses_writes("failed")
        answer = self.server.ask("/home")
        demand(
            answer and answer[0] == 503 and b"Temporarily unavailable" in answer[2],
            f"/home is {answer and answer[0]}",
        )
        time.sleep(1)
        self.database.control("start")
        say(f"PostgreSQL stopped immediately and started again: {self.heals()}")

    def end_connections(self) -> None:
        ended = 0
        for _ in range(10):
            ended += self.database.end_connections()
            time.sleep(0.2)
        demand(ended > 10, "there were too few connections")
        say(f"{ended} connections ended: {self.heals()}")

    def fill_disk(self) -> None:
        refused = self.told.counts["503 unavailable"]
        self.database.fill_disk()
        until = time.monotonic() + 20
        while (
            self.told.counts["503 unavailable"] == refused or b"(53100)" not in self.server.log.read_bytes()
        ):
            demand(time.monotonic() < until, "no request failed because of the full disk")
            time.sleep(0.05)
        self.is_alive()
        answer = self.server.ask("/api/v3/books/")
        demand(answer and answer[0] == 200, "reads fail while the disk is full")
        time.sleep(0.5)
        self.database.empty_disk()
        say(f"disk full, {self.told.counts['503 unavailable'] - refused} requests refused: {self.heals()}")

    def fill_temporary_folder(self) -> None:
        """Take all room, then all files, of the folder for temporary files, and start workers meanwhile."""
        ballast = [self.temporary / "ballast"]
        fill_disk(ballast[0])
        self.reads_while_full("of room")
        self.kill_worker()
        self.reads_while_full("of room, with a new worker")
        demand((status := self.upload()) == 503, f"an upload was answered {status}")
        try:
            while True:
                ballast.append(self.temporary / f"ballast-{len(ballast)}")
                ballast[-1].touch(exist_ok=False)
        except OSError:
            pass
        # One worker more, for whose heartbeat there is no file.
        self.server.process.send_signal(signal.SIGTTIN)
        self.wait_until(
            lambda: b"A worker could not be started" in self.server.log.read_bytes(), "no worker was missed"
        )
        self.kill_worker()
        self.reads_while_full("of files")
        for path in ballast:
            path.unlink(missing_ok=True)
        self.wait_until(lambda: len(self.server.workers()) == 3, "the missing worker was not started")
        self.server.process.send_signal(signal.SIGTTOU)
        self.wait_until(lambda: len(self.server.workers()) == 2, "the worker that is not needed did not end")
        healed = self.heals()
        demand((status := self.upload()) == 400, f"an upload was answered {status} when there was room again")
        demand(b"SIGBUS" not in self.server.log.read_bytes(), "a worker was ended by its metrics")
        say(f"temporary folder full: {healed}")

    def kill_worker(self) -> None:
        workers = self.server.workers()
        os.kill(workers[0], signal.SIGKILL)
        self.wait_until(
            lambda: len(set(self.server.workers()) - {workers[0]}) >= len(workers),
            "a killed worker was not replaced",
        )

    def wait_until(self, condition: Callable[[], bool], sentence: str) -> None:
        until = time.monotonic() + HEALED_WITHIN
        while not condition():
            demand(self.server.process.poll() is None, "the server has ended")
            demand(time.monotonic() < until, sentence)
            time.sleep(0.05)

    def upload(self) -> int:
        """Send a form with a file that is too large to be kept in memory; return the status."""
        file = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n%b\r\n--x--\r\n'
        head = (
            "POST /api/v3/books/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: JWT {self.staff}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        )
        body = file % bytes(3 << 20)
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=HEALED_WITHIN) as sender:
            # The server need not read all of it before it answers.
            with contextlib.suppress(ConnectionError):
                sender.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = http.client.HTTPResponse(sender)
            answer.begin()
            return self._told(answer.status, dict(answer.getheaders()), json.load(answer))

    def reads_while_full(self, what: str) -> None:
        """Check that /readyz gives the reason, that all workers answer reads, and that writes go on."""
        _, answer = self.server.wait_for("/readyz", 503, seconds=HEALED_WITHIN)
        demand(answer["checks"]["temporary_files"] == "full", f"/readyz says {answer} without {what[3:]}")
        self.is_alive()
        written = self.told.acknowledged
        for _ in range(2):
            for path, status in READS.items():
                answer = self.server.ask(path)
                demand(
                    answer and answer[0] == status,
                    f"{path} is {answer and answer[0]} while the temporary folder is out {what}",
                )
        self.wait_until(
            lambda: self.told.acknowledged > written, f"no writes while the temporary folder is out {what}"
        )

    def forbid_writing(self) -> None:
        self.database.read_only(on=True)
        self.refuses_writes("read_only")
        answer = self.server.ask("/api/v3/books/")
        demand(answer and answer[0] == 200, "reads fail while the database is read-only")
        self.database.read_only(on=False)
        say(f"database read-only, then writable: {self.heals()}")

    def hold_lock(self) -> None:
        """Lock a member's row: a request that waits for it gets 503 after the lock timeout."""
        holder = psycopg2.connect(self.database.url)
        with holder.cursor() as cursor:
            cursor.execute("SELECT 1 FROM accounts_user WHERE id = %s FOR UPDATE", [self.prober])
            since = time.monotonic()
            demand((status := self.write()) == 503, f"a request waiting for a lock got {status}")
        holder.close()
        say(f"a lock that is not released: 503 after {time.monotonic() - since:.1f} s")

    # ------------------------------------------------------------ results

    def compare(self) -> None:
        """Check that the database contains each acknowledged write once, and no others."""
        told = self.told
        demand(not told.wrong, f"{len(told.wrong)} errors: {told.wrong[:5]}")
        connection.close()
        demand(not (found := self.differences(told)), f"lost or done twice: {found}")
        # Prove that the comparison would find a difference.
        ref, pk = max(told.rentals), max(told.payments)
        for forged in (
            replace(told, rentals=told.rentals | {0}),
            replace(told, rentals=told.rentals - {ref}),
            replace(told, returns={**told.returns, ref: told.returns[ref] + 1}),
            replace(told, payments={**told.payments, 0: told.payments[pk]}),
        ):
            demand(self.differences(forged), "the comparison does not detect differences")
        say(
            f"{told.acknowledged} writes acknowledged, none lost or done twice: "
            f"{len(told.rentals)} rentals, {len(told.returns)} returns, {len(told.payments)} payments"
        )
        for what, count in sorted(told.counts.items()):
            print(f"{count:16}  {what}")

    def differences(self, told: Book) -> list[str]:
        rentals = Rental.objects.exclude(user=self.prober)
        entries = LedgerEntry.objects.exclude(user=self.prober)
        charges = entries.filter(kind=LedgerEntry.Kind.RENT).values_list("rental__ref", "amount")
        payments = Counter(
            {(pk, -amount): 1 for pk, amount in entries.payments().values_list("pk", "amount")}
        )
        there = {
            "rentals": Counter(rentals.values_list("ref", flat=True)),
            "returns": Counter(rentals.exclude(returned_at=None).values_list("ref", flat=True)),
            "charges": Counter(charges),
            "payments": payments,
        }
        acknowledged = {
            "rentals": Counter(told.rentals),
            "returns": Counter(told.returns.keys()),
            "charges": Counter(told.returns.items()),
            "payments": Counter(told.payments.items()),
        }
        return [
            f"{what}: {number} {thing}"
            for what in there
            for thing, number in (
                (acknowledged[what] - there[what]) + (there[what] - acknowledged[what])
            ).items()
        ][:10]

    def run(self) -> None:
        say("the shop is served under load")
        self.load.start()
        self.kill_workers()
        self.stop_database()
        self.end_connections()
        self.fill_disk()
        self.fill_temporary_folder()
        self.forbid_writing()
        self.hold_lock()
        while self.told.acknowledged < WRITES and not self.told.wrong:
            time.sleep(0.1)
        self.load.stop()
        self.compare()

    # ------------------------------------------------------------ contention

    def contend(self) -> None:
        """Let twice as many members as a book has copies rent it, 50 at the same time."""
        titles = RENTALS // (2 * COPIES)
        books = [
            add_book(name=f"Wanted {number}", kind=Kind.REGULAR, copies=COPIES) for number in range(titles)
        ]
        # Each requests ten books, the limit of open rentals.
        members = list(tokens_of(max(RENTALS // 10, 2 * COPIES), "reader").values())
        wishes = [
            (book.pk, members[(number * 2 * COPIES + turn) % len(members)])
            for number, book in enumerate(books)
            for turn in range(2 * COPIES)
        ]
        queue, lock = iter(wishes), threading.Lock()
        got: dict[int, list[float]] = defaultdict(list)
        refused: dict[int, list[float]] = defaultdict(list)
        wrong: list[str] = []

        def take(_number: int) -> None:
            client = Client(self.server.port)
            while True:
                with lock:
                    wish = next(queue, None)
                if wish is None:
                    return
                book, client.token = wish
                sent = time.monotonic()
                try:
                    status, _, answer = client.call("POST", "/api/v3/book_rentals/", {"book": book})
                except OSError as problem:
                    status, answer = 0, {"problem": problem}
                with lock:
                    if status == 201:
                        got[book].append(sent)
                    elif status == 409 and [why["code"] for why in answer["reasons"]] == ["book_unavailable"]:
                        refused[book].append(time.monotonic())
                    else:
                        wrong.append(f"{status} {answer}")

        since = time.monotonic()
        run_concurrently(AT_ONCE, take)
        took = time.monotonic() - since
        demand(not wrong, f"refused wrongly: {wrong[:5]}")
        for book in books:
            out = Rental.objects.open().filter(copy__book=book).count()
            demand(
                out == len(got[book.pk]) == COPIES,
                f"{out} of {COPIES} copies are on loan, {len(got[book.pk])} acknowledged",
            )
            for when in refused[book.pk]:
                # Enough successful requests were sent before this one was refused.
                demand(sum(sent < when for sent in got[book.pk]) >= COPIES, "refused while a copy was free")
        say(
            f"{len(wishes)} contended rentals by {AT_ONCE} at once: {sum(map(len, got.values()))} made, "
            f"{sum(map(len, refused.values()))} refused, none oversold or refused wrongly, "
            f"{len(wishes) / took:.0f} per second"
        )

    def restart(self) -> None:
        told = Book()
        what = rolling_restart(members=self.members, staff=self.staff, book=self.books[0].pk, told=told)
        say(f"rolling restart: {what}")
        demand(not told.wrong, f"{told.wrong[:5]}")


def main() -> int:
    torture = Torture()
    try:
        torture.run()
        torture.contend()
        torture.server.stop()
        torture.restart()
    except Failed as problem:
        print(f"torture: {problem}", file=sys.stderr)
        print(*torture.server.log_errors()[-60:], sep="\n", file=sys.stderr)
        return 1
    finally:
        torture.load.over.set()
        if torture.server.process.poll() is None:
            torture.server.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())

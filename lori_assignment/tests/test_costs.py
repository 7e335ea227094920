"""No address costs much: each is asked for the most that is allowed, in a shop with hundreds of rows.

Exceptions, each with its own bound:

- Passwords: tests have a fast hash. One real hash is measured below; `accounts.hashing_queue` admits one at
  a time for each worker.
- PDFs: another process writes them, with at most 15 seconds of a processor (`rentals.statements.pdf`).
- Imports and backups are commands.
- The API's document is built once for each type and language.
- An action of the administration changes up to 25 rows.
"""

from __future__ import annotations

import gc
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from html import unescape
from typing import Any
from unittest import mock
from urllib.parse import quote_plus, urlencode

from django import conf
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.http import HttpResponse

from accounts.hashers import OwaspArgon2
from accounts.models import User
from books.models import Book, Copy
from lori_assignment.admin import PAGE
from lori_assignment.db.word_search import MAX_LENGTH
from lori_assignment.rest import schema
from lori_assignment.rest.parsers import MAX_VALUES
from lori_assignment.settings import DATA_UPLOAD_MAX_MEMORY_SIZE as MAX_BODY_BYTES
from lori_assignment.settings import DATA_UPLOAD_MAX_NUMBER_FIELDS as MAX_FIELDS
from lori_assignment.tests.roles import (
    ADMINISTERED,
    FORM,
    JSON,
    REFUSED,
    RoleClient,
    RoleTestCase,
    TableRow,
    World,
    body_of,
    rolled_back,
    table_rows,
)
from rentals.models import Hold, LedgerEntry, Rate, Rental

# Seconds of the processor, of the best of five requests after the first, which may fill a cache.
SIGNED_OUT, SIGNED_IN = 0.1, 0.25
TRIES = 6
# Seconds of the processor that the computation in `slowness` takes on two quiet cores.
REFERENCE = 0.011
# More rows than the longest page of a list.
NUMBER = 600
# Rentals of one member.
HISTORY = 250
# High enough that the keys of rows that the requests add do not meet it.
FIRST_KEY = 1_000_000
TITLE = "The long story of a book about old houses in the town by the sea"
# As many words as count, all of which match.
WORDS = "the long story of a book about old houses in town sea"


def fill(world: World) -> None:
    """Add NUMBER books with two copies each, members and rentals, and a long history of Alice's."""
    now, alice, desk = world.now, world.alice, world.desk
    text = "Once upon a time there was a shop. " * 15
    books = Book.objects.bulk_create(
        Book(
            pk=FIRST_KEY + number,
            name=f"{TITLE} {number}",
            author=f"Author of the {number} old books",
            description=text,
            kind=number % 3 + 1,
            language=("en", "de", "fr")[number % 3],
            published=1500 + number % 500,
        )
        for number in range(NUMBER)
    )
    copies = Copy.objects.bulk_create(
        Copy(book=books[number % NUMBER], barcode=f"C-{number}", status="in_service")
        for number in range(3 * NUMBER)
    )
    members = User.objects.bulk_create(
        User(
            username=f"old-{number}",
            email=f"old-{number}@example.org",
            name=f"{number} Old Sea",
            password="!",
        )
        for number in range(NUMBER)
    )
    rate = Rate.objects.order_by("pk")[0]
    last = LedgerEntry.objects.filter(user=alice).order_by("number").last()
    rentals, entries = [], []
    balance, amount = last.balance if last else Decimal(0), Decimal(3)
    for number in range(HISTORY + NUMBER + 7):
        is_past = number < HISTORY
        key = FIRST_KEY + number
        rentals.append(
            Rental(
                pk=key,
                user=alice if is_past else ([*members, *[alice] * 7])[number - HISTORY],
                copy=copies[number],
                rate=rate,
                rented_at=now - timedelta(days=30, minutes=number),
                due_at=now - timedelta(days=16, minutes=number),
                returned_at=now - timedelta(hours=1, minutes=number) if is_past else None,
                rent_entry_id=key if is_past else None,
            )
        )
        if is_past:
            # A charge, and its payment.
            for kind, sign in (("rent", 1), ("payment", -1)):
                balance += sign * amount
                entries.append(
                    LedgerEntry(
                        pk=key if kind == "rent" else key + NUMBER,
                        user=alice,
                        number=len(entries) + 1 + (last.number if last else 0),
                        kind=kind,
                        amount=sign * amount,
                        balance=balance,
                        rental_id=key if kind == "rent" else None,
                        method="" if kind == "rent" else "cash",
                        actor=desk,
                        posted_at=now,
                    )
                )
    # In this order, since a trigger compares a returned rental with its entry.
    LedgerEntry.objects.bulk_create(entries)
    Rental.objects.bulk_create(rentals)
    Hold.objects.bulk_create(
        Hold(user=member, book=books[(number + 1) % NUMBER], placed_at=now)
        for number, member in enumerate([*members, *[alice] * 9])
    )
    Hold.objects.bulk_create(
        Hold(user=alice, book=book, placed_at=now, ended_at=now, outcome="cancelled")
        for book in books[:HISTORY]
    )


# Legal values of each parameter of the API's lists. All at once take the last of each.
PARAMETERS: dict[str, list[str]] = {
    "search": [TITLE[:MAX_LENGTH], WORDS],
    "book_type": ["1"],
    "language": ["en"],
    "decade": ["1980"],
    "available": ["true", "false"],
    "ordering": ["id", "-id", "name", "-name", "author", "-author", "published", "-published"],
    "overdue": ["true", "false"],
    "void": ["true", "false"],
    "barcode": ["C-1"],
    "method": ["card", "cash"],
    "from": ["2000-01-01"],
    "until": ["2100-01-01T00:00:00Z"],
}
STATUSES = {"book_rentals": ["1", "2"], "copies": ["in_service"], "holds": list(Hold.Status)}
MANY_WORDS = f"{'a+' * 2000}a"


class MeasuringClient(RoleClient):
    """Remembers how many seconds of the processor the last request took."""

    took = 0.0

    def send_raw(
        self, method: str, address: str, role: str, body: bytes, content_type: str, **more: str
    ) -> HttpResponse:
        # Measuring the coverage would take as long as the request.
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            begun = time.process_time()
            answer: Any = super().send_raw(method, address, role, body, content_type, **more)
            if answer.streaming:
                b"".join(answer)
            self.took = time.process_time() - begun
        finally:
            sys.settrace(tracer)
        return answer  # type: ignore[no-any-return]  # a streaming response has no content


class CostTestCase(RoleTestCase):
    asker: MeasuringClient

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # As in the server: what is loaded by now is never freed, and takes long to scan.
        gc.collect()
        gc.freeze()
        cls.addClassCleanup(gc.unfreeze)

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        fill(cls.world)

    def setUp(self) -> None:
        self.asker = MeasuringClient(self.world)
        self.too_slow: list[str] = []
        # The limits would answer 429, which costs nothing. The client copies each template's context.
        for limit in (
            mock.patch("django.test.client.store_rendered_templates", lambda *facts, **more: None),
            mock.patch("allauth.core.ratelimit.consume", lambda *facts, **more: True),
            mock.patch.object(conf.settings, "RATE_LIMITS", "off"),
            mock.patch("lori_assignment.rest.throttling.CountingThrottle.allow_request", lambda *facts: True),
        ):
            limit.start()
            self.addCleanup(limit.stop)

    def measure(
        self, name: str, role: str, send: Callable[[], HttpResponse], *, bound: float | None = None
    ) -> HttpResponse:
        """Send a request until it costs at most its bound, but at most TRIES times."""
        bound = bound or (SIGNED_OUT if role == "anonymous" else SIGNED_IN)
        costs = []
        for _ in range(TRIES):
            with rolled_back():
                answer = send()
            self.assertLess(answer.status_code, 500, name)
            costs.append(self.asker.took)
            if costs[-1] <= bound or costs[-1] <= bound * slowness():
                return answer
        self.too_slow.append(f"{name} as {role}: {min(costs) * 1000:.0f} ms")
        return answer

    def assert_cheap(self) -> None:
        self.assertEqual(self.too_slow, [])

    def get(self, path: str, role: str, query: str = "") -> HttpResponse:
        name = f"GET {path}?{query[:100]}"
        return self.measure(name, role, partial(self.asker.ask, "GET", path, role, query=query))


class AddressCostTest(CostTestCase):
    def ask_all(self, fits: Callable[[TableRow], Any], *roles: str) -> None:
        for row in filter(fits, table_rows()):
            for role in roles:
                send = partial(self.asker.ask, row.method, row.path, role)
                self.measure(f"{row.method} {row.path}", role, send)
        self.assert_cheap()

    def test_no_page_costs_much(self) -> None:
        self.ask_all(lambda row: not row.is_api and not row.is_administration, "anonymous", "self", "staff")

    def test_no_call_costs_much(self) -> None:
        self.ask_all(lambda row: row.is_api, "anonymous", "self", "staff")

    def test_no_page_of_the_administration_costs_much(self) -> None:
        self.ask_all(lambda row: row.is_administration, "anonymous", "self", "superuser")

    def test_expensive_address_is_reported(self) -> None:
        """Shows that the others can fail."""
        hashed = mock.patch("rentals.views.account.months_of", lambda *facts, **more: burn(SIGNED_IN))
        quiet = mock.patch(f"{__name__}.slowness", return_value=1)
        with hashed, quiet, mock.patch(f"{__name__}.TRIES", 1):
            self.get("/balance", "self")
        self.assertRegex(self.too_slow[0], r"^GET /balance\? as self: [0-9]+ ms$")


class QueryCostTest(CostTestCase):
    def test_no_query_of_the_api_costs_much(self) -> None:
        ids = {"user": self.world.alice.pk, "taken_by": self.world.desk.pk, "book": FIRST_KEY + 1}
        for path, methods in self.client.get("/swagger.json").json()["paths"].items():
            given = methods.get("get", {}).get("parameters", [])
            names = {one["name"] for one in given if one["in"] == "query"} - {"cursor", "page_size"}
            # v2 has the lists of v1.
            if len(names) == len(given) or path.startswith("/api/v2/") or "page_size" not in str(given):
                continue
            path = path.replace("{user_id}", "<user>").rstrip("/")
            values = {name: self.values(name, path, ids) for name in sorted(names)}
            queries = [{name: value} for name in values for value in values[name]]
            queries += [{name: those[-1] for name, those in values.items()}]
            queries += [{"search": WORDS, "ordering": order} for order in values.get("ordering", [])]
            for role in ("anonymous", "self", "superuser"):
                if self.get(path, role, "page_size=500").status_code == 200:
                    for query in queries:
                        self.get(path, role, urlencode(query | {"page_size": "500"}))
                    self.get(path, role, self.last_page(path, role))
        self.assert_cheap()

    def values(self, name: str, path: str, ids: dict[str, int]) -> list[str]:
        if name == "status":
            return next(those for part, those in STATUSES.items() if part in path)
        return [str(ids[name])] if name in ids else PARAMETERS[name]

    def last_page(self, path: str, role: str) -> str:
        """Return the query of the last page."""
        query = "page_size=100"
        while True:
            answer = self.asker.ask("GET", path, role, query=query)
            following = answer.headers.get("Link", "") if "/v1/" in path else str(answer.json()["next"])
            # The link to the next page comes first, and that to the page before does not advance.
            if "/v1/" in path and 'rel="next"' not in following:
                return query
            found = re.search("cursor=([^&>]+)", following)
            if found is None:
                return query
            query = f"page_size=100&cursor={found[1]}"

    def test_no_query_of_a_page_costs_much(self) -> None:
        narrow = (
            f"search={quote_plus(WORDS)}&kind=novel&language=en&decade=1980&available=on&ordering=-author"
        )
        for path, role in (
            *(("/home", "anonymous"), ("/home", "self")),
            *(("/rentals/history/", "self"), ("/balance", "self")),
        ):
            for query in ("", f"search={quote_plus(WORDS)}", narrow):
                self.follow(path, role, query)
            self.get(path, role, f"search={MANY_WORDS}")
        self.assert_cheap()

    def test_no_list_of_the_administration_costs_much(self) -> None:
        for model in ADMINISTERED:
            path = f"/admin/{model}/"
            self.follow(path, "superuser", "")
            for query in (f"q={quote_plus(WORDS)}", "q=old+sea", f"q={MANY_WORDS}", "all="):
                self.get(path, "superuser", query)
        for field in (
            "app_label=books&model_name=copy&field_name=book",
            "app_label=rentals&model_name=ledgerentry&field_name=user",
        ):
            for term in (quote_plus(WORDS), "old", MANY_WORDS):
                self.get("/admin/autocomplete/", "superuser", f"{field}&term={term}")
        self.assert_cheap()

    def follow(self, path: str, role: str, query: str) -> None:
        """Ask for a list, and for those to which it links: by filter, order and date, and its last page."""
        page = self.get(path, role, query).content.decode()
        links = set(re.findall(rf'href="(?:{path})?\?([^"#]+)"', page)) | {
            f"{query}&ordering={order}" for order in re.findall(r'<option value="(-?[a-z]+)"', page)
        }
        pages = sorted((int(number), link) for link in links for number in re.findall("^p=([0-9]+)", link))
        for link in sorted(links - {link for _number, link in pages[:-1]}):
            self.get(path, role, unescape(link))


class BodyCostTest(CostTestCase):
    def test_no_body_costs_much(self) -> None:
        for row in table_rows():
            # v1 and v2 have the views of v3.
            is_older = row.path.startswith(("/api/v1/", "/api/v2/"))
            if is_older or row.method not in ("POST", "PUT", "PATCH"):
                continue
            allowed = [role for role in ("self", "superuser") if row.answers[role] not in REFUSED]
            for role in ("anonymous", *allowed[-1:]):
                names = list(body_of(self.world, row.method, row.path, role)) or ["name"]
                address = self.world.address(row.path, role)
                for what, body, content_type in self.bodies(names, with_json=row.is_api):
                    send = partial(self.asker.send_raw, row.method, address, role, body, content_type)
                    self.measure(f"{row.method} {row.path} with {what}", role, send)
        self.assert_cheap()

    def bodies(self, names: list[str], *, with_json: bool) -> Iterator[tuple[str, bytes, str]]:
        """Yield the most expensive bodies that are let in, of fields that the address knows."""
        most = MAX_BODY_BYTES // len(names) - 30
        yield "percent signs", "&".join(f"{name}={'%' * most}" for name in names).encode(), FORM
        fields = [f"{names[0]}-{number}" for number in range(MAX_FIELDS - len(names))]
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\né\r\n' for name in names + fields
        ]
        yield "many parts", f"{''.join(parts)}--x--\r\n".encode(), "multipart/form-data; boundary=x"
        if with_json:
            texts = {name: "x" * (MAX_BODY_BYTES // len(names) - 30) for name in names}
            yield "long texts", json.dumps(texts).encode(), JSON
            values: list[Any] = [{}] * ((MAX_VALUES - 1) // len(names) - 1)
            yield "many nested values", b"[%s{}]" % (b"{}," * (MAX_BODY_BYTES // 3 - 2)), JSON
            yield "many values", json.dumps(dict.fromkeys(names, values)).encode(), JSON


class DeletePageTest(CostTestCase):
    def page(self, address: str, role: str = "superuser", **form: Any) -> str:
        answer = self.asker.send("POST" if form else "GET", address, role, form)
        self.assertEqual(answer.status_code, 200)
        return " ".join(re.sub("<[^>]+>", " ", answer.content.decode()).split())

    def test_many_rows_in_the_way_are_counted(self) -> None:
        alice = self.world.alice
        text = self.page(f"/admin/accounts/user/{alice.pk}/delete/", post="yes")
        self.assertIn(f"{alice.rentals.count()} rentals", text)
        self.assertIn(f"{alice.ledger_entries.count()} ledger entries", text)
        self.assertTrue(User.objects.filter(pk=alice.pk).exists())

    def test_many_rows_that_go_too_are_counted(self) -> None:
        book = Book.objects.create(name="Ulysses")
        Copy.objects.bulk_create(Copy(book=book, barcode=f"U-{number}") for number in range(101))
        text = self.page(f"/admin/books/book/{book.pk}/delete/", "staff")
        self.assertIn("101 copies", text)
        self.assertNotIn("U-100", text)
        self.asker.send("POST", f"/admin/books/book/{book.pk}/delete/", "staff", {"post": "yes"})
        self.assertFalse(Book.objects.filter(pk=book.pk).exists())

    def test_permissions_are_checked_for_many_rows_too(self) -> None:
        clerk, member = self.world.desk, User.objects.get(username="old-1")
        clerk.user_permissions.set(Permission.objects.filter(codename="delete_user"))
        LogEntry.objects.bulk_create(
            LogEntry(user=member, action_flag=1, object_repr="x") for _number in range(101)
        )
        Rental.objects.filter(user=member).delete()
        Hold.objects.filter(user=member).delete()
        text = self.page(f"/admin/accounts/user/{member.pk}/delete/", "staff")
        self.assertIn("101 log entries", text)
        chosen = {
            "action": "delete_selected",
            "_selected_action": [member.pk, self.world.people["superuser"].pk],
        }
        self.assertIn(
            "doesn't have permission", unescape(self.page("/admin/accounts/user/", "staff", **chosen))
        )


class ExceptionCostTest(CostTestCase):
    """The exceptions that run in the process have bounds of their own."""

    def test_one_password_hash_is_bounded(self) -> None:
        hasher = OwaspArgon2()

        def hash_one() -> float:
            begun = time.process_time()
            hasher.encode("correct horse", hasher.salt())
            return time.process_time() - begun

        self.assertLess(min(hash_one() for _ in range(TRIES)), 0.25)

    def test_first_build_of_a_document_is_bounded(self) -> None:
        for path, bound in (("/swagger.json", 2), ("/swagger.yaml", 10)):
            with mock.patch.dict(schema._documents, clear=True):
                send = partial(self.asker.ask, "GET", path, "anonymous")
                self.measure(path, "anonymous", send, bound=bound)
        self.assert_cheap()

    def test_actions_on_a_page_of_rows_are_bounded(self) -> None:
        copies = Copy.objects.order_by("-pk").values_list("pk", flat=True)
        members = User.objects.filter(username__startswith="old-").values_list("pk", flat=True)
        for model, action, keys in (
            ("books/copy", "delete_selected", copies),
            ("accounts/user", "sign_out", members),
        ):
            chosen = {"action": action, "_selected_action": list(keys[:PAGE]), "index": "0", "post": "yes"}
            send = partial(self.asker.send, "POST", f"/admin/{model}/", "superuser", chosen)
            answer = self.measure(f"{action} of {model}", "superuser", send, bound=1)
            self.assertEqual(answer.status_code, 302)
        self.assert_cheap()


def slowness() -> float:
    """Return how many times slower than on two quiet cores Python runs now, from 1 to 3.

    Other tests run beside these, and slow a processor down that they share.
    """
    times = []
    for _ in range(3):
        begun = time.process_time()
        sorted({f"row {number}": str(number).rjust(8) for number in range(20_000)}.values())
        times.append(time.process_time() - begun)
    return min(3.0, max(1.0, min(times) / REFERENCE))


def burn(seconds: float) -> list[Any]:
    """Use the processor for longer than `seconds`."""
    begun = time.process_time()
    while time.process_time() - begun <= seconds:
        pass
    return []

"""PostgreSQL uses indexes for all queries of the frequent calls.

Scans are best for the small tables of a test. So they are made expensive here, as they are for large tables.
A table that is scanned nevertheless has no usable index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import skipUnless

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import tokens
from accounts.models import User
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals.holds import place_hold
from rentals.models import Rental
from rentals.services import rent_book, return_rental

# Tables that grow with the use of the shop.
LARGE = (
    *("books_book", "books_copy", "rentals_rental", "rentals_hold", "rentals_ledgerentry"),
    *("accounts_user", "accounts_tokenfamily", "django_session"),
)
SCAN = re.compile(rf"Seq Scan on ({'|'.join(LARGE)})\b")


@skipUnless(connection.vendor == "postgresql", "the plans are PostgreSQL's")
class QueryPlanTest(CastTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        now = timezone.now()
        cls.book = add_book(
            name="Emma", author="Jane Austen", isbn="9780141439587", language="en", published=1815
        )
        rental = rent_book(member=cls.alice, book=cls.book, at=now, now=now)
        return_rental(rental=rental, at=now, actor=cls.carol, now=now)
        cls.rental = rent_book(member=cls.alice, book=cls.book, at=now, now=now)
        place_hold(member=cls.bob, book=cls.book, at=now)

    book: Any
    rental: Rental

    def by_token(self, user: User) -> Client:
        return Client(headers={"Authorization": f"JWT {tokens.issue_tokens(user).access}"})

    @contextmanager
    def scans_are_dear(self) -> Iterator[None]:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            # Plans that were made before.
            cursor.execute("DISCARD PLANS")
            yield
            cursor.execute("SET LOCAL enable_seqscan = on")
            cursor.execute("DISCARD PLANS")

    def plans(self, client: Client, path: str) -> str:
        """Return the plans of all queries of a call."""
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(path)
        self.assertEqual(answer.status_code, 200, path)
        plans = []
        with self.scans_are_dear(), connection.cursor() as cursor:
            for query in asked:
                if not query["sql"].startswith(("SELECT", "EXECUTE", "WITH", "\nWITH")):
                    continue
                cursor.execute("EXPLAIN " + query["sql"].replace("%", "%%"), [])
                plans += [line for (line,) in cursor.fetchall()]
        self.assertTrue(plans)
        return "\n".join(plans)

    def assert_no_scans(self, client: Client, paths: list[str]) -> None:
        for path in paths:
            with self.subTest(path=path):
                plan = self.plans(client, path)
                self.assertIsNone(SCAN.search(plan), plan)

    def test_catalogue_uses_indexes(self) -> None:
        first = self.client.get("/api/v3/books/?page_size=1").json()
        self.assertIsNone(first["next"])
        narrowed = ["", "ordering=name", "ordering=-author", "ordering=-published", "book_type=1"]
        narrowed += ["language=en", "decade=1810", "available=true", "available=false", "search=emma"]
        narrowed += ["search=9780141439587"]
        self.assert_no_scans(self.by_token(self.alice), [f"/api/v3/books/?{query}" for query in narrowed])
        self.assert_no_scans(
            self.by_token(self.alice),
            [f"/api/v3/books/?ordering={order}&cursor={cursor}" for order, cursor in self.places()],
        )
        browser = Client()
        browser.force_login(self.alice)
        self.assert_no_scans(browser, ["/home", "/home?search=emma", f"/books/{self.book.pk}/"])

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield each order with the cursor of its second page."""
        add_book(name="Persuasion")
        for order in ("id", "-id", "name", "author", "-published"):
            page = self.client.get(f"/api/v3/books/?page_size=1&ordering={order}").json()
            yield order, page["next"].partition("cursor=")[2].partition("&")[0]

    def test_member_calls_use_indexes(self) -> None:
        mine = self.alice.pk
        paths = [f"books/{self.book.pk}", "book_rentals/", f"book_rentals/{self.rental.ref}"]
        paths += [f"book_rentals/users/{what}{mine}" for what in ("", "balance/", "statement/")]
        paths += ["holds/", "payments/", f"accounts/{mine}", "book_rentals/?status=2"]
        self.assert_no_scans(self.by_token(self.alice), [f"/api/v3/{path}" for path in paths])

    def test_staff_calls_use_indexes(self) -> None:
        mine, book = self.alice.pk, self.book.pk
        paths = ["book_rentals/", "book_rentals/?overdue=true", f"book_rentals/?user={mine}"]
        paths += [f"book_rentals/?book={book}", f"copies/?book={book}", "copies/", "accounts/", "holds/"]
        paths += [f"payments/?{one}" for one in ("method=card", f"taken_by={mine}", "from=2026-11-23")]
        self.assert_no_scans(self.by_token(self.carol), [f"/api/v3/{path}" for path in paths])

    def at_the_desk(self) -> Client:
        browser = Client()
        browser.force_login(self.carol)
        return browser

    def test_admin_lists_use_indexes(self) -> None:
        today = f"{timezone.now():%Y-%m-%dT00:00:00Z}"
        lists = {
            "rentals/rental": ["", "state=out", "state=overdue", "state=void", f"rented_at__gte={today}"],
            "rentals/ledgerentry": ["", "kind__exact=refund", "kind__exact=payment&method=card", "o=1"],
            "rentals/hold": ["", "status=ready", "status=waiting", "status=expired"],
            "books/copy": ["", "status__exact=lost", "condition__exact=damaged", "o=1"],
            "books/book": ["", "language=en", "o=1"],
            "accounts/user": ["", "is_staff__exact=1", "is_active__exact=0", "q=moss"],
        }
        paths = [f"/admin/{model}/?{query}" for model, queries in lists.items() for query in queries]
        self.assert_no_scans(self.at_the_desk(), paths)

    def have_a_long_history(self) -> None:
        """Set the planner's statistics to many rentals, of which few are open.

        The real ones depend on the tests that ran before, and for a few rows all indexes are equally good.
        """
        large = list(LARGE)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM pg_statistic WHERE starelid = ANY (%s::regclass[])", [large])
            cursor.execute(
                "UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE oid = ANY (%s::regclass[]) OR oid IN"
                " (SELECT indexrelid FROM pg_index WHERE indrelid = ANY (%s::regclass[]))",
                [large, large],
            )
            cursor.execute(
                "UPDATE pg_class SET relpages = 2,"
                " reltuples = CASE WHEN relname ~ '^rental_(one_)?open' THEN 10 ELSE 100000 END"
                " WHERE oid = 'rentals_rental'::regclass OR oid IN"
                " (SELECT indexrelid FROM pg_index WHERE indrelid = 'rentals_rental'::regclass)"
            )

    def test_figures_use_partial_indexes(self) -> None:
        self.have_a_long_history()
        plan = self.plans(self.at_the_desk(), "/admin/")
        # Nearly all copies are in service.
        self.assertEqual(SCAN.findall(plan), ["books_copy"], plan)
        for index in (
            # Any index that contains open rentals only.
            r"Scan (using|on) rental_(one_)?open_\w+",
            r"Scan (using|on) hold_(one_)?live_\w+",
            r"Scan (using|on) hold_(one_)?ready_\w+",
            r"Scan (Backward )?using ledger_by_time",
            r"Scan (using|on) rentals_ledgerentry_pkey",
        ):
            self.assertRegex(plan, index)

    def test_admin_searches_use_indexes(self) -> None:
        words = ["alice", "emma", str(self.rental.ref), self.rental.copy.barcode, "9780141439587"]
        lists = ["rentals/rental", "rentals/ledgerentry", "rentals/hold", "books/copy", "books/book"]
        paths = [f"/admin/{model}/?q={word}" for model in lists for word in words]
        self.assert_no_scans(self.at_the_desk(), paths)

    def test_admin_lists_are_not_sorted(self) -> None:
        today = f"{timezone.now():%Y-%m-%dT00:00:00Z}"
        for path, index in (
            ("rentals/rental/", "rentals_rental_pkey"),
            ("rentals/rental/?state=overdue", "rental_open_by_due_date"),
            (f"rentals/rental/?rented_at__gte={today}", "rental_by_time"),
            ("rentals/ledgerentry/?kind__exact=payment&method=card", "ledger_by_method"),
        ):
            with self.subTest(path=path), connection.cursor() as cursor:
                # As for a list of several pages; in a test everything fits on one page.
                cursor.execute("SET LOCAL enable_sort = off")
                plan = self.plans(self.at_the_desk(), f"/admin/{path}")
                cursor.execute("SET LOCAL enable_sort = on")
                self.assertIn(index, plan)
                # An incremental sort is allowed: it only sorts rows with equal values of the index.
                self.assertEqual(re.findall(r"(?<!Incremental )Sort +\(", plan), [], plan)

    def test_members_rentals_are_not_sorted(self) -> None:
        plan = self.plans(self.by_token(self.alice), "/api/v3/book_rentals/")
        self.assertIn("rental_standing_by_user", plan)
        self.assertNotIn("Sort", plan)

    def test_dropped_index_is_detected(self) -> None:
        """Shows that the tests above can fail."""
        path = f"/api/v3/books/{self.book.pk}"
        self.assertIsNone(SCAN.search(self.plans(self.client, path)))
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("DROP INDEX books_copy_book_id_1150bb3f")
        self.assertIsNotNone(SCAN.search(self.plans(self.client, path)))

"""Tests the lists of the administration: capped, and searched and sorted by index."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from books.admin import CopyAdmin
from books.models import Copy
from books.stock import add_book
from lori_assignment import admin
from rentals import holds, services
from rentals.admin.rentals import RentalAdmin
from rentals.models import LedgerEntry, Rental
from rentals.tests.test_admin import ShopAdminTestCase


class ListTestCase(ShopAdminTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        Copy.objects.bulk_create(Copy(book=cls.novel, barcode=f"X-{number}") for number in range(3))

    def listed(self, what: str, **query: Any) -> list[Any]:
        answer = self.counter.get(self.page(f"{what}_changelist"), query)
        self.assertEqual(answer.status_code, 200)
        return list(answer.context["cl"].result_list)

    def give_back(self, rental: Rental) -> LedgerEntry:
        now = timezone.now()
        returned = services.return_rental(rental=rental, at=now, actor=self.carol, now=now)
        entry: LedgerEntry = returned.rent_entry
        return entry


class LongListTest(ListTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.rentals = [self.rent(self.alice), self.rent(self.bob), self.rent(self.dan)]
        self.enterContext(mock.patch.object(admin, "MAX_LISTED", 2))
        self.enterContext(mock.patch.object(RentalAdmin, "list_per_page", 1))

    def test_page_count_is_capped(self) -> None:
        page = self.counter.get(self.page("rental_changelist"), {"p": 2})
        self.assertContains(page, "First 2 rentals. Search or filter to see more.")
        self.assertEqual(list(page.context["cl"].result_list), [self.rentals[1]])
        self.assertRedirects(
            self.counter.get(self.page("rental_changelist"), {"p": 3}),
            self.page("rental_changelist") + "?e=1",
        )

    def test_short_list_is_counted(self) -> None:
        page = self.counter.get(self.page("rental_changelist"), {"q": "alice"})
        self.assertNotContains(page, "Search or filter to see more")
        self.assertRegex(page.content.decode(), r"1\s+rental\b")

    def test_select_across_is_refused_on_a_long_list(self) -> None:
        address = reverse("admin:books_copy_changelist")
        copies = list(Copy.objects.all())
        everything = {"action": "delete_selected", "_selected_action": copies[0].pk, "select_across": "1"}
        with mock.patch.object(CopyAdmin, "list_per_page", 1):
            with mock.patch.object(admin, "MAX_SELECTED", len(copies) - 1):
                told = self.told(self.counter.post(address, everything))
                said = f"The list has more than {len(copies) - 1} entries. Filter it before you select all."
                self.assertEqual(told, [said])
            with mock.patch.object(admin, "MAX_SELECTED", len(copies)):
                self.assertContains(self.counter.post(address, everything), "Cannot delete copies")

    def test_action_changes_at_most_a_page_of_rows(self) -> None:
        copies = [copy.pk for copy in Copy.objects.all()]
        chosen = {"action": "delete_selected", "_selected_action": copies}
        with mock.patch.object(admin, "MAX_SELECTED", len(copies) - 1):
            self.counter.post(reverse("admin:books_copy_changelist"), chosen | {"post": "yes"})
        self.assertEqual(Copy.objects.count(), len(copies))

    def test_long_search_is_refused(self) -> None:
        for name in ("rentals_rental", "accounts_user", "books_book", "rentals_pricelist"):
            address = reverse(f"admin:{name}_changelist")
            with self.subTest(name=name):
                self.assertEqual(self.counter.get(address, {"q": "a " * 100}).status_code, 200)
                refused = self.counter.get(address, {"q": "a " * 100 + "b"})
                self.assertRedirects(refused, address, fetch_redirect_response=False)
                self.assertEqual(self.told(refused), ["Search for at most 200 characters."])

    def test_count_query_is_limited(self) -> None:
        with CaptureQueriesContext(connection) as asked:
            self.listed("rental")
        counts = [query["sql"] for query in asked if "COUNT(" in query["sql"]]
        self.assertEqual(len(counts), 1)
        self.assertIn("LIMIT 3", counts[0])


class OrderingTest(ListTestCase):
    def test_open_rentals_sort_by_due_date(self) -> None:
        late, later = self.rent(self.bob, days_ago=20), self.rent(self.dan, days_ago=30)
        out = self.rent()
        self.assertEqual(self.listed("rental"), [out, later, late])
        self.assertEqual(self.listed("rental", state="overdue"), [later, late])
        self.assertEqual(self.listed("rental", state="out"), [later, late, out])

    def test_date_filter_sorts_by_that_date(self) -> None:
        now, earlier = self.rent(), self.rent(self.bob, days_ago=3)
        since = (timezone.now() - timedelta(days=7)).isoformat()
        self.assertEqual(self.listed("rental", rented_at__gte=since), [now, earlier])
        since = (timezone.now() - timedelta(days=1)).isoformat()
        self.assertEqual(self.listed("rental", rented_at__gte=since), [now])

    def test_only_indexed_columns_are_sortable(self) -> None:
        self.give_back(self.rent())
        waited_for, now = add_book(name="Susan"), timezone.now()
        services.rent_book(member=self.bob, book=waited_for, at=now, now=now)
        holds.place_hold(member=self.alice, book=waited_for, at=now)
        for what, sorted_by in (("rental", ["number", "rented"]), ("ledgerentry", ["posted"]), ("hold", [])):
            page = self.counter.get(self.page(f"{what}_changelist")).content.decode()
            found = re.findall(r'class="sortable column-(\w+)', page)
            self.assertEqual(found, sorted_by, what)


class SearchTest(ListTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.persuasion = add_book(name="Persuasion", author="Jane Austen", isbn="9780141439686")
        self.mine = self.rent()
        now = timezone.now()
        self.other = services.rent_book(member=self.bob, book=self.persuasion, at=now, now=now)

    def test_rentals_are_found_by_member_and_book(self) -> None:
        for words, found in (
            ("ALICE@example", [self.mine]),
            ("978-0-14-143968-6", [self.other]),
            ("austen pers", [self.other]),
            (self.mine.copy.barcode.lower(), [self.mine]),
            (f" {self.other.ref} ", [self.other]),
            ("austen alice", []),
            ("²", []),
            ("9" * 19, []),
        ):
            with self.subTest(words):
                self.assertEqual(self.listed("rental", q=words), found)

    def test_search_combines_with_filters(self) -> None:
        self.give_back(self.mine)
        self.assertEqual(self.listed("rental", q="alice", state="out"), [])
        self.assertEqual(self.listed("rental", q="alice", state="returned"), [self.mine])

    def test_entries_are_found_by_member_and_rental(self) -> None:
        entry = self.give_back(self.mine)
        self.give_back(self.other)
        for words in ("alice", self.mine.ref):
            self.assertEqual(self.listed("ledgerentry", q=words), [entry])
        self.assertEqual(self.listed("ledgerentry", q="emma"), [])

    def test_holds_are_found_by_member_book_and_copy(self) -> None:
        hold = holds.place_hold(member=self.alice, book=self.persuasion, at=timezone.now())
        for words in ("alice", "persuasion"):
            self.assertEqual(self.listed("hold", q=words), [hold])
        self.assertEqual(self.listed("hold", q=self.other.copy.barcode), [])
        self.give_back(self.other)
        self.assertEqual(self.listed("hold", q=self.other.copy.barcode), [hold])

    def test_excess_matches_are_cut_off_with_notice(self) -> None:
        with mock.patch.object(admin, "MAX_FOUND", 1):
            page = self.counter.get(self.page("rental_changelist"), {"q": "example.org"})
        self.assertEqual(list(page.context["cl"].result_list), [self.other])
        self.assertContains(page, "There are more matches than shown. Enter more of the search term.")
        self.assertNotContains(
            self.counter.get(self.page("rental_changelist"), {"q": "alice"}), "more matches"
        )

    def test_too_many_member_matches_show_a_notice(self) -> None:
        with mock.patch("rentals.admin.search.MAX_MATCHES", 1):
            page = self.counter.get(self.page("rental_changelist"), {"q": "example.org"})
        self.assertContains(page, "There are more matches than shown.")


class FilterTest(ListTestCase):
    def test_method_filter_requires_a_money_kind(self) -> None:
        for kind, has_methods in (("", False), ("rent", False), ("payment", True), ("refund", True)):
            page = self.counter.get(self.page("ledgerentry_changelist"), {"kind__exact": kind})
            self.assertEqual("By method" in page.content.decode(), has_methods, kind)

    def test_method_filter_selects_payments(self) -> None:
        self.give_back(self.rent())
        for method in ("cash", "card"):
            self.send("ledgerentry_add", user="alice", kind="payment", amount="1.00", method=method, note="")
        found = self.listed("ledgerentry", kind__exact="payment", method="card")
        self.assertEqual([entry.method for entry in found], ["card"])
        # For a kind without methods, a method chosen before is ignored.
        self.assertEqual(len(self.listed("ledgerentry", kind__exact="rent", method="card")), 1)

    def test_facet_counts_are_off(self) -> None:
        for what in ("rental", "ledgerentry", "hold"):
            page = self.counter.get(self.page(f"{what}_changelist"), {"_facets": "True"})
            self.assertNotContains(page, "Hide counts")

"""Tests a member's pages: rentals, history, balance, statements, receipts and calendar feed."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

from django.db import connection
from django.test import Client, tag
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape
from icalendar import Calendar
from pypdf import PdfReader

from accounts.models import User
from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import ledger, services
from rentals.holds import place_hold
from rentals.models import CalendarFeed, Hold, LedgerEntry, Policy, Rental
from rentals.statements.monthly import Month

DAY = timedelta(days=1)
# The shared cache records that a member's PDF is being written: it counts its rows, looks for the record and
# inserts it in a savepoint. Afterwards it changes the record's expiry by the same steps.
PROGRAM_QUERIES = 10


class MinePagesTestCase(CastTestCase):
    emma: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(name="Emma", author="Jane Austen", kind=3, copies=9)
        Policy.objects.update(debt_limit=1000, max_open_rentals=100)

    def setUp(self) -> None:
        self.now = timezone.now()
        self.client.force_login(self.alice)

    def rent(self, *, days_ago: int = 0, book: Book | None = None, member: User | None = None) -> Rental:
        # An hour less, so that `days_ago` days have started, however long the test takes.
        at = self.now - days_ago * DAY + timedelta(hours=bool(days_ago))
        return services.rent_book(member=member or self.alice, book=book or self.emma, at=at, now=at)

    def give_back(self, rental: Rental, at: datetime | None = None) -> LedgerEntry:
        # Two rentals of a copy may not begin and end at the same moment.
        at = at or max(self.now, rental.rented_at + timedelta(microseconds=1))
        entry = services.return_rental(rental=rental, at=at, actor=self.carol, now=at).rent_entry
        assert entry is not None
        return entry

    def pay(self, amount: str = "1.00", member: User | None = None) -> LedgerEntry:
        return ledger.take_payment(
            member=member or self.alice,
            amount=Decimal(amount),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=self.now,
        )

    def read(self, path: str) -> str:
        answer = self.client.get(path)
        self.assertEqual(answer.status_code, 200)
        return answer.content.decode()

    def assert_costs(self, queries: int, path: str, **query: Any) -> None:
        with self.assertNumQueries(queries):
            self.assertEqual(self.client.get(path, query).status_code, 200)


class MyRentalsTest(MinePagesTestCase):
    def test_rentals_sort_by_due_date_with_costs(self) -> None:
        self.rent(days_ago=3, book=add_book(name="Cosmos", kind=1))
        self.rent(days_ago=16)
        page = self.read("/rentals/")
        self.assertLess(page.index("Emma"), page.index("Cosmos"))
        for words in ("overdue", "Overdue", "due ", "$24.00", "$27.00", "$3.50", "$6.50", "$20.00"):
            self.assertIn(words, page)

    def test_renewal_shows_new_date_and_renewals_left(self) -> None:
        rental = self.rent()
        for left in ("2 renewals left", "1 renewal left"):
            self.assertIn(left, self.read("/rentals/"))
            answer = self.client.post(f"/rentals/{rental.ref}/renew/", follow=True)
            self.assertContains(answer, "“Emma” has been renewed and is now due on")
        page = self.read("/rentals/")
        self.assertIn("No renewals left.", page)
        self.assertNotIn(f"/rentals/{rental.ref}/renew/", page)
        answer = self.client.post(f"/rentals/{rental.ref}/renew/", follow=True)
        self.assertContains(answer, "No renewals left.")

    def test_blocked_renewal_shows_its_reason(self) -> None:
        book = add_book(name="Cosmos", kind=1)
        rental = self.rent(book=book)
        place_hold(member=self.bob, book=book, at=self.now)
        page = self.read("/rentals/")
        self.assertNotIn(f"/rentals/{rental.ref}/renew/", page)
        answer = self.client.post(f"/rentals/{rental.ref}/renew/", follow=True)
        [reason] = answer.context["messages"]
        self.assertIn(escape(reason), page)

    def test_only_the_member_can_renew(self) -> None:
        rental = self.rent(member=self.bob)
        for user in (self.alice, self.carol):
            self.client.force_login(user)
            self.assertEqual(self.client.post(f"/rentals/{rental.ref}/renew/").status_code, 404)
        self.client.force_login(self.bob)
        self.assertEqual(self.client.get(f"/rentals/{rental.ref}/renew/").status_code, 405)
        rental.refresh_from_db()
        self.assertEqual(rental.renewals, 0)

    def test_empty_page_links_to_the_catalogue(self) -> None:
        self.rent(member=self.bob)
        page = self.read("/rentals/")
        self.assertIn("You have no books on loan.", page)
        self.assertNotIn("Emma", page)

    def test_query_count_is_constant(self) -> None:
        for count in (1, 3):
            for number in range(count):
                self.rent(book=add_book(name=f"At home {count} {number}", kind=1))
                wanted = add_book(name=f"Waited for {count} {number}", kind=1)
                self.rent(book=wanted, member=self.bob)
                place_hold(member=self.alice, book=wanted, at=self.now)
            # Session, user, policy, rentals, holds, two for the wait estimates, feed.
            self.assert_costs(8, "/rentals/")


class HistoryTest(MinePagesTestCase):
    def had(self, name: str, author: str = "", days_ago: int = 1) -> None:
        self.give_back(self.rent(book=add_book(name=name, author=author, kind=1), days_ago=days_ago))

    def test_search_matches_title_and_author(self) -> None:
        self.had("Cosmos", "Carl Sagan")
        self.had("Contact", "Carl Sagan")
        self.give_back(self.rent(member=self.bob))
        for words, found in (
            ("", ["Contact", "Cosmos"]),
            ("sagan cos", ["Cosmos"]),
            ("emma", []),
            ("%", []),
            ("a\x00b", []),
        ):
            page = self.client.get("/rentals/history/", {"search": words}).context["page"]
            self.assertEqual([rental.book.name for rental in page.rows], found, words)
        void = Rental.objects.get(copy__book__name="Cosmos")
        services.void_rental(rental=void, at=self.now, actor=self.carol)
        self.assertNotIn("Cosmos", self.read("/rentals/history/"))

    def test_search_has_one_condition_for_each_word(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            self.client.get("/rentals/history/", {"search": "a b c d e f g h i j k l m n"})
        self.assertEqual(max(query["sql"].count(" LIKE ") for query in queries), 2 * 12)

    def test_pagination_keeps_the_search(self) -> None:
        for number in range(30):
            self.had(f"Volume {number}")
        first = self.client.get("/rentals/history/", {"search": "vol"})
        self.assertEqual(len(first.context["page"].rows), 25)
        self.assertContains(first, "?search=vol&amp;cursor=")
        second = self.client.get("/rentals/history/", {"search": "vol", "cursor": first.context["page"].next})
        self.assertEqual(len(second.context["page"].rows), 5)
        self.assertEqual(self.client.get("/rentals/history/?cursor=nonsense").status_code, 404)

    def test_query_count_is_constant(self) -> None:
        for count in (1, 5):
            for number in range(count):
                self.had(f"Volume {count} {number}")
            # Session, user, rentals.
            self.assert_costs(3, "/rentals/history/", search="vol")


class BalancePageTest(MinePagesTestCase):
    def test_page_explains_every_line(self) -> None:
        self.give_back(self.rent(days_ago=2), self.now - DAY)
        self.pay()
        self.rent(book=add_book(name="Cosmos", kind=1), days_ago=2)
        page = self.read("/balance")
        for words in (
            *("You owe $5.50.", "Rental: Emma", "Payment, cash", "Cosmos", "1 day at $1.50"),
            *("Minimum charge for this category", "price list Tiered, novel", "First 2 days at $1.00"),
        ):
            self.assertIn(words, page)

    def test_page_shows_only_own_entries(self) -> None:
        self.give_back(self.rent(member=self.bob))
        page = self.read("/balance")
        self.assertNotIn("Emma", page)
        self.assertIn("No transactions yet.", page)

    def test_query_count_is_constant(self) -> None:
        for count in (1, 30):
            for _ in range(count):
                self.give_back(self.rent())
                self.pay()
            self.rent(book=add_book(name=f"At home {count}", kind=1))
            # Session, user, entries, open rentals, last balance, first entry.
            self.assert_costs(6, "/balance")

    def test_earlier_entries_are_on_the_next_page(self) -> None:
        for _ in range(26):
            self.give_back(self.rent())
        first = self.client.get("/balance")
        second = self.client.get("/balance", {"cursor": first.context["next"]})
        self.assertEqual([line.entry.number for line in second.context["entries"]], [1])
        self.assertRedirects(self.client.get("/balance?cursor=nonsense"), "/balance")


@tag("any_database")
class StatementPagesTest(MinePagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.give_back(self.rent())
        self.this_month = Month.of(self.now)
        self.path = f"/balance/statements/{self.this_month}"

    def test_page_pdf_and_csv_agree(self) -> None:
        page = self.read(f"{self.path}/")
        pdf = self.client.get(f"{self.path}.pdf")
        text = PdfReader(io.BytesIO(pdf.content)).pages[0].extract_text()
        sheet = self.client.get(f"{self.path}.csv")
        lines = b"".join(sheet.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]  # it streams
        for said in (page, text, lines):
            self.assertIn("Rental: Emma", said)
            self.assertIn("4.50", said)
        self.assertEqual(
            (pdf["Content-Type"], sheet["Content-Type"]), ("application/pdf", "text/csv; charset=utf-8")
        )
        self.assertIn(f"lori-books-{self.this_month}.csv", sheet["Content-Disposition"])

    def test_months_without_a_statement_are_404(self) -> None:
        month = self.this_month
        for month_without in (month.next, Month(1970, 1), "2026-13", "0000-01", "9999-12", "26-1"):
            for end in ("/", ".pdf", ".csv"):
                path = f"/balance/statements/{month_without}{end}"
                self.assertEqual(self.client.get(path).status_code, 404, path)

    def test_each_member_sees_their_own_statement(self) -> None:
        self.client.force_login(self.bob)
        self.assertNotIn("Emma", self.read(f"{self.path}/"))

    def test_query_count_is_constant(self) -> None:
        for _ in range(2):
            # Session, user, first entry, two balances, entries, their sums.
            self.assert_costs(7, f"{self.path}/")
            with mock.patch("rentals.statements.pdf.PAUSE", 0):
                self.assert_costs(7 + PROGRAM_QUERIES, f"{self.path}.pdf")
            with self.assertNumQueries(6):
                b"".join(self.client.get(f"{self.path}.csv").streaming_content)  # type: ignore[attr-defined]
            for _ in range(5):
                self.give_back(self.rent())

    def test_statements_are_not_cached(self) -> None:
        for end in ("/", ".pdf", ".csv"):
            self.assertIn("no-store", self.client.get(f"{self.path}{end}")["Cache-Control"])


@tag("any_database")
class ReceiptPagesTest(MinePagesTestCase):
    def test_payment_has_a_receipt_page_and_pdf(self) -> None:
        self.give_back(self.rent())
        payment = self.pay("2.00")
        # Session, user, the payment with its relations.
        self.assert_costs(3, f"/balance/receipts/{payment.number}/")
        self.assert_costs(3 + PROGRAM_QUERIES, f"/balance/receipts/{payment.number}.pdf")
        self.assertIn("$2.00", self.read(f"/balance/receipts/{payment.number}/"))

    def test_other_entries_and_members_are_404(self) -> None:
        rent = self.give_back(self.rent())
        for number in (rent.number, 99, 10**12):
            for end in ("/", ".pdf"):
                self.assertEqual(self.client.get(f"/balance/receipts/{number}{end}").status_code, 404)
        payment = self.pay("2.00")
        for user in (self.bob, self.carol):
            self.client.force_login(user)
            self.assertEqual(self.client.get(f"/balance/receipts/{payment.number}/").status_code, 404)


class CalendarLinkTest(MinePagesTestCase):
    def link(self) -> str:
        self.client.post("/rentals/calendar/make/")
        link = self.client.get("/rentals/").context["feed_link"]
        return link.partition("/rentals/")[1] + link.partition("/rentals/")[2]

    def test_link_needs_no_sign_in(self) -> None:
        self.rent()
        link = self.link()
        with self.assertNumQueries(3):
            answer = Client().get(link)
        self.assertEqual(answer["Content-Type"], "text/calendar; charset=utf-8")
        self.assertEqual(answer["Cache-Control"], "private, no-store")
        self.assertNotIn("Cookie", answer.get("Vary", ""))
        [event] = Calendar.from_ical(answer.content).walk("VEVENT")
        self.assertEqual(event["summary"], "Due back: Emma")

    def test_only_a_second_link_ends_older_ones(self) -> None:
        for expected in (
            "Here is your calendar link.",
            "Here is your calendar link. Older links no longer work.",
        ):
            answer = self.client.post("/rentals/calendar/make/", follow=True)
            self.assertEqual([str(message) for message in answer.context["messages"]], [expected])

    def test_member_renews_and_revokes_the_link(self) -> None:
        first, second = self.link(), self.link()
        self.assertEqual([Client().get(link).status_code for link in (first, second)], [404, 200])
        self.client.post("/rentals/calendar/revoke/")
        self.assertEqual(Client().get(second).status_code, 404)
        self.assertFalse(CalendarFeed.objects.exists())

    def test_get_changes_nothing(self) -> None:
        for what in ("make", "revoke"):
            self.assertEqual(self.client.get(f"/rentals/calendar/{what}/").status_code, 405)
        self.assertEqual(Client().get("/rentals/calendar/guessed.ics").status_code, 404)

    def test_link_of_closed_account_is_404(self) -> None:
        link = self.link()
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        self.assertEqual(Client().get(link).status_code, 404)


class LoginRequiredTest(MinePagesTestCase):
    def test_every_page_requires_sign_in(self) -> None:
        stranger = Client()
        for path in (
            *(
                "/rentals/",
                "/rentals/history/",
                "/balance",
                "/balance/receipts/1/",
                "/balance/receipts/1.pdf",
            ),
            *(f"/balance/statements/2026-11{end}" for end in ("/", ".pdf", ".csv")),
        ):
            answer = stranger.get(path)
            self.assertEqual(answer.status_code, 302, path)
            self.assertIn("/user/login/", answer["Location"])
        for path in ("/rentals/1/renew/", "/rentals/calendar/make/", "/rentals/calendar/revoke/"):
            self.assertEqual(stranger.post(path).status_code, 302, path)
        self.assertFalse(Hold.objects.exists())

"""Tests the pages of a member's account: the balance, statements, receipts, and access to them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from unittest import mock

from django.test import tag

from rentals import ledger, services
from rentals.models import LedgerEntry
from rentals.tests.test_statements import DAY, NOW, StatementTestCase
from rentals.views import account


@tag("any_database")
class AccountTestCase(StatementTestCase):
    """Alice returned Emma for 4.50, paid 2.00 of it, and rented Emma again two days ago."""

    payment: LedgerEntry

    def setUp(self) -> None:
        clock = mock.patch("django.utils.timezone.now", return_value=NOW)
        clock.start()
        self.addCleanup(clock.stop)
        self.charge(NOW - 40 * DAY)
        self.payment = self.pay("2.00", NOW - 3 * DAY, note="The rest on Friday")
        services.rent_book(member=self.alice, book=self.emma, at=NOW - 2 * DAY, now=NOW)
        self.client.force_login(self.alice)


class BalancePageTest(AccountTestCase):
    def test_page_explains_every_amount_owed(self) -> None:
        page = self.client.get("/balance")
        owed = ledger.balance(self.alice, at=NOW)
        self.assertEqual((owed.posted, page.context["owed"].total), (Decimal("2.50"), owed.total))
        self.assertContains(page, f"You owe ${owed.total}.")
        self.assertContains(page, f'<p class="big-figure">${owed.total}</p>', html=True)
        for words in (
            *("$2.50", f"${owed.running}", "If you return it now", "Rental: Emma", "1 day at $1.50"),
            *("price list Tiered, novel", "Payment, cash", "-$2.00", "The rest on Friday"),
            *("at the counter", 'href="/balance/receipts/2/"', 'href="/balance/statements/2026-10/"'),
        ):
            self.assertContains(page, words)
        self.assertIn("no-store", page.headers["Cache-Control"])

    def test_trailing_slash_is_optional(self) -> None:
        self.assertEqual(self.client.get("/balance/").status_code, 200)

    def test_empty_account_shows_nothing_owed(self) -> None:
        self.client.force_login(self.bob)
        page = self.client.get("/balance")
        self.assertContains(page, "You don&#x27;t owe anything.")
        self.assertContains(page, "No transactions yet.")
        self.assertNotContains(page, "Emma")

    def test_query_count_is_constant_across_pages(self) -> None:
        with self.assertNumQueries(6):
            self.client.get("/balance")
        for number in range(30):
            ledger.post(
                member=self.alice,
                kind=LedgerEntry.Kind.LOST_BOOK,
                amount=Decimal("1.00"),
                actor=self.carol,
                at=NOW,
                note=f"Book {number}",
            )
        with self.assertNumQueries(6):
            first = self.client.get("/balance")
        second = self.client.get("/balance", {"cursor": first.context["next"]})
        seen = [line.entry.number for page in (first, second) for line in page.context["entries"]]
        self.assertEqual(seen, list(range(32, 0, -1)))
        self.assertContains(second, 'rel="prev"')
        self.assertRedirects(self.client.get("/balance?cursor=nonsense"), "/balance")

    def test_last_twelve_statements_are_listed(self) -> None:
        self.assertEqual(len(self.client.get("/balance").context["months"]), 2)
        self.client.force_login(self.bob)
        ledger.post(
            member=self.bob,
            kind=LedgerEntry.Kind.LOST_BOOK,
            amount=Decimal("1.00"),
            actor=self.carol,
            at=datetime(2024, 1, 5, tzinfo=UTC),
        )
        page = self.client.get("/balance")
        self.assertEqual([str(month) for month in page.context["months"]][::11], ["2026-11", "2025-12"])
        self.assertContains(page, "links to the month before")

    def test_open_rental_shows_overdue_state(self) -> None:
        with mock.patch("django.utils.timezone.now", return_value=NOW + 20 * DAY):
            self.client.force_login(self.alice)
            self.assertContains(self.client.get("/balance"), "Overdue")


class StatementPageTest(AccountTestCase):
    def test_page_adds_up_and_links_to_neighbours(self) -> None:
        with self.assertNumQueries(7):
            page = self.client.get("/balance/statements/2026-11/")
        for words in ("Statement for November 2026", "$4.50", "-$2.00", "Posted balance so far"):
            self.assertContains(page, words)
        self.assertContains(page, "You owe $2.50, not counting books on loan.")
        self.assertContains(page, 'rel="prev" href="/balance/statements/2026-10/"')
        self.assertNotContains(page, 'rel="next"')
        before = self.client.get("/balance/statements/2026-10/")
        self.assertContains(before, "1 day at $1.50: $1.50")
        self.assertContains(before, 'rel="next" href="/balance/statements/2026-11/"')

    def test_long_month_is_cut_and_says_so(self) -> None:
        self.pay("0.50", NOW - DAY, note="The last coins")
        address = "/balance/statements/2026-11/"
        self.assertNotContains(self.client.get(address), "shown here")
        with mock.patch.object(account, "MAX_ENTRIES", 1):
            page = self.client.get(address)
        self.assertContains(page, "1 later transaction of this month isn't shown here", html=False)
        self.assertContains(page, "The rest on Friday")
        self.assertNotContains(page, "The last coins")
        self.assertContains(page, "-$2.50")

    def test_statement_downloads_as_pdf_and_csv(self) -> None:
        pdf = self.client.get("/balance/statements/2026-11.pdf")
        self.assertEqual(pdf.headers["Content-Type"], "application/pdf")
        self.assertTrue(pdf.content.startswith(b"%PDF"))
        table = self.client.get("/balance/statements/2026-11.csv")
        self.assertEqual(table.headers["Content-Type"], "text/csv; charset=utf-8")
        lines = b"".join(table.streaming_content).decode("utf-8-sig").splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn("-2.00,2.50,USD", lines[2])
        self.assertIn("no-store", table.headers["Cache-Control"])

    def test_other_months_are_404(self) -> None:
        for month in ("2026-12", "2026-09", "2026-13", "0000-01", "9999-12"):
            for end in ("/", ".pdf", ".csv"):
                self.assertEqual(self.client.get(f"/balance/statements/{month}{end}").status_code, 404)


class ReceiptTest(AccountTestCase):
    def test_payment_has_receipt(self) -> None:
        with self.assertNumQueries(3):
            page = self.client.get("/balance/receipts/2/")
        for words in (f"Receipt no. {self.payment.pk}", "$2.00", "cash", "carol", "$4.50", "$2.50"):
            self.assertContains(page, words)
        pdf = self.client.get("/balance/receipts/2.pdf")
        self.assertTrue(pdf.content.startswith(b"%PDF"))

    def test_reversed_payment_is_marked(self) -> None:
        ledger.reverse(entry=self.payment, actor=self.carol, at=NOW)
        self.assertContains(self.client.get("/balance/receipts/2/"), "no longer counts")

    def test_other_entries_have_no_receipt(self) -> None:
        for number in (1, 3, 10**30):
            for end in ("/", ".pdf"):
                self.assertEqual(self.client.get(f"/balance/receipts/{number}{end}").status_code, 404)

    def test_receipt_of_other_member_is_404(self) -> None:
        for stranger in (self.bob, self.carol):
            self.client.force_login(stranger)
            for end in ("/", ".pdf"):
                self.assertEqual(self.client.get(f"/balance/receipts/2{end}").status_code, 404)


class LoginRequiredTest(AccountTestCase):
    def test_pages_redirect_to_sign_in(self) -> None:
        self.client.logout()
        for path in (
            *("/balance", "/balance/statements/2026-11/", "/balance/statements/2026-11.pdf"),
            *("/balance/statements/2026-11.csv", "/balance/receipts/2/", "/balance/receipts/2.pdf"),
        ):
            answer = self.client.get(path)
            self.assertEqual(answer.status_code, 302)
            self.assertTrue(answer.headers["Location"].startswith("/user/login"), answer.headers["Location"])

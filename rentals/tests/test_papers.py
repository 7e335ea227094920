"""Statements and receipts as PDF: what can be read in them, whatever people and books are called."""

from __future__ import annotations

import io
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import TestCase, mock

from django.test import tag
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from accounts import turns
from accounts.attempts import Busy
from lori_assignment import gunicorn_conf
from rentals import ledger, papers, services
from rentals.models import LedgerEntry, Policy, Rental
from rentals.paper import Paper, printable, written
from rentals.papers import Sheet, receipt_as_pdf, statement_as_pdf
from rentals.tests.test_statements import NOW, StatementTestCase

DAY = timedelta(days=1)
LETTERS = Paper(Sheet("", at=NOW).order)._letters


def pages_of(pdf: bytes) -> list[str]:
    return [
        page.extract_text().replace("\N{NO-BREAK SPACE}", " ") for page in PdfReader(io.BytesIO(pdf)).pages
    ]


class PrintableTest(TestCase):
    def test_names_of_many_scripts_stay_as_they_are(self) -> None:
        for name in ("Kovács", "Novotná", "Петренко", "Παπαδοπούλου", "Nguyễn", "Łukasz", "İpek", "€ £ ₴"):
            self.assertEqual(printable(name, LETTERS), name)

    def test_what_the_face_lacks_is_seen_to_be_missing(self) -> None:
        for name, printed in (
            ("村上", "☐☐"),
            ("ἀρχή", "αρχή"),
            ("Kova\u0301cs", "Kovács"),
            ("a\nb\tc", "a b c"),
            ("a\u200bb\x07", "ab"),
            ("1\u202f000", "1\u00a0000"),
            ("ﬄ①", "ﬄ1"),
        ):
            self.assertEqual(printable(name, LETTERS), printed)

    @given(st.text())
    def test_nothing_else_is_ever_printed(self, text: str) -> None:
        self.assertTrue(all(ord(sign) in LETTERS or sign == " " for sign in printable(text, LETTERS)))


@tag("any_database")
class PaperTest(StatementTestCase):
    """What writes a paper is a program of its own."""

    def sheet(self) -> Sheet:
        sheet = Sheet("A paper", at=NOW)
        sheet.add("facts", facts=[("Member", "Łukasz")])
        sheet.add("sums", sums=[("Charged", "$1.00"), ("Balance", "$2.00")])
        sheet.add("headings")
        for number in range(60):
            sheet.add("row", date="1/2", what=f"Book {number}", small=["why"], amount="$1", balance="$2")
        sheet.add("keep_together", height=20)
        sheet.add("space", h=4)
        sheet.add("text", text="You owe nothing.", bold=True)
        sheet.add("small_text", text="Until then.")
        return sheet

    def test_it_writes_what_it_is_told(self) -> None:
        sheet = self.sheet()
        pages = pages_of(sheet.as_pdf())
        self.assertGreater(len(pages), 1)
        for words in ("Łukasz", "Book 0", "Book 59", "You owe nothing.", "Until then."):
            self.assertIn(words, "\n".join(pages))
        self.assertEqual(pages, pages_of(written(sheet.order)))

    def test_it_is_told_no_secret(self) -> None:
        program = "import os, sys; sys.stdout.write(str(dict(os.environ)))"

        def run(words: list[str], **facts: Any) -> Any:
            return subprocess_run([words[0], "-c", program], **facts)

        subprocess_run = subprocess.run
        with mock.patch.dict("os.environ", SECRET_KEY="a secret"), mock.patch("subprocess.run", run):
            self.assertNotIn("secret", self.sheet().as_pdf().decode())

    def test_one_that_cannot_be_written_is_an_error_and_no_half_paper(self) -> None:
        sheet = self.sheet()
        sheet.add("no such step")
        with self.assertRaises(subprocess.CalledProcessError) as raised:
            sheet.as_pdf()
        self.assertIn("KeyError: 'no such step'", raised.exception.__notes__[0])
        # And the next one is written all the same.
        self.assertTrue(self.sheet().as_pdf().startswith(b"%PDF"))


@tag("any_database")
class PlaceTest(StatementTestCase):
    """A storm of papers leaves threads to everybody else."""

    path = "/balance/statements/2026-11.pdf"

    def setUp(self) -> None:
        super().setUp()
        self.client.force_login(self.alice)

    def test_while_one_is_written_the_next_is_told_to_come_again_before_anything_is_asked(self) -> None:
        statement = self.of(2026, 11)
        with papers._place_taken():
            with self.assertNumQueries(0), self.assertRaises(Busy):
                statement_as_pdf(statement, at=NOW)
            answer = self.client.get(self.path)
        self.assertEqual((answer.status_code, answer["Retry-After"]), (429, str(papers.LATER_SECONDS)))
        self.assertContains(answer, "Others are being served", status_code=429)
        self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_after_one_that_failed_the_next_is_written(self) -> None:
        with (
            mock.patch.object(Sheet, "as_pdf", side_effect=RuntimeError),
            self.assertRaises(RuntimeError),
        ):
            statement_as_pdf(self.of(2026, 11), at=NOW)
        self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_one_that_takes_too_long_is_no_error_of_the_shop(self) -> None:
        with mock.patch("rentals.papers.LONGEST", 0.01), self.assertLogs("rentals.papers", "WARNING"):
            answer = self.client.get(self.path)
        self.assertEqual(answer.status_code, 429)

    def test_beside_those_who_sign_in_a_thread_is_left(self) -> None:
        self.assertGreater(gunicorn_conf.threads, turns.AT_ONCE + turns.WAITING + 1)


@tag("any_database")
class StatementPdfTest(StatementTestCase):
    def text(self) -> str:
        return "\n".join(pages_of(statement_as_pdf(self.of(2026, 11), at=NOW)))

    def test_it_says_whose_it_is_and_how_the_balance_came_about(self) -> None:
        self.alice.change_profile(name="Аліса Kovács", address="Moss Lane 1\nNewtown")
        self.charge(NOW - 40 * DAY)
        self.charge(NOW - DAY)
        self.pay("2.00", NOW)
        text = self.text()
        flowing = " ".join(text.split())
        for words in (
            *("Lori Books", "Statement of November 2026", "Аліса Kovács", "Moss Lane 1, Newtown"),
            *("alice@example.org", "Rent: Emma", "price list Tiered, novel", "1 day at $1.50: $1.50"),
            *("Payment, cash", "-$2.00", "You owe $7.00.", "Page 1 of 1"),
        ):
            self.assertIn(words, flowing)
        sums = [line for line in text.splitlines() if line.startswith(("Balance", "Charged", "Paid and"))]
        self.assertEqual([line.split()[-1] for line in sums[:4]], ["$4.50", "$4.50", "-$2.00", "$7.00"], sums)

    def test_a_quiet_month_says_so(self) -> None:
        self.assertIn("Nothing was charged or paid in this month.", self.text())
        self.assertIn("Nothing is owed.", self.text())

    def test_a_long_month_has_more_pages_and_loses_nothing(self) -> None:
        self.emma.name = "Emma, " + "or how to see what is before one's eyes, " * 6
        self.emma.save()
        Policy.objects.update(debt_limit=1000)
        for _ in range(30):
            self.charge(NOW)
        pages = pages_of(statement_as_pdf(self.of(2026, 11), at=NOW))
        self.assertGreater(len(pages), 3)
        self.assertEqual(sum(page.count("Rent: Emma") for page in pages), 30)
        for number, page in enumerate(pages, start=1):
            self.assertIn(f"Page {number} of {len(pages)}", page)

    def test_a_hostile_name_and_note_are_only_text(self) -> None:
        self.alice.change_profile(name="(村上) \\n **x** %PDF {nb}\U0001f642" * 5)
        self.charge(NOW)
        self.pay("1.00", NOW, "\u202eevil) Tj ET" * 20)
        self.assertIn("(☐☐)", self.text())

    def test_it_is_written_in_the_language_of_the_reader(self) -> None:
        with translation.override("de"):
            self.charge(NOW)
            self.assertIn("4,50 $", self.text())


@tag("any_database")
class ReceiptPdfTest(StatementTestCase):
    def text(self, entry: LedgerEntry) -> str:
        found = LedgerEntry.objects.with_facts().select_related("actor", "reversed_by").get(pk=entry.pk)
        [page] = pages_of(receipt_as_pdf(found, at=NOW))
        return page

    def test_it_says_who_paid_what_to_whom(self) -> None:
        self.charge(NOW)
        payment = self.pay("2.00", datetime(2026, 11, 24, 12, 30, tzinfo=UTC), "Thanks")
        text = self.text(payment)
        for words in (
            *(f"Receipt no. {payment.pk}", "Alice Moss", "cash", "11/24/2026 12:30 p.m.", "carol", "Thanks"),
            *("No. 2 of the account", "Received with thanks", "$2.00"),
        ):
            self.assertIn(words, text)

    def test_one_of_a_corrected_payment_says_that_it_counts_for_nothing(self) -> None:
        self.charge(NOW)
        payment = self.pay("2.00", NOW)
        ledger.reverse(entry=payment, actor=self.carol, at=NOW)
        self.assertIn("by no. 3 and counts for nothing.", self.text(payment))

    def test_a_refund_has_one_too(self) -> None:
        self.charge(NOW)
        self.pay("4.50", NOW)
        rental = Rental.objects.get(user=self.alice)
        services.void_rental(rental=rental, at=NOW, actor=self.carol)
        refund = ledger.refund(
            member=self.alice,
            amount=Decimal("4.50"),
            method=LedgerEntry.Method.CASH,
            reason="Void.",
            actor=self.carol,
            at=NOW,
        )
        text = self.text(refund)
        for words in ("Paid out by", "Handed out by", "$4.50", "Void."):
            self.assertIn(words, text)

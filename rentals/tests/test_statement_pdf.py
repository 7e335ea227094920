"""Tests statements and receipts as PDF: text in many scripts, and limits on the programs."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from unittest import TestCase, mock

from django.conf import settings
from django.test import tag
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from accounts import hashing_queue
from lori_assignment.errors import Busy
from lori_assignment.server import gunicorn_conf
from lori_assignment.testing.cases import RaceTestCase
from rentals import ledger, services
from rentals.models import LedgerEntry, Policy, Rental
from rentals.statements import pdf
from rentals.statements.pdf import DocumentSpec, statement_as_pdf
from rentals.statements.pdf_writer import fallback_fonts, main_font, printable, write_pdf
from rentals.tests.test_statements import NOW, StatementTestCase

DAY = timedelta(days=1)


def pages_of(content: bytes) -> list[str]:
    return [
        page.extract_text().replace("\N{NO-BREAK SPACE}", " ")
        for page in PdfReader(io.BytesIO(content)).pages
    ]


def fonts_of(content: bytes) -> set[str]:
    """Return the font names without the prefix of a subset, which is six letters and a plus sign."""
    fonts: set[str] = set()
    for page in PdfReader(io.BytesIO(content)).pages:
        for font in page["/Resources"]["/Font"].values():
            fonts.add(font.get_object()["/BaseFont"].rpartition("+")[2])
    return fonts


def running(program: str) -> Any:
    """Return a `subprocess.run` that runs `program` instead of the one that writes PDFs."""
    run = subprocess.run
    return lambda words, **options: run([words[0], "-c", program], **options)


class PrintableTest(TestCase):
    letters = frozenset(main_font().letters)

    def test_scripts_of_the_main_font_need_no_other(self) -> None:
        for name in ("Kovács", "Novotná", "Петренко", "ἀρχή", "Nguyễn", "Łukasz", "İpek", "€ £ ₴"):
            self.assertEqual(printable(name, self.letters), name)
            self.assertEqual(list(fallback_fonts(name)), [])

    def test_other_scripts_have_fallback_fonts(self) -> None:
        for name, family in (
            ("三体", "notosansjp"),
            ("容疑者X", "notosansjp"),
            ("한국어", "notosanskr"),
            ("们", "notosanssc"),
            ("שלום", "notosanshebrew"),
            ("مرحبا بالعالم", "notosansarabic"),
            ("สวัสดีชาวโลก", "notosansthai"),
            ("हिन्दी किताब", "notosansdevanagari"),
            ("\U0001f642", "notoemoji"),
        ):
            [font] = fallback_fonts(name)
            self.assertEqual(font.family, family)
            self.assertEqual(printable(name, self.letters | set(font.letters)), name)

    def test_missing_characters_are_replaced_or_removed(self) -> None:
        for name, printed in (
            ("\U00012000", "\N{REPLACEMENT CHARACTER}"),
            ("Kova\u0301cs", "Kovács"),
            ("a\nb\tc", "a b c"),
            ("a\u200bb\x07", "ab"),
            ("\u202ea\u2066b\ue000c\ud800", "abc"),
            ("1\u202f000", "1\u00a0000"),
            ("\u2460", "1"),
        ):
            self.assertEqual(printable(name, self.letters), printed)

    def test_marks_on_one_letter_are_limited(self) -> None:
        marks = {0x0301, 0x0316}
        for name in ("Q" + "\u0301\u0316" * 95, "Q" + "\u0301\u200d\u0316\u2060" * 95):
            printed = printable(name, self.letters | marks)
            self.assertEqual(printed[0], "Q")
            self.assertEqual(len(printed), 6)
        for name in ("\u1000\u103c\u103d\u103e\u1031\u1037", "a\u0301\u0316b\u0301"):
            letters = self.letters | set(map(ord, unicodedata.normalize("NFC", name)))
            self.assertEqual(printable(name, letters), unicodedata.normalize("NFC", name))

    @given(st.text())
    def test_nothing_else_is_printed(self, text: str) -> None:
        self.assertLessEqual(set(map(ord, printable(text, self.letters))), self.letters)


@tag("any_database")
class WriterTest(StatementTestCase):
    """The program that writes a PDF."""

    def setUp(self) -> None:
        super().setUp()
        # Parallel tests slow the program down.
        self.enterContext(mock.patch.object(pdf, "TIMEOUT", 120))
        self.enterContext(mock.patch.object(pdf, "CPU_TIMEOUT", 120))

    def document(self, *titles: str) -> DocumentSpec:
        document = DocumentSpec("A document", at=NOW)
        document.add("facts", facts=[("Member", "Łukasz")])
        document.add("sums", sums=[("Charged", "$1.00"), ("Balance", "$2.00")])
        entries = [
            {"date": "1/2", "what": title, "small": ["why"], "amount": "$1", "balance": "$2"}
            for title in titles
        ]
        document.add("entries", headings=["Date", "What", "Amount", "Balance"], entries=entries)
        document.add("keep_together", height=20)
        document.add("space", h=4)
        document.add("text", text="You owe nothing.", bold=True)
        document.add("small_text", text="Until then.")
        return document

    def test_writes_its_spec(self) -> None:
        document = self.document(*(f"Book {number}" for number in range(40)))
        content = document.as_pdf()
        pages = pages_of(content)
        self.assertGreater(len(pages), 1)
        for words in ("Łukasz", "Book 0", "Book 39", "You owe nothing.", "Until then."):
            self.assertIn(words, "\n".join(pages))
        for page in pages:
            self.assertIn("Date What Amount Balance", page)
        self.assertEqual(pages, pages_of(write_pdf(document.spec)))
        reader = PdfReader(io.BytesIO(content))
        self.assertEqual(reader.metadata and reader.metadata.title, "A document")
        self.assertEqual(reader.trailer["/Root"]["/Lang"], "en")

    def test_embeds_only_the_fonts_that_its_text_needs(self) -> None:
        plain = write_pdf(self.document("Emma").spec)
        self.assertEqual(fonts_of(plain), {"NotoSans"})
        titles = ("三体", "容疑者X", "שלום", "مرحبا بالعالم", "สวัสดีชาวโลก", "हिन्दी किताब", "\U0001f642")
        content = write_pdf(self.document(*titles).spec)
        for family in ("JP", "Hebrew", "Arabic", "Thai", "Devanagari", "Emoji"):
            self.assertIn(family, " ".join(fonts_of(content)))
        # pypdf prints the number of a letter's second glyph, which has no character of its own.
        text = re.sub(r"[\x00-\x08]", "", "\n".join(pages_of(content)))
        for words in (
            "三体",
            "容疑者X",
            "שלום",
            "مرحبا",
            "بالعالم",
            "สวัสดีชาวโลก",
            "हिन्दी",
            "किताब",
            "\U0001f642",
        ):
            self.assertIn(words, text)
        self.assertLess(max(len(plain), len(content)), 100_000)

    def test_gets_no_secret_and_leaves_no_file(self) -> None:
        program = "import os, sys; open(os.environ['TMPDIR'] + '/font', 'w'); print(dict(os.environ))"

        def run(words: list[str], **options: Any) -> Any:
            folders.append(options["env"]["TMPDIR"])
            return subprocess_run([words[0], "-c", program], **options)

        folders: list[str] = []
        subprocess_run = subprocess.run
        with mock.patch.dict("os.environ", SECRET_KEY="a secret"), mock.patch("subprocess.run", run):
            self.assertNotIn("secret", self.document("Emma").as_pdf().decode())
        self.assertTrue(folders[0].startswith(gettempdir()))
        self.assertFalse(Path(folders[0]).exists())

    def test_ends_after_its_time_without_its_parent(self) -> None:
        program = [sys.executable, "-m", "rentals.statements.pdf_writer", "1", "60"]
        with subprocess.Popen(program, stdin=subprocess.PIPE, cwd=settings.BASE_DIR) as waiting:  # noqa: S603
            self.assertEqual(waiting.wait(timeout=60), -signal.SIGALRM)

    def test_program_runs_at_low_priority(self) -> None:
        program = [sys.executable, "-m", "rentals.statements.pdf_writer", "60", "60"]
        with subprocess.Popen(program, stdin=subprocess.PIPE, cwd=settings.BASE_DIR) as waiting:  # noqa: S603
            self.addCleanup(waiting.kill)
            until = time.monotonic() + 60
            low = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
            while os.getpriority(os.PRIO_PROCESS, waiting.pid) < low and time.monotonic() < until:
                time.sleep(0.05)
            self.assertGreaterEqual(os.getpriority(os.PRIO_PROCESS, waiting.pid), low)
            waiting.kill()

    def test_an_error_leaves_no_half_document(self) -> None:
        document = self.document("Emma")
        document.add("no such step")
        with self.assertRaises(subprocess.CalledProcessError) as raised:
            document.as_pdf()
        self.assertIn("KeyError: 'no such step'", raised.exception.__notes__[0])

    def test_full_temporary_folder_is_503(self) -> None:
        self.client.force_login(self.alice)
        self.client.raise_request_exception = False
        program = (
            "import errno, runpy, sys; from pathlib import Path\n"
            "def write_bytes(*_): raise OSError(errno.ENOSPC, 'No space left on device')\n"
            "Path.write_bytes = write_bytes; sys.argv = ['', '120', '120']\n"
            "runpy.run_module('rentals.statements.pdf_writer', run_name='__main__')"
        )
        with (
            mock.patch.object(pdf, "PAUSE", 0),
            mock.patch("subprocess.run", running(program)),
            self.assertLogs("lori_assignment.db.errors", "WARNING") as told,
        ):
            response = self.client.get("/balance/statements/2026-11.pdf")
        self.assertEqual((response.status_code, response["Retry-After"]), (503, "5"))
        self.assertIn("File error (ENOSPC): GET /balance/statements/2026-11.pdf", told.output[0])

    def test_slow_program_is_busy(self) -> None:
        self.client.force_login(self.alice)
        with (
            mock.patch.object(pdf, "TIMEOUT", 0.01),
            self.assertLogs("rentals.statements.pdf", "WARNING"),
        ):
            response = self.client.get("/balance/statements/2026-11.pdf")
        self.assertEqual(response.status_code, 429)

    def test_killed_program_is_busy(self) -> None:
        self.client.force_login(self.alice)
        for number in (signal.SIGKILL, signal.SIGALRM):
            program = f"import os; os.kill(os.getpid(), {int(number)})"
            with (
                mock.patch.object(pdf, "PAUSE", 0),
                mock.patch("subprocess.run", running(program)),
                self.assertLogs("rentals.statements.pdf", "WARNING"),
            ):
                response = self.client.get("/balance/statements/2026-11.pdf")
            self.assertEqual(response.status_code, 429)

    def test_too_much_processor_time_is_refused(self) -> None:
        self.client.force_login(self.alice)
        document = self.document(*(f"Book {number}" for number in range(1000)))
        with (
            mock.patch.object(pdf, "CPU_TIMEOUT", 1),
            mock.patch.object(pdf, "_statement", return_value=document),
            self.assertLogs("rentals.statements.pdf", "WARNING"),
        ):
            response = self.client.get("/balance/statements/2026-11.pdf")
        self.assertContains(response, "This statement is too long for a PDF.", status_code=409)
        self.assertContains(response, 'href="/balance/statements/2026-11.csv"', status_code=409)


class ProgramLimitTest(StatementTestCase):
    path = "/balance/statements/2026-11.pdf"

    def setUp(self) -> None:
        super().setUp()
        self.client.force_login(self.alice)
        self.enterContext(mock.patch.object(pdf, "PAUSE", 0))
        self.enterContext(mock.patch.object(DocumentSpec, "as_pdf", return_value=b"%PDF"))

    def test_one_at_a_time_for_one_member(self) -> None:
        with pdf._program_for(self.alice):
            response = self.client.get(self.path)
        self.assertEqual((response.status_code, response["Retry-After"]), (429, str(pdf.PAUSE)))
        self.assertContains(response, "The shop is busy at the moment.", status_code=429)
        self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_next_pdf_of_a_member_must_wait(self) -> None:
        with mock.patch.object(pdf, "PAUSE", 60):
            self.assertEqual(self.client.get(self.path).status_code, 200)
            response = self.client.get(self.path)
            self.assertEqual((response.status_code, response["Retry-After"]), (429, "60"))
        self.client.force_login(self.bob)
        self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_another_member_is_served_meanwhile(self) -> None:
        with pdf._program_for(self.bob):
            self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_programs_of_a_worker_are_limited(self) -> None:
        statement = self.of(2026, 11)
        with pdf._program_for(self.bob), pdf._program_for(self.carol):
            with self.assertNumQueries(0), self.assertRaises(Busy):
                statement_as_pdf(statement, at=NOW)
            self.assertEqual(self.client.get(self.path).status_code, 429)
        self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_too_many_entries_reserve_no_program(self) -> None:
        for _ in range(2):
            self.charge(NOW)
        with mock.patch.object(pdf, "MAX_ENTRIES", 1):
            for _ in range(2):
                response = self.client.get(self.path)
                self.assertContains(response, "This statement is too long for a PDF.", status_code=409)
                self.assertNotIn("Retry-After", response)
            self.client.force_login(self.bob)
            self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_nginx_waits_longer_than_a_program(self) -> None:
        text = (settings.BASE_DIR / "deploy" / "nginx.conf").read_text()
        [seconds] = re.findall(r"proxy_read_timeout ([0-9]+)s;", text)
        self.assertGreater(int(seconds), pdf.TIMEOUT)

    def test_killed_worker_leaves_no_lock(self) -> None:
        killed = pdf._program_for(self.alice)
        with mock.patch.object(pdf, "TIMEOUT", 0):
            killed.__enter__()
        self.addCleanup(killed.__exit__, None, None, None)
        self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_next_statement_works_after_an_error(self) -> None:
        with (
            mock.patch.object(DocumentSpec, "as_pdf", side_effect=RuntimeError),
            self.assertRaises(RuntimeError),
        ):
            statement_as_pdf(self.of(2026, 11), at=NOW)
        self.assertEqual(self.client.get(self.path).status_code, 200)

    def test_one_thread_is_left_for_other_requests(self) -> None:
        taken = hashing_queue.MAX_CONCURRENT + hashing_queue.MAX_WAITING + pdf.MAX_PROGRAMS
        self.assertGreater(gunicorn_conf.threads, taken)


class ProgramRaceTest(RaceTestCase):
    """Two concurrent requests of one member, each in its own worker."""

    def outcomes(self) -> list[Any]:
        both_are_in = threading.Barrier(2)

        def write() -> str:
            with pdf._program_for(self.alice):
                # The barrier breaks if the second request is refused.
                with contextlib.suppress(threading.BrokenBarrierError):
                    both_are_in.wait(timeout=2)
                return "written"

        return self.run_concurrently(write, write)

    def test_one_of_two_is_let_in(self) -> None:
        outcomes = self.outcomes()
        self.assertEqual(outcomes.count("written"), 1, outcomes)
        self.assertEqual([type(outcome) for outcome in outcomes if outcome != "written"], [Busy])

    def test_without_the_record_both_programs_start(self) -> None:
        with mock.patch.object(pdf, "cache"):
            self.assertEqual(self.outcomes(), ["written", "written"])


@tag("any_database")
class StatementPdfTest(StatementTestCase):
    def text(self) -> str:
        return "\n".join(self.pages())

    def pages(self) -> list[str]:
        document = pdf._statement(self.of(2026, 11), at=NOW)
        return pages_of(write_pdf(document.spec))

    def test_statement_names_member_and_balance(self) -> None:
        self.alice.change_profile(name="Аліса Kovács", address="Moss Lane 1\nNewtown")
        self.charge(NOW - 40 * DAY)
        self.charge(NOW - DAY)
        self.pay("2.00", NOW)
        text = self.text()
        flowing = " ".join(text.split())
        for words in (
            *("Lori Books", "Statement for November 2026", "Аліса Kovács", "Moss Lane 1, Newtown"),
            *("alice@example.org", "Rental: Emma", "price list Tiered, novel", "1 day at $1.50: $1.50"),
            *("Payment, cash", "-$2.00", "You owe $7.00, not counting books on loan.", "Page 1 of 1"),
        ):
            self.assertIn(words, flowing)
        sums = [line for line in text.splitlines() if line.startswith(("Posted", "Charged", "Payments and"))]
        self.assertEqual([line.split()[-1] for line in sums[:4]], ["$4.50", "$4.50", "-$2.00", "$7.00"], sums)

    def test_a_quiet_month_says_so(self) -> None:
        self.assertIn("No transactions this month.", self.text())
        self.assertIn("You don't owe anything, not counting books on loan.", self.text())

    def test_long_month_fills_several_pages(self) -> None:
        self.emma.name = "Emma, " + "or how to see what is before one's eyes, " * 6
        self.emma.save()
        Policy.objects.update(debt_limit=1000)
        for _ in range(30):
            self.charge(NOW)
        pages = self.pages()
        self.assertGreater(len(pages), 3)
        self.assertEqual(sum(page.count("Rental: Emma") for page in pages), 30)
        for number, page in enumerate(pages, start=1):
            self.assertIn(f"Page {number} of {len(pages)}", page)

    def test_hostile_text_stays_text(self) -> None:
        self.alice.change_profile(name="(村上) \\n **x** %PDF {nb}\U0001f642")
        self.charge(NOW)
        self.pay("1.00", NOW, "\u202eevil) Tj ET {nb}" * 20)
        text = " ".join(self.text().split())
        self.assertIn("(村上) \\n **x** %PDF {nb}", text)
        self.assertIn("evil) Tj ET {nb}evil) Tj ET {nb}", text)
        self.assertIn("Page 1 of 1", text)
        self.assertNotIn("\u202e", text)

    def test_statement_is_in_the_readers_language(self) -> None:
        with translation.override("de"):
            self.charge(NOW)
            self.assertIn("4,50 $", self.text())


@tag("any_database")
class ReceiptPdfTest(StatementTestCase):
    def text(self, entry: LedgerEntry) -> str:
        found = LedgerEntry.objects.with_relations().select_related("actor", "reversed_by").get(pk=entry.pk)
        [page] = pages_of(write_pdf(pdf._receipt(found, at=NOW).spec))
        return page

    def test_receipt_names_payer_and_amount(self) -> None:
        self.charge(NOW)
        payment = self.pay("2.00", datetime(2026, 11, 24, 12, 30, tzinfo=UTC), "Thanks")
        text = self.text(payment)
        for words in (
            *(f"Receipt no. {payment.pk}", "Alice Moss", "cash", "11/24/2026 12:30 p.m.", "carol", "Thanks"),
            *("No. 2 on your account", "Received with thanks", "$2.00"),
        ):
            self.assertIn(words, text)

    def test_receipt_of_reversed_payment_says_so(self) -> None:
        self.charge(NOW)
        payment = self.pay("2.00", NOW)
        ledger.reverse(entry=payment, actor=self.carol, at=NOW)
        self.assertIn("by no. 3 and no longer counts.", self.text(payment))

    def test_refund_has_a_receipt(self) -> None:
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
        for words in ("Paid out", "Payment method cash", "Handled by carol", "$4.50", "Void."):
            self.assertIn(words, text)

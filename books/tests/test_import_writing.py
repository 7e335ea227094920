from __future__ import annotations

import io
import threading
from unittest import mock, skipUnless

from django.db import IntegrityError, connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from books.importing import importer
from books.importing.report import ImportReport
from books.importing.rows import NewBooks
from books.models import Book, Copy
from books.stock import add_book
from books.tests.importing import (
    DUNE,
    EMMA,
    InterruptedStream,
    csv_lines,
    import_text,
    report_counts,
    report_sentences,
)
from lori_assignment.testing.cases import RaceTestCase


class BatchTest(TestCase):
    def test_bad_row_does_not_stop_the_others(self):
        report = import_text("name,kind\nA,\nB,poem\n,\nC\nD,,\nE,novel\n", batch_size=2)
        self.assertEqual(sorted(Book.objects.values_list("name", flat=True)), ["A", "E"])
        self.assertEqual((report.read, report_counts(report)), (5, (2, 0, 0, 3)))

    def test_header_without_rows_imports_nothing(self):
        self.assertEqual((import_text("name,isbn\n").read, Book.objects.count()), (0, 0))

    def test_query_count_is_constant(self):
        def queries(rows: int, year: int) -> int:
            with CaptureQueriesContext(connection) as captured:
                lines = "".join(f"Book {at},{at},{year}\n" for at in range(rows))
                import_text(f"name,author,year\n{lines}")
            return len(captured)

        for year in (1999, 2000):
            with self.subTest("new" if year == 1999 else "updated"):
                self.assertEqual(queries(10, year), queries(80, year))

    def test_dry_run_counts_but_changes_nothing(self):
        add_book(name="Emma", isbn=EMMA, published=1815)
        before = list(Book.objects.values()), list(Copy.objects.values())
        text = f"name,isbn,year\nDune,{DUNE},\nDune,{DUNE},1965\nEmma,{EMMA},1816\n,,\nx\n"
        report = import_text(text, dry_run=True, batch_size=1)
        self.assertEqual(report_counts(report), (1, 2, 0, 1))
        self.assertEqual((list(Book.objects.values()), list(Copy.objects.values())), before)
        self.assertEqual(report_counts(import_text(text)), (1, 2, 0, 1))

    def test_interrupted_dry_run_changes_nothing(self):
        text = "".join(csv_lines(9))
        with self.assertRaises(KeyboardInterrupt):
            import_text(InterruptedStream(text, lines=7), dry_run=True, batch_size=2)
        self.assertEqual(Book.objects.count(), 0)

    def test_interrupted_import_resumes(self):
        text = "".join(csv_lines(20, with_isbn=10))
        for lines in (8, 15):
            report = ImportReport(most_remarks=None)
            with self.assertRaises(KeyboardInterrupt):
                import_text(InterruptedStream(text, lines=lines), batch_size=3, report=report)
            self.assertEqual(Book.objects.count(), (lines - 1) // 3 * 3)
            self.assertEqual(report.read, (lines - 1) // 3 * 3)
        report = import_text(text, batch_size=3)
        self.assertEqual(report_counts(report), (8, 0, 12, 0))
        self.assertEqual((Book.objects.count(), Copy.objects.count()), (20, 20))


class ConflictTest(TestCase):
    """Conflicts that the database reports for a batch of valid rows."""

    text = f"name,isbn\nDune,{DUNE}\nEmma,{EMMA}\n"

    def clashing(self, *, times: int):
        """Make the first `times` writes of new books conflict with another writer's."""
        create, failures = importer._create, iter(range(times))

        def failing(new, **options):
            if next(failures, None) is not None:
                raise IntegrityError
            create(new, **options)

        return mock.patch.object(importer, "_create", failing)

    def test_conflicting_batch_is_retried(self):
        with self.clashing(times=1):
            report = import_text(self.text)
        self.assertEqual((report_counts(report), Copy.objects.count()), ((2, 0, 0, 0), 2))

    def test_repeated_conflict_refuses_only_its_row(self):
        add_book(name="Old", isbn="9780140268867")
        with self.clashing(times=3):
            report = import_text(self.text + "Old,9780140268867\nOld one,9780140268867\nWrong,1\n")
        self.assertEqual(report_counts(report), (3, 0, 1, 1))
        self.assertEqual([remark.line for remark in report.refused.first], [2])
        self.assertIn("Someone else", report_sentences(report)[-1])
        self.assertEqual(report.warnings.count, 2)

    def test_taken_barcodes_are_skipped(self):
        old = add_book(name="Old")
        Copy.objects.bulk_create(Copy(book=old, barcode=f"{old.pk + number}-1") for number in range(1, 20))
        report = import_text(self.text, new=NewBooks(copies=2))
        self.assertEqual(report_counts(report), (2, 0, 0, 0))
        dune = Book.objects.get(isbn=DUNE)
        self.assertEqual(dune.copies.count(), 2)
        self.assertFalse(dune.copies.filter(barcode=f"{dune.pk}-1").exists())


class ImportRaceTest(RaceTestCase):
    def both(self, text: str) -> list[ImportReport]:
        def run() -> ImportReport:
            return import_text(text, batch_size=20)

        return self.run_concurrently(run, run)

    def test_concurrent_imports_create_no_duplicates(self):
        one, other = self.both("".join(csv_lines(200, with_isbn=100)))
        self.assertEqual(one.created + other.created, 200)
        self.assertEqual(one.unchanged + other.unchanged, 200)
        self.assertEqual((Book.objects.count(), Copy.objects.count()), (200, 200))

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_without_the_lock_duplicates_are_created(self):
        line = threading.Barrier(2)
        shelf = importer.BookMatcher

        def meet(*args):
            found = shelf(*args)
            line.wait(timeout=10)
            return found

        with (
            mock.patch.object(importer, "_wait_for_other_imports"),
            mock.patch.object(importer, "BookMatcher", meet),
        ):
            self.both("".join(csv_lines(5)))
        self.assertEqual(Book.objects.count(), 10)

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_concurrently_taken_isbn_is_seen_on_retry(self):
        shelf = importer.BookMatcher
        first = iter([True])

        def interrupted(*args):
            found = shelf(*args)
            if next(first, False):
                self.run_concurrently(lambda: add_book(name="By hand", isbn=DUNE))
            return found

        with mock.patch.object(importer, "BookMatcher", interrupted):
            report = import_text(f"name,isbn\nEmma,{EMMA}\nDune,{DUNE}\n")
        self.assertEqual(report_counts(report), (1, 1, 0, 0))
        self.assertEqual(Book.objects.get(isbn=DUNE).name, "Dune")

    @skipUnless(connection.vendor == "postgresql", "SQLite locks the whole database instead.")
    def test_concurrent_changes_are_not_undone(self):
        kept, gone = add_book(name="Dune", isbn=DUNE), add_book(name="Emma", isbn=EMMA)
        shelf = importer.BookMatcher

        def change_and_delete():
            Book.objects.filter(pk=kept.pk).update(description="By hand.")
            gone.delete()

        def interrupted(*args):
            found = shelf(*args)
            self.run_concurrently(change_and_delete)
            return found

        with mock.patch.object(importer, "BookMatcher", interrupted):
            import_text(f"name,isbn,year\nDune,{DUNE},1965\nEmma,{EMMA},1815\n")
        self.assertEqual(list(Book.objects.values_list("published", "description")), [(1965, "By hand.")])


class StreamingTest(TestCase):
    def test_rows_are_written_while_reading(self):
        seen = []

        class Slow(io.StringIO):
            def readline(self, *args):
                seen.append(Book.objects.count())
                return super().readline(*args)

        import_text(Slow("".join(csv_lines(9))), batch_size=3)
        self.assertEqual(seen[-1], 9)
        self.assertIn(3, seen)
        self.assertEqual(seen, sorted(seen))

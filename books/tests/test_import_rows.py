from __future__ import annotations

import io

from django.test import TestCase

from books.importing.rows import NewBooks
from books.models import Book, Kind
from books.tests.importing import DUNE, import_text, report_counts, report_sentences


class TextTest(TestCase):
    def test_whitespace_and_accents_are_normalised(self):
        import_text('name,author\n"  Les\tMise\u0301rables \n I ",Victor\u00a0Hugo\n')
        book = Book.objects.get()
        self.assertEqual((book.name, book.author), ("Les Mis\u00e9rables I", "Victor Hugo"))

    def test_a_description_keeps_its_paragraphs(self):
        import_text('name,description\nDune,"\r\n One  planet. \r\n\r\nTwo houses.\r\n"\n')
        self.assertEqual(Book.objects.get().description, "One planet.\n\nTwo houses.")

    def test_book_without_a_name_is_refused(self):
        report = import_text("name,author\n  ,Frank Herbert\nDune,Frank Herbert\n")
        self.assertEqual(report_counts(report), (1, 0, 0, 1))
        self.assertEqual(report_sentences(report), ["The book has no name."])

    def test_text_lengths_are_limited(self):
        for column, most in (("name", 300), ("author", 1000), ("description", 10_000)):
            with self.subTest(column):
                header = "name" if column == "name" else f"name,{column}"
                start = "" if column == "name" else f"{column},"
                report = import_text(f"{header}\n{start}{'é' * most}\n{start}{'é' * (most + 1)}\n")
                self.assertEqual(report_counts(report), (1, 0, 0, 1))
                self.assertIn(f"{most + 1:,} characters", report_sentences(report)[0])

    def test_control_characters_are_refused(self):
        for bad in ("\0", "\x1b", "\x1f", "\x7f", "\x9b"):
            with self.subTest(repr(bad)):
                report = import_text(f"name,author\nDu{bad}ne,x\nDune,x\n")
                self.assertEqual(report.refused.count, 1)
                self.assertEqual(report_sentences(report), ["“name” contains a control character."])

    def test_unused_columns_are_not_checked(self):
        self.assertEqual(import_text("name,shelf\nDune,\x01\n").created, 1)

    def test_invalid_utf_8_refuses_only_its_row(self):
        raw = b"name,author\nDune,Herbert\nEmma,J\xe9r\xf4me\nIliad,Homer\nBad \xe9\n"
        report = import_text(
            io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="surrogateescape", newline="")
        )
        self.assertEqual(report_counts(report), (2, 0, 0, 2))
        self.assertEqual([remark.line for remark in report.refused.first], [3, 5])
        self.assertIn("“author” isn't encoded in UTF-8", report_sentences(report)[0])

    def test_invalid_utf_8_in_malformed_row_is_error(self):
        raw = b'name,author\n"Dune\xe9" x,Herbert\n'
        report = import_text(
            io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="surrogateescape", newline="")
        )
        self.assertEqual(report_sentences(report), ["The row isn't encoded in UTF-8."])


class YearTest(TestCase):
    def test_year_formats_are_parsed(self):
        written = {
            "2008.0": 2008,
            "-750.0": -750,
            "1965": 1965,
            "\u2212380": -380,
            "2001-09-30": 2001,
            " 8. ": 8,
        }
        for cell, year in written.items():
            with self.subTest(cell):
                Book.objects.all().delete()
                report = import_text(f"name,year\nDune,{cell}\n")
                self.assertEqual((Book.objects.get().published, report.warnings.count), (year, 0))

    def test_invalid_year_is_a_warning(self):
        for cell in ("[18--?]", "2008.5", "2201", "-5001", "1e3", "9" * 5000, "٢٠٠٨"):
            with self.subTest(cell[:20]):
                Book.objects.all().delete()
                report = import_text(f"name,year\nDune,{cell}\n")
                self.assertEqual((Book.objects.get().published, report.warnings.count), (None, 1))

    def test_missing_year_is_not_a_warning(self):
        self.assertEqual(import_text("name,year\nDune,\n").warnings.count, 0)


class IsbnAndLanguageTest(TestCase):
    def test_invalid_isbn_is_a_warning(self):
        report = import_text("name,isbn\nDune,0441013590\nEmma,none\n")
        self.assertEqual(set(Book.objects.values_list("isbn", flat=True)), {""})
        self.assertIn("ISBN “0441013590” has a wrong check digit", report_sentences(report)[0])
        self.assertIn("“none” is not an ISBN", report_sentences(report)[1])

    def test_an_empty_formula_is_an_empty_isbn(self):
        self.assertEqual(import_text('name,isbn\nDune,=""\n').warnings.count, 0)

    def test_isbn_is_stored_as_13_digits(self):
        import_text("name,isbn\nDune,441013597\n")
        self.assertEqual(Book.objects.get().isbn, DUNE)

    def test_unknown_language_is_a_warning(self):
        report = import_text("name,language\nDune,eng\nEmma,Klingonish\n")
        self.assertEqual(list(Book.objects.values_list("language", flat=True)), ["en", ""])
        self.assertEqual([remark.line for remark in report.warnings.first], [3])


class KindAndCopiesTest(TestCase):
    def test_defaults_apply_without_columns(self):
        import_text("name\nDune\n", new=NewBooks(kind=Kind.FICTION, copies=3))
        book = Book.objects.get()
        self.assertEqual((book.kind, book.copies.count()), (Kind.FICTION, 3))

    def test_kind_is_read_from_its_column(self):
        import_text("name,kind\nA,Novel\nB,2\nC,REGULAR\nD,3.0\nE,\n", new=NewBooks(kind=Kind.FICTION))
        self.assertEqual(list(Book.objects.values_list("kind", flat=True)), [3, 2, 1, 3, 2])

    def test_an_unknown_kind_is_refused(self):
        report = import_text("name,kind\nA,poem\nB,novel\n")
        self.assertEqual(report_counts(report), (1, 0, 0, 1))
        self.assertIn("“poem” is not a category", report_sentences(report)[0])

    def test_copies_are_read_from_their_column(self):
        import_text("name,copies\nA,2\nB,0\nC,3.0\nD,\n", new=NewBooks(copies=4))
        self.assertEqual([book.copies.count() for book in Book.objects.all()], [2, 0, 3, 4])

    def test_invalid_copies_are_refused(self):
        report = import_text("name,copies\nA,-1\nB,two\nC,1001\nD,1000\n")
        self.assertEqual([remark.line for remark in report.refused.first], [2, 3, 4])
        self.assertEqual(Book.objects.get().copies.count(), 1000)

    def test_barcodes_contain_the_book_id(self):
        import_text(f"name,isbn\nDune,{DUNE}\n", new=NewBooks(copies=2))
        book = Book.objects.get()
        self.assertEqual(
            sorted(book.copies.values_list("barcode", flat=True)), [f"{book.pk}-1", f"{book.pk}-2"]
        )

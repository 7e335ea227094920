from __future__ import annotations

from django.test import TestCase

from books.importing.matching import SettledBooks
from books.models import Book, Copy, Kind
from books.tests.importing import DUNE, EMMA, ODYSSEY, import_text, report_counts, report_sentences


class MatchingTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.dune = Book.objects.create(
            name="Dune", author="Frank Herbert", isbn=DUNE, published=1965, kind=Kind.NOVEL
        )
        cls.emma = Book.objects.create(name="Emma", author="Jane Austen", description="Matchmaking.")

    def test_book_is_matched_by_isbn(self):
        report = import_text(f"name,isbn,year\nDune (Dune #1),{DUNE},1966\n")
        self.dune.refresh_from_db()
        self.assertEqual(report_counts(report), (0, 1, 0, 0))
        self.assertEqual((self.dune.name, self.dune.published), ("Dune (Dune #1)", 1966))

    def test_book_is_matched_by_name_and_author(self):
        rows = "Emma,Jane Austen,1815\nEmma,A. McCall Smith,2014\nemma,Jane Austen,1815\n"
        report = import_text(f"name,author,year\n{rows}")
        self.emma.refresh_from_db()
        self.assertEqual(report_counts(report), (2, 1, 0, 0))
        self.assertEqual(self.emma.published, 1815)

    def test_matched_book_gets_its_isbn(self):
        report = import_text(f"name,author,isbn\nEmma,Jane Austen,{EMMA}\n")
        self.emma.refresh_from_db()
        self.assertEqual((report_counts(report), self.emma.isbn), ((0, 1, 0, 0), EMMA))

    def test_row_without_isbn_matches_by_name(self):
        report = import_text("name,author,isbn\nDune,Frank Herbert,\n")
        self.assertEqual(report_counts(report), (0, 0, 1, 0))

    def test_another_isbn_makes_another_book(self):
        report = import_text(f"name,author,isbn\nDune,Frank Herbert,{ODYSSEY}\n")
        self.assertEqual((report_counts(report), Book.objects.filter(name="Dune").count()), ((1, 0, 0, 0), 2))

    def test_an_empty_cell_erases_nothing(self):
        report = import_text(f"name,author,isbn,year,description\nDune,,{DUNE},,\nEmma,Jane Austen,,,\n")
        self.dune.refresh_from_db()
        self.assertEqual(report_counts(report), (0, 0, 2, 0))
        self.assertEqual((self.dune.author, self.dune.published), ("Frank Herbert", 1965))

    def test_only_a_kind_column_changes_the_kind(self):
        import_text(f"name,isbn\nDune,{DUNE}\n")
        self.dune.refresh_from_db()
        self.assertEqual(self.dune.kind, Kind.NOVEL)
        import_text(f"name,isbn,kind\nDune,{DUNE},fiction\n")
        self.dune.refresh_from_db()
        self.assertEqual(self.dune.kind, Kind.FICTION)

    def test_existing_book_gets_no_copies(self):
        import_text(f"name,isbn,copies\nDune,{DUNE},5\nNew,{ODYSSEY},2\n")
        self.assertEqual(Copy.objects.filter(book=self.dune).count(), 0)
        self.assertEqual(Copy.objects.count(), 2)

    def test_other_fields_are_kept(self):
        Book.objects.filter(pk=self.dune.pk).update(cover="covers/dune.webp", description="Sand.")
        added_at = self.dune.added_at
        import_text(f"name,isbn,year\nDune,{DUNE},1966\n")
        self.dune.refresh_from_db()
        self.assertEqual(
            (self.dune.cover.name, self.dune.description, self.dune.added_at),
            ("covers/dune.webp", "Sand.", added_at),
        )


class RepeatedRowTest(TestCase):
    """Rows about the same book in one file, in the same transaction and in different ones."""

    def each_way(self, text: str):
        for batch_size in (1, 1000):
            with self.subTest(batch_size=batch_size):
                Book.objects.all().delete()
                yield import_text(text, batch_size=batch_size)
                self.assertEqual(report_counts(import_text(text, batch_size=batch_size))[:2], (0, 0))

    def test_first_row_wins_with_a_warning(self):
        for report in self.each_way(f"name,isbn,year\nDune,{DUNE},1965\nDUNE!,{DUNE},1984\n"):
            book = Book.objects.get()
            self.assertEqual((book.name, book.published), ("Dune", 1965))
            self.assertEqual(report_counts(report), (1, 0, 1, 0))
            self.assertEqual(
                report_sentences(report),
                ["Line 2 is about the same book and differs (name, published); its values were kept."],
            )

    def test_later_row_fills_empty_fields(self):
        for report in self.each_way(f"name,isbn,year\nDune,{DUNE},\nDune,{DUNE},1965\n"):
            self.assertEqual((report_counts(report), Book.objects.get().published), ((1, 1, 0, 0), 1965))

    def test_second_book_with_same_isbn_drops_it(self):
        for report in self.each_way(f"name,isbn\nDune,{DUNE}\nEmma,{DUNE}\n"):
            self.assertEqual(list(Book.objects.values_list("name", "isbn")), [("Dune", DUNE), ("Emma", "")])
            self.assertEqual(
                report_sentences(report),
                ["Line 2 has the same ISBN for “Dune”; this book was imported without an ISBN."],
            )
            self.assertEqual(report.warnings.first[0].line, 3)

    def test_two_editions_and_bare_row_stay_apart(self):
        for report in self.each_way(f"name,isbn\nDune,{DUNE}\nDune,{ODYSSEY}\nDune,\n"):
            self.assertEqual((report_counts(report), Book.objects.count()), ((2, 0, 1, 0), 2))

    def test_book_from_an_earlier_row_gets_no_isbn(self):
        for report in self.each_way(f"name,isbn\nDune,\nDune,{DUNE}\n"):
            self.assertEqual((report_counts(report), Book.objects.count()), ((2, 0, 0, 0), 2))

    def test_book_is_not_renamed_to_an_existing_one(self):
        for batch_size in (1, 1000):
            with self.subTest(batch_size=batch_size):
                Book.objects.all().delete()
                Book.objects.create(name="Old", isbn=DUNE)
                Book.objects.create(name="Emma", isbn=EMMA)
                text = f"name,isbn\nEmma,\nEmma,{DUNE}\n"
                report = import_text(text, batch_size=batch_size)
                self.assertIn("“Old” was not renamed", report_sentences(report)[0])
                self.assertEqual(report_counts(import_text(text, batch_size=batch_size)), (0, 0, 2, 0))

    def test_name_may_be_punctuation_only(self):
        for report in self.each_way(f"name,isbn\n!!!,{DUNE}\n???,{DUNE}\n"):
            self.assertEqual((report_counts(report), Book.objects.count()), ((2, 0, 0, 0), 2))


class MemoryTest(TestCase):
    def test_settled_line_is_remembered(self):
        memory = SettledBooks()
        for pk in (1, 4095, 4096, 10**12):
            self.assertEqual(memory.line_of(pk), 0)
            memory.settle(pk, pk % 97 + 2)
            self.assertEqual(memory.line_of(pk), pk % 97 + 2)

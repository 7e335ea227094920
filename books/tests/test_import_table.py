from __future__ import annotations

import io
from unittest import mock

from django.test import SimpleTestCase

from books.importing.columns import columns_in
from books.importing.table import ImportFileError, Record, Table, displayable


def table_of(content: str | bytes, delimiter: str | None = None) -> Table:
    raw = content.encode() if isinstance(content, str) else content
    return Table(
        io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="surrogateescape", newline=""),
        delimiter=delimiter,
    )


def records_of(content: str | bytes) -> list[Record]:
    return list(table_of(content).records())


class HeaderTest(SimpleTestCase):
    def test_delimiter_is_detected_in_the_header(self):
        for delimiter in ",;\t|":
            with self.subTest(delimiter):
                table = table_of(f'name{delimiter}"a, b; c"{delimiter}isbn\nDune{delimiter}x{delimiter}1\n')
                self.assertEqual(table.header, ["name", "a, b; c", "isbn"])
                self.assertEqual([record.cells for record in table.records()], [["Dune", "x", "1"]])

    def test_a_given_delimiter_is_used(self):
        self.assertEqual(table_of("name:a,b\n", delimiter=":").header, ["name", "a,b"])

    def test_byte_order_mark_is_stripped(self):
        table = table_of(b'\xef\xbb\xbf"name",isbn\nDune,1\n')
        self.assertEqual((table.header, table.has_byte_order_mark), (["name", "isbn"], True))
        self.assertFalse(table_of("name\n").has_byte_order_mark)

    def test_blank_lines_above_the_header_are_skipped(self):
        table = table_of("\n \n,,\nname,isbn,x\nDune,1,\n")
        self.assertEqual(
            (table.header, [record.line for record in table.records()]), (["name", "isbn", "x"], [5])
        )

    def test_file_without_a_header_is_refused(self):
        for content, word in (
            (b"", "empty"),
            (b"\xef\xbb\xbf", "empty"),
            (b"\n\n", "empty"),
            (b'"name,isbn\n', "must be a header"),
            ("name,isbn\n".encode("utf-16"), "UTF-8"),
            (b"PK\x03\x04\x00\x00name\n", "UTF-8"),
        ):
            with self.subTest(content), self.assertRaisesMessage(ImportFileError, word):
                table_of(content)


class RecordTest(SimpleTestCase):
    def test_record_has_its_first_line_number(self):
        found = records_of('name,text\r\nA,"one\r\ntwo\r\n"\r\n\r\nB,\rC,x')
        self.assertEqual([(record.line, record.cells) for record in found], [
            (2, ["A", "one\r\ntwo\r\n"]), (6, ["B", ""]), (7, ["C", "x"]),
        ])  # fmt: skip

    def test_blank_lines_are_not_records(self):
        self.assertEqual([record.line for record in records_of("name,isbn\n\n,\n , \nA,1\n")], [5])

    def test_wrong_number_of_cells_is_a_problem(self):
        short, long, fine = records_of("name,isbn\nA\nB,1,more\nC,1\n")
        self.assertIn("“isbn”", short.problem)
        self.assertIn("“more”", long.problem)
        self.assertEqual(fine.problem, "")

    def test_unclosed_quote_affects_only_its_row(self):
        found = records_of('name,author\nA,x\n"B,x\nC,x\n"D, the",x\nE,x\n')
        self.assertEqual([(record.line, bool(record.problem)) for record in found], [
            (2, False), (3, True), (4, False), (5, False), (6, False),
        ])  # fmt: skip
        self.assertEqual(found[1].raw, '"B,x\n')

    def test_quote_open_at_the_end_affects_one_row(self):
        found = records_of('name,author\nA,"x\nB,x\nC,x\n')
        self.assertEqual(
            [(record.line, bool(record.problem)) for record in found], [(2, True), (3, False), (4, False)]
        )

    def test_undoubled_quote_is_a_problem(self):
        bad, good = records_of('name,author\n"The "Great" Book",x\n"The ""Great"" Book",x\n')
        self.assertIn("quotation mark", bad.problem)
        self.assertEqual(good.cells[0], 'The "Great" Book')

    def test_continuation_lines_belong_to_broken_row(self):
        found = records_of('name,author,text\n"A,x,one\ntwo\n"B" c,x,y\nD,x,z\n')
        self.assertEqual([(record.line, bool(record.problem)) for record in found], [(2, True), (5, False)])
        self.assertEqual(found[0].raw, '"A,x,one\ntwo\n"B" c,x,y\n')

    def test_row_length_is_limited(self):
        fits, long = records_of(f"name\n{'y' * 131_071}\n{'y' * 131_072}\n")
        self.assertEqual((fits.problem, long.problem), ("", "The row is longer than 131,072 characters."))

    def test_endless_row_is_not_kept_in_memory(self):
        with mock.patch("books.importing.table.MAX_RECORD_LENGTH", 50):
            endless, good = records_of(f"name,author\n{'y' * 500},x\nA,x\n")
            self.assertIn("longer", endless.problem)
            self.assertLessEqual(len(endless.raw), 51)
            self.assertEqual((good.line, good.cells), (3, ["A", "x"]))

    def test_unclosed_quote_is_limited_by_row_length(self):
        with mock.patch("books.importing.table.MAX_RECORD_LENGTH", 50):
            found = records_of('name,author\n"B,x\n' + "C,x\n" * 40)
        self.assertEqual([record.line for record in found if record.problem], [2])
        self.assertEqual(len(found), 41)


class ShownTextTest(SimpleTestCase):
    def test_shown_text_is_short_and_printable(self):
        self.assertEqual(displayable(" Dune\n"), "Dune")
        self.assertEqual(
            displayable("a\x1b[31m\udcff"), "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}"
        )
        self.assertEqual(len(displayable("y" * 100)), 60)


class ColumnTest(SimpleTestCase):
    def test_real_catalogue_columns_are_guessed(self):
        header = [
            "book_id",
            "isbn",
            "isbn13",
            "authors",
            "original_publication_year",
            "original_title",
            "title",
            "language_code",
        ]
        found = {field: header[place] for field, place in columns_in(header, chosen={}).items()}
        self.assertEqual(found, {
            "name": "title", "author": "authors", "isbn": "isbn",
            "published": "original_publication_year", "language": "language_code",
        })  # fmt: skip

    def test_case_and_punctuation_do_not_matter(self):
        self.assertEqual(columns_in(["ISBN-13", "Book Title"], chosen={}), {"name": 1, "isbn": 0})
        self.assertEqual(
            columns_in(["a", "ISBN-13"], chosen={"name": "A", "isbn": "isbn 13"}), {"name": 0, "isbn": 1}
        )

    def test_chosen_column_takes_precedence(self):
        self.assertEqual(columns_in(["title", "name"], chosen={"author": "name"}), {"author": 1, "name": 0})

    def test_exact_name_takes_precedence(self):
        self.assertEqual(columns_in(["Title", "title"], chosen={"name": "title"}), {"name": 1})

    def test_an_empty_choice_means_no_column(self):
        self.assertEqual(columns_in(["name", "isbn"], chosen={"isbn": ""}), {"name": 0})

    def test_unknown_column_lists_available_ones(self):
        for chosen in ({"isbn": "code"}, {}):
            with self.subTest(chosen), self.assertRaisesMessage(ImportFileError, "Bezeichnung, Preis"):
                columns_in(["Bezeichnung", "Preis"], chosen=chosen)

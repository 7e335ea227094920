"""Tests of the command: its options, its output and its effects."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import TestCase

from books.importing.importer import import_books
from books.management.commands import import_books as command
from books.models import Book, Kind
from books.tests.importing import DUNE, csv_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class CommandTestCase(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, content: str | bytes, name: str = "books.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run_import(
        self, content: str | bytes | Path, *options: object, stderr: io.StringIO | None = None
    ) -> str:
        """Return the command's standard output."""
        path = content if isinstance(content, Path) else self.file(content)
        out = io.StringIO()
        self.stderr = stderr or io.StringIO()
        call_command("import_books", str(path), *map(str, options), stdout=out, stderr=self.stderr)
        return out.getvalue()


class OptionTest(CommandTestCase):
    def test_columns_and_counts_are_printed(self):
        out = self.run_import("Title;Authors;X\nDune;Frank Herbert;\n;;1\n")
        self.assertIn("Columns: name = “Title”, author = “Authors”.", out)
        self.assertIn("2 rows read: 1 created, 0 updated, 0 unchanged, 1 refused, warnings: 0; ", out)
        self.assertIn("rows/s.", out)

    def test_columns_are_chosen_by_options(self):
        self.run_import(
            "titel,von,nr,jahr,sprache,text,art,stück\nDune,FH,0441013597,1965,ger,Sand.,novel,2\n",
            "--name-column=Titel",
            "--author-column=von",
            "--isbn-column=nr",
            "--published-column=jahr",
            "--language-column=sprache",
            "--description-column=text",
            "--kind-column=art",
            "--copies-column=stück",
        )
        book = Book.objects.values(
            "name", "author", "isbn", "published", "language", "description", "kind"
        ).get()
        self.assertEqual(tuple(book.values()), ("Dune", "FH", DUNE, 1965, "de", "Sand.", Kind.NOVEL))
        self.assertEqual(Book.objects.get().copies.count(), 2)

    def test_unknown_column_lists_available_ones(self):
        with self.assertRaisesMessage(CommandError, "no column “code”. The columns are: name, nr."):
            self.run_import("name,nr\nDune,1\n", "--isbn-column=code")
        self.assertEqual(Book.objects.count(), 0)

    def test_kind_copies_and_delimiter_are_options(self):
        self.run_import("name\tyear\nDune\t1965\n", "--kind=Fiction", "--copies=3", "--delimiter=tab")
        book = Book.objects.get()
        self.assertEqual((book.kind, book.copies.count(), book.published), (Kind.FICTION, 3, 1965))

    def test_invalid_options_are_refused(self):
        for option in (
            "--kind=poem",
            "--copies=-1",
            "--copies=1001",
            "--copies=²",
            "--delimiter=",
            '--delimiter="',
        ):
            with self.subTest(option), self.assertRaises(CommandError):
                self.run_import("name\nDune\n", option)
        self.assertEqual(Book.objects.count(), 0)

    def test_unreadable_file_is_a_command_error(self):
        for path in (self.folder, self.folder / "none.csv", self.file(b"", "empty.csv")):
            with (
                self.subTest(path.name),
                self.assertRaisesRegex(CommandError, r"can't be read: \w|is empty"),
            ):
                self.run_import(path)

    def test_header_without_rows_counts_zero(self):
        self.assertIn("0 rows read: 0 created", self.run_import("name,isbn\n"))

    def test_byte_order_mark_is_ignored(self):
        self.run_import(b"\xef\xbb\xbfname,year\nDune,1965\n")
        self.assertEqual(Book.objects.get().name, "Dune")

    def test_dash_reads_standard_input(self):
        with mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO("name\nDüne\n".encode()))):
            self.run_import(Path("-"))
        self.assertEqual(Book.objects.get().name, "Düne")

    def test_a_dry_run_says_so_and_changes_nothing(self):
        out = self.run_import("name\nDune\n", "--dry-run")
        self.assertIn("1 created", out)
        self.assertIn("Dry run: nothing was changed.", out)
        self.assertEqual(Book.objects.count(), 0)


class OutputTest(CommandTestCase):
    warned = "name,year\n" + "".join(f"Book {at},soon\n" for at in range(25))

    def test_twenty_warnings_are_listed(self):
        out = self.run_import(self.warned)
        self.assertIn("line 21: “soon” is not a year", out)
        self.assertNotIn("line 22:", out)
        self.assertIn("and 5 more", out)

    def test_verbosity_2_lists_all_warnings(self):
        out = self.run_import(self.warned, "--verbosity=2")
        self.assertIn("line 26:", out)
        self.assertNotIn("more\n", out)

    def test_refused_rows_are_listed_with_reasons(self):
        self.assertIn("line 3: The book has no name.", self.run_import("name,year\nA,\n,1999\n"))

    def test_verbosity_0_prints_only_the_summary(self):
        out = self.run_import(self.warned, "--verbosity=0", "--dry-run", stderr=Terminal())
        self.assertEqual(len(out.splitlines()), 2)
        self.assertEqual(self.stderr.getvalue(), "")

    def test_terminal_shows_a_progress_bar(self):
        terminal = Terminal()
        with mock.patch("sys.stderr", terminal):
            self.run_import("".join(csv_lines(5)), stderr=terminal)
        self.assertIn("100%", terminal.getvalue())
        self.assertIn("5 rows", terminal.getvalue())

    def test_terminal_shows_an_open_bar_for_a_pipe(self):
        pipe = io.BytesIO(b"name\nDune\n")
        pipe.seekable = lambda: False
        terminal = Terminal()
        with mock.patch("sys.stdin", mock.Mock(buffer=pipe)), mock.patch("sys.stderr", terminal):
            self.run_import(Path("-"), stderr=terminal)
        self.assertEqual(Book.objects.count(), 1)

    def test_other_output_gets_occasional_lines(self):
        with mock.patch.object(command, "import_books", lambda **given: import_books(**given, batch_size=2)):
            self.run_import("".join(csv_lines(6)))
            self.assertEqual(self.stderr.getvalue(), "")
            with mock.patch.object(command, "SECONDS_BETWEEN_LINES", 0):
                self.run_import("".join(csv_lines(6)))
        self.assertEqual(self.stderr.getvalue(), "… 2 rows\n… 4 rows\n… 6 rows\n")


class InterruptTest(CommandTestCase):
    def interrupted(self, *options: str) -> tuple[str, CommandError]:
        """Interrupt the import in the third of five batches."""

        def steps(**given):
            outcomes = import_books(**given, batch_size=2)
            yield next(outcomes)
            yield next(outcomes)
            outcomes.close()
            raise KeyboardInterrupt

        out = io.StringIO()
        path = self.file("".join(csv_lines(10)) + "x,y\n")
        with mock.patch.object(command, "import_books", steps), self.assertRaises(CommandError) as caught:
            call_command("import_books", str(path), *options, stdout=out, stderr=io.StringIO())
        return out.getvalue(), caught.exception

    def test_interrupt_reports_progress_and_exits_130(self):
        out, error = self.interrupted()
        self.assertIn("4 rows read: 4 created", out)
        self.assertEqual((error.returncode, Book.objects.count()), (130, 4))
        self.assertIn("run the command again to continue", str(error))

    def test_second_run_continues(self):
        self.interrupted()
        self.assertIn(
            "6 created, 0 updated, 4 unchanged, 1 refused", self.run_import(self.folder / "books.csv")
        )

    def test_interrupted_dry_run_changes_nothing(self):
        _, error = self.interrupted("--dry-run")
        self.assertEqual((str(error), Book.objects.count()), ("Interrupted.", 0))


class RejectsTest(CommandTestCase):
    bad = (
        b'name;year;kind\r\nDune;1965;\r\n"Em""ma";1815;poem\r\nIl\xe9ad;;\r\nShort;1\r\n'
        b'"Two\r\nlines";;poem\r\n"Open;;\r\nLast;;x'
    )

    def setUp(self):
        super().setUp()
        self.rejects = self.folder / "rejects.csv"

    def test_refused_rows_are_kept_byte_for_byte(self):
        self.run_import(self.bad, "--rejects", self.rejects)
        lines = self.rejects.read_bytes().split(b"\n")
        self.assertEqual(lines[0], b"reject_line;reject_reason;name;year;kind\r")
        self.assertTrue(lines[1].startswith(b"3;") and lines[1].endswith(b';"Em""ma";1815;poem\r'), lines[1])
        self.assertTrue(lines[2].startswith(b"4;") and lines[2].endswith(b";Il\xe9ad;;\r"), lines[2])
        self.assertIn(b'"Two\r\nlines";;poem\r\n', self.rejects.read_bytes())
        self.assertTrue(self.rejects.read_bytes().endswith(b";Last;;x\n"))

    def test_corrected_rejects_file_is_imported(self):
        self.run_import(self.bad, "--rejects", self.rejects)
        mended = self.rejects.read_bytes().replace(b"poem", b"novel").replace(b";Short;1", b";Short;1;")
        self.rejects.write_bytes(mended.replace(b"\xe9", "é".encode()))
        left = self.folder / "left.csv"
        out = self.run_import(self.rejects, "--rejects", left)
        self.assertIn("4 created, 0 updated, 0 unchanged, 2 refused", out)
        self.assertEqual(Book.objects.filter(name__in=['Em"ma', "Iléad", "Short", "Two lines"]).count(), 4)
        self.assertEqual(left.read_bytes().count(b"reject_line"), 1)
        self.assertRegex(left.read_bytes(), rb'(?m)^\d+;"?[^;]*"?;Last;;x\n\Z')

    def test_byte_order_mark_is_kept(self):
        self.run_import(b"\xef\xbb\xbfname,kind\nDune,poem\n", "--rejects", self.rejects)
        self.assertTrue(self.rejects.read_bytes().startswith(b"\xef\xbb\xbfreject_line,"))
        self.run_import(self.rejects, "--rejects", self.folder / "left.csv")
        self.assertTrue((self.folder / "left.csv").read_bytes().endswith(b",Dune,poem\n"))

    def test_stale_rejects_file_is_removed(self):
        self.run_import(self.bad, "--rejects", self.rejects)
        self.assertTrue(self.rejects.exists())
        self.run_import("name\nDune\n", "--rejects", self.rejects)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["books.csv"])

    def test_other_file_is_not_overwritten(self):
        other = self.file("name\nMy only list\n", "other.csv")
        for path, word in (
            (other, "was not written by an import"),
            (self.folder / "books.csv", "the file being imported"),
        ):
            with self.subTest(path.name), self.assertRaisesMessage(CommandError, word):
                self.run_import("name,kind\nDune,poem\n", "--rejects", path)
        self.assertEqual(other.read_text(), "name\nMy only list\n")

    def test_unwritable_path_fails_before_importing(self):
        for path in (self.folder, self.folder / "none" / "rejects.csv"):
            with self.subTest(path.name), self.assertRaisesMessage(CommandError, "can't be written"):
                self.run_import("name\nDune\n", "--rejects", path)
        self.assertEqual(Book.objects.count(), 0)

    def test_dry_run_writes_the_rejects(self):
        self.run_import(self.bad, "--dry-run", "--rejects", self.rejects)
        self.assertIn(b";Last;;x", self.rejects.read_bytes())

    def test_interrupted_import_keeps_its_rejects(self):
        def steps(**given):
            yield next(import_books(**given, batch_size=2))
            raise KeyboardInterrupt

        with mock.patch.object(command, "import_books", steps), self.assertRaises(CommandError):
            self.run_import(self.bad, "--rejects", self.rejects)
        self.assertEqual(self.rejects.read_bytes().count(b"\n"), 2)

"""Tests with whole catalogues: the real one if available, and a generated one that is as untidy."""

from __future__ import annotations

import io
import os
import random
import sys
from pathlib import Path
from unittest import SkipTest

from django.conf import settings
from django.core.management import call_command
from django.test import TestCase

from books.models import Book, Copy
from books.tests.importing import import_text, isbn_number, report_counts

NOT_RUN = "THE REAL CATALOGUE WAS NOT IMPORTED: LORI_DATA names no folder with goodbooks-10k.csv."


def real_catalogue() -> Path | None:
    folder = os.environ.get("LORI_DATA") or settings.BASE_DIR.parent / "shared" / "data"
    path = Path(folder) / "goodbooks-10k.csv"
    return path if path.is_file() else None


class RealCatalogueTest(TestCase):
    @classmethod
    def setUpClass(cls):
        if real_catalogue() is None:
            # At the default verbosity the runner only counts skipped tests.
            sys.stderr.write(f"{NOT_RUN}\n")
            raise SkipTest(NOT_RUN)
        super().setUpClass()

    def run_import(self) -> str:
        out = io.StringIO()
        call_command("import_books", str(real_catalogue()), "-v2", stdout=out, stderr=io.StringIO())
        return out.getvalue()

    def test_second_import_changes_nothing(self):
        out = self.run_import()
        self.assertIn("10,000 created, 0 updated, 0 unchanged, 0 refused, warnings: 23", out)
        self.assertEqual(out.count("has a wrong check digit"), 23)
        self.assertEqual(Book.objects.exclude(isbn="").count(), 9277)
        self.assertEqual(Book.objects.get(name="The Iliad", isbn="9780140275360").published, -750)
        self.assertEqual(Copy.objects.count(), 10_000)
        again = self.run_import()
        self.assertIn("0 created, 0 updated, 10,000 unchanged, 0 refused, warnings: 23", again)
        self.assertEqual(Copy.objects.count(), 10_000)


class GeneratedCatalogueTest(TestCase):
    rows = 3000

    def catalogue(self) -> str:
        """Return a catalogue with the flaws of goodbooks.

        ISBN-10 without leading zeros, years as floats, missing cells, and 742 characters of authors.
        """
        chance = random.Random(10_000)
        lines = ["id,isbn,authors,original_publication_year,title,language_code"]
        for at in range(self.rows):
            nine = f"{chance.randrange(10**4, 10**9):09}"
            rest = -sum(int(digit) * (10 - place) for place, digit in enumerate(nine)) % 11
            isbn = (nine + ("X" if rest == 10 else str(rest))).lstrip("0")
            if at % 14 == 0:
                isbn = ""
            elif at % 431 == 1:
                isbn = isbn[:-1] + ("1" if isbn[-1] == "0" else "0")
            author = f"Author {at}" if at != 7 else ", ".join(["A. N. Author"] * 53)[:742]
            year = "" if at % 476 == 3 else f"{-750 if at % 90 == 0 else 1500 + at % 500}.0"
            language = ("eng", "en-US", "", "fre", "per")[at % 5]
            lines.append(f'{at},{isbn},"{author}",{year},"Title {at % 2990}, Vol. {at % 7}",{language}')
        return "\n".join(lines) + "\n"

    def test_second_import_changes_nothing(self):
        text = self.catalogue()
        report = import_text(text)
        wrong = len(range(1, self.rows, 431)) - len([at for at in range(1, self.rows, 431) if at % 14 == 0])
        empty = len(range(0, self.rows, 14))
        self.assertEqual((report_counts(report), report.warnings.count), ((self.rows, 0, 0, 0), wrong))
        self.assertEqual(Book.objects.filter(isbn="").count(), empty + wrong)
        self.assertEqual(Book.objects.filter(published=-750).count(), len(range(0, self.rows, 90)))
        self.assertEqual(set(Book.objects.values_list("language", flat=True)), {"en", "", "fr", "fa"})
        self.assertEqual(Copy.objects.count(), self.rows)
        after = list(Book.objects.values())
        self.assertEqual(report_counts(import_text(text)), (0, 0, self.rows, 0))
        self.assertEqual(list(Book.objects.values()), after)

    def test_generated_isbns_are_valid(self):
        report = import_text(f"name,isbn\nDune,{isbn_number(7)}\n")
        self.assertEqual((report.warnings.count, Book.objects.get().isbn), (0, isbn_number(7)))

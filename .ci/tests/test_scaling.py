"""docs/scaling.md is true where that can be seen from here: its sums, and what it points to."""

from __future__ import annotations

import re
from unittest import TestCase

from commands import ROOT
from test_operations import tables, worked_out

FILE = ROOT / "docs" / "scaling.md"
TEXT = FILE.read_text()
# The page is written in two or three digits.
ROUNDED = 0.04


def number(words: str) -> float:
    return float(words.replace(",", ""))


class ArithmeticTest(TestCase):
    def rows(self, head: str) -> list[list[str]]:
        """Of the one table with such a column, without its head."""
        (found,) = [table for table in tables(TEXT) if head in table[0]]
        return found[2:]

    def test_of_one_rental(self) -> None:
        rows = self.rows("arithmetic")
        self.assertGreater(len(rows), 5)
        for what, arithmetic, printed in rows:
            with self.subTest(what):
                self.assertAlmostEqual(worked_out(arithmetic), number(printed), delta=0.5)

    def test_of_one_shop_and_of_as_many_times_that(self) -> None:
        rows = self.rows("arithmetic, of one shop")
        self.assertGreater(len(rows), 8)
        for what, arithmetic, *printed in rows:
            for shops, words in zip((1, 100, 10_000), printed, strict=True):
                with self.subTest(what, shops=shops):
                    wanted = worked_out(arithmetic) * shops
                    self.assertAlmostEqual(number(words), wanted, delta=wanted * ROUNDED)

    def test_in_the_text(self) -> None:
        sums = re.findall(r"((?:[\d.]+ [×/+] )+[\d.]+) (?:=|are) ([\d.,]*\d)", TEXT)
        self.assertGreater(len(sums), 8)
        for arithmetic, printed in sums:
            with self.subTest(arithmetic):
                wanted = worked_out(arithmetic)
                self.assertAlmostEqual(number(printed), wanted, delta=wanted * ROUNDED)

    def test_a_wrong_sum_would_be_seen(self) -> None:
        self.assertNotAlmostEqual(worked_out("20 × 6.7 + 10 × 2.4"), 148, delta=0.5)


class PlacesTest(TestCase):
    def test_what_it_points_to_exists(self) -> None:
        paths = re.findall(r"`((?:\.ci|benchmarks|kubernetes|lori_assignment|rentals)/[\w./-]+)`", TEXT)
        self.assertGreater(len(paths), 2)
        for path in [*paths, *(f"docs/{name}" for name in re.findall(r"\]\((\w+\.md)", TEXT))]:
            with self.subTest(path):
                self.assertTrue((ROOT / path).exists())

    def test_its_own_headings_are_there(self) -> None:
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in TEXT.splitlines()
            if line.startswith("#")
        }
        for anchor in re.findall(r"\]\(#([\w-]+)\)", TEXT):
            with self.subTest(anchor):
                self.assertIn(anchor, headings)

"""Writes a PDF: what `rentals.statement_pdf` says on A4 pages, without anything but Python packages.

    python -m rentals.pdf_writer < order.json > paper.pdf

A program of its own and no part of the shop's process: what it takes to write PDFs, 20 MB and more, is gone
with it. So it knows nothing of Django, and is told every word.

Names and titles come in any script. The face is Source Serif, which has Latin, Greek and Cyrillic; of what it
lacks a letter without its accents is taken where there is one, else a box that can be seen.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Container, Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos

MISSING = "\N{BALLOT BOX}"

# Millimetres of an A4 page.
MARGIN = 20
WIDTH = 210 - 2 * MARGIN
BOTTOM = 297 - 25
DATE, AMOUNT = 32, 28
WHAT = WIDTH - DATE - 2 * AMOUNT
NAME = 55

INK, FAINT, RULE, STAMP = (39, 32, 26), (102, 88, 72), (200, 188, 168), (150, 41, 28)


def printable(text: str, letters: Container[int]) -> str:
    """`text` on one line, in nothing but `letters`, which are code points."""
    return "".join(_printable(sign, letters) for sign in unicodedata.normalize("NFC", text))


def _printable(sign: str, letters: Container[int]) -> str:
    if sign.isspace():
        # A narrow one that holds two words together becomes a wider one that does.
        return "\N{NO-BREAK SPACE}" if sign in "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}" else " "
    if ord(sign) in letters:
        return sign
    if unicodedata.category(sign).startswith(("C", "M")):
        return ""
    plain = [part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part)]
    return "".join(plain) if plain and all(ord(part) in letters for part in plain) else MISSING


class Paper(FPDF):
    """A4 pages with the shop's name on the first, and at the foot what it is and which of how many."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        """`order` is what `rentals.statement_pdf.Sheet` says, but for its steps."""
        super().__init__(format="A4")
        self._foot, self._page, self._headings = order["foot"], order["page"], order["headings"]
        folder = files("font_source_serif_pro") / "files"
        for style, name in (("", "Regular"), ("B", "Semibold")):
            with as_file(folder / f"SourceSerifPro-{name}.ttf") as path:
                self.add_font("serif", style, path)
        # Both styles have the same letters.
        self._letters: Container[int] = self.fonts["serif"].cmap  # type: ignore[union-attr]  # none of the core fonts
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(auto=False)
        self.set_title(order["title"])
        self.set_author(order["site"])
        self.set_lang(order["language"])
        self.add_page()
        self.write_text(order["site"], size=20, bold=True, colour=STAMP)
        self.write_text(order["address"], size=9, colour=FAINT)
        self.ln(8)
        self.write_text(order["title"], size=16, bold=True)
        self.ln(3)

    def footer(self) -> None:
        self.set_y(-16)
        page = self._page % {"page": self.page_no(), "pages": "{nb}"}
        self._put(WIDTH * 0.8, 4, self._foot, size=8, colour=FAINT)
        self._put(WIDTH * 0.2, 4, page, size=8, colour=FAINT, align="R")

    def _use(self, size: float, bold: bool = False, colour: tuple[int, int, int] = INK) -> None:
        self.set_font("serif", "B" if bold else "", size)
        self.set_text_color(*colour)

    def _put(
        self,
        width: float,
        height: float,
        text: str,
        *,
        size: float = 10,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
        align: str = "L",
    ) -> None:
        """One line in a box of this width; what follows goes to its right."""
        self._use(size, bold, colour)
        self.cell(width, height, printable(text, self._letters), align=align)

    def write_text(
        self,
        text: str,
        *,
        size: float = 10,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
        left: float = MARGIN,
        width: float = WIDTH,
    ) -> None:
        """As many lines as it needs."""
        self._use(size, bold, colour)
        self.set_x(left)
        self.multi_cell(
            width,
            size * 0.5,
            printable(text, self._letters),
            align="L",
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )

    def _height(self, text: str, *, size: float, width: float) -> float:
        self._use(size)
        height: Any = self.multi_cell(
            width, size * 0.5, printable(text, self._letters), align="L", dry_run=True, output="HEIGHT"
        )
        return height

    def rule(self) -> None:
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.line(MARGIN, self.get_y(), MARGIN + WIDTH, self.get_y())

    def write_facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names on the left, what they are beside them."""
        for name, value in facts:
            self._put(NAME, 5, name, colour=FAINT)
            self.write_text(value, left=MARGIN + NAME, width=WIDTH - NAME)
            self.ln(1)

    def write_sums(self, sums: Sequence[tuple[str, str]]) -> None:
        """Amounts one below the other, the last being what they come to."""
        for number, (name, amount) in enumerate(sums, start=1):
            is_total = number == len(sums)
            if is_total:
                self.rule()
                self.ln(1)
            self._put(WIDTH - AMOUNT * 2, 6, name, bold=is_total)
            self._put(AMOUNT * 2, 6, amount, bold=is_total, align="R")
            self.ln(6)

    def write_headings(self) -> None:
        columns = ((DATE, "L"), (WHAT, "L"), (AMOUNT, "R"), (AMOUNT, "R"))
        for (width, align), words in zip(columns, self._headings, strict=True):
            self._put(width, 6, words, size=9, colour=FAINT, align=align)
        self.ln(6)
        self.rule()
        self.ln(1.5)

    def write_row(self, date: str, what: str, small: Sequence[str], amount: str, balance: str) -> None:
        """A row of the table; it starts a page rather than be torn apart."""
        width = WHAT - 3
        height = self._height(what, size=10, width=width)
        height += sum(self._height(text, size=8, width=width) for text in small)
        if self.get_y() + height + 3 > BOTTOM:
            self.add_page()
            self.write_headings()
        top = self.get_y()
        self._put(DATE, 5, date)
        self.write_text(what, left=MARGIN + DATE, width=width)
        for text in small:
            self.write_text(text, size=8, colour=FAINT, left=MARGIN + DATE, width=width)
        bottom = self.get_y()
        # Last, as it is read aloud.
        self.set_xy(MARGIN + DATE + WHAT, top)
        self._put(AMOUNT, 5, amount, align="R")
        self._put(AMOUNT, 5, balance, align="R")
        self.set_y(bottom + 1.5)
        self.rule()
        self.ln(1.5)

    def keep_together(self, height: float) -> None:
        """Start a page unless there is room for what is `height` high."""
        if self.get_y() + height > BOTTOM:
            self.add_page()

    def write_small_text(self, text: str) -> None:
        self.write_text(text, size=9, colour=FAINT)


# What may be asked for, by name.
STEPS: dict[str, Callable[..., Any]] = {
    "text": Paper.write_text,
    "small_text": Paper.write_small_text,
    "facts": Paper.write_facts,
    "sums": Paper.write_sums,
    "headings": Paper.write_headings,
    "row": Paper.write_row,
    "space": Paper.ln,
    "keep_together": Paper.keep_together,
}


def written(order: Mapping[str, Any]) -> bytes:
    """The PDF: `order["steps"]` are names of STEPS, each with what it is told."""
    paper = Paper(order)
    for name, told in order["steps"]:
        STEPS[name](paper, **told)
    return bytes(paper.output())


if __name__ == "__main__":
    sys.stdout.buffer.write(written(json.load(sys.stdin)))

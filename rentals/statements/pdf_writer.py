"""Writes statements and receipts as PDF, as a separate program.

    python -m rentals.statements.pdf_writer SECONDS CPU_SECONDS < spec.json > statement.pdf

`rentals.statements.pdf` composes the document and starts this program, so that workers do not keep the memory
that a PDF takes. The program does not import Django and reads no settings. It ends after SECONDS, or after
CPU_SECONDS of a processor, even if the worker that waits for it was killed.

Text may be in any script. Noto Sans has Latin, Greek and Cyrillic; other Noto fonts are loaded as fallbacks
if the text needs them. HarfBuzz first reduces each font to the document's characters at one weight: fpdf2
takes seconds for a whole variable font, and would shape text at a different weight than it draws.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Requests take precedence. Before the imports, which take most of the time of a short document.
    os.nice(10)

import uharfbuzz as hb
from fpdf import FPDF
from fpdf.enums import CellBordersLayout, XPos, YPos
from fpdf.fonts import FontFace

FONTS = Path(str(files("manimgx_fonts")))
CJK_FONTS = Path(str(files("justmytype_intl_cjk"))) / "fonts" / "ofl"
WEIGHTS = {"": 400, "B": 600}
MISSING = "\N{REPLACEMENT CHARACTER}"
# Replaced with the number of pages. `printable` removes private-use characters, so no text contains it.
PAGES = "\ue000"
# The combining marks on one letter; more would be drawn over other lines. Hebrew and Burmese use up to five.
MAX_MARKS = 5

# Millimetres on an A4 page.
MARGIN, BOTTOM_MARGIN = 20, 25
WIDTH = 210 - 2 * MARGIN
DATE, AMOUNT = 32, 28
NAME = 55
LINE = 5

INK, FAINT, RULE, STAMP = (39, 32, 26), (102, 88, 72), (200, 188, 168), (150, 41, 28)
FACT, SMALL, HEADING = (FontFace(size_pt=size, color=FAINT) for size in (10, 8, 9))
BOLD = FontFace(emphasis="BOLD")


def printable(text: str, letters: Container[int]) -> str:
    """Return `text` on one line, with only characters whose code points are in `letters`.

    A letter that is missing loses its accents, or becomes a replacement character. Control and format
    characters are removed, so that no name can reorder the text around it, and so are marks above MAX_MARKS.
    """
    signs = "".join(_printable(sign, letters) for sign in unicodedata.normalize("NFC", text))
    return "".join(_limit_marks(signs))


def _limit_marks(text: str) -> Iterator[str]:
    marks = 0
    for sign in text:
        marks = marks + 1 if unicodedata.category(sign).startswith("M") else 0
        if marks <= MAX_MARKS:
            yield sign


def _printable(sign: str, letters: Container[int]) -> str:
    if sign.isspace():
        # A narrow no-break space becomes one of the usual width.
        return "\N{NO-BREAK SPACE}" if sign in "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}" else " "
    category = unicodedata.category(sign)
    if category.startswith("C"):
        return ""
    if ord(sign) in letters:
        return sign
    if category.startswith("M"):
        return ""
    plain = [part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part)]
    return "".join(plain) if plain and all(ord(part) in letters for part in plain) else MISSING


class Font:
    """A variable font and the characters that it has."""

    def __init__(self, path: Path) -> None:
        self._face = hb.Face(hb.Blob.from_file_path(path))
        self.family = path.name.partition("[")[0].lower()
        self.letters = self._face.unicodes

    def subset(self, letters: set[int], *, weight: int) -> bytes:
        """Return a static font of a few kilobytes that has only `letters`."""
        wanted = hb.SubsetInput()
        wanted.unicode_set.update(letters)
        wanted.pin_axis_location(self._face, "wght", weight)
        subset: bytes = hb.subset(self._face, wanted).blob.data
        return subset


@cache
def main_font() -> Font:
    return Font(FONTS / "NotoSans[wght].ttf")


def fallback_fonts(text: str) -> Iterator[Font]:
    """Yield the fonts that `text` needs besides the main font; open no more fonts than necessary."""
    missing = {ord(sign) for sign in unicodedata.normalize("NFC", text)} - set(main_font().letters)
    for path in [*sorted(FONTS.glob("*.ttf")), *sorted(CJK_FONTS.glob("*/*.ttf"))]:
        if not missing:
            return
        font = Font(path)
        found = {letter for letter in missing if letter in font.letters}
        if found:
            missing -= found
            yield font


class PdfDocument(FPDF):
    """A4 pages with the shop's name on the first, and a footer with the page number on each."""

    def __init__(self, spec: Mapping[str, Any], folder: Path) -> None:
        """`spec` is that of `rentals.statements.pdf.DocumentSpec`. Fonts are written to `folder`."""
        super().__init__(format="A4")
        fallbacks = list(fallback_fonts("".join(_strings(spec))))
        letters = set(main_font().letters).union(*(font.letters for font in fallbacks))
        self.spec = _each_string(spec, lambda text: printable(text, letters))
        self._add_fonts([main_font(), *fallbacks], folder)
        self.alias_nb_pages(PAGES)
        self.set_margins(MARGIN, MARGIN)
        self.c_margin = 0
        self.set_auto_page_break(auto=True, margin=BOTTOM_MARGIN)
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.set_title(self.spec["title"])
        self.set_author(self.spec["site"])
        self.set_lang(self.spec["language"])
        self._write_head()

    def _add_fonts(self, fonts: Sequence[Font], folder: Path) -> None:
        # The digits are for page numbers.
        used = set(map(ord, "".join(_strings(self.spec)) + "0123456789"))
        for font in fonts:
            for style, weight in WEIGHTS.items():
                path = folder / f"{font.family}{style}.ttf"
                path.write_bytes(font.subset(used, weight=weight))
                self.add_font(font.family, style, path)
        self._family = fonts[0].family
        self.set_fallback_fonts([font.family for font in fonts[1:]])

    def _write_head(self) -> None:
        self.add_page()
        self.write_text(self.spec["site"], size=20, bold=True, colour=STAMP)
        self.write_text(self.spec["address"], size=9, colour=FAINT)
        self.ln(8)
        self.write_text(self.spec["title"], size=16, bold=True)
        self.ln(3)

    def footer(self) -> None:
        self.set_y(-16)
        self._use(8, colour=FAINT)
        self._choose_shaping(self.spec["foot"])
        self.cell(WIDTH * 0.8, 4, self.spec["foot"])
        page = self.spec["page"] % {"page": self.page_no(), "pages": PAGES}
        self.cell(WIDTH * 0.2, 4, page, align="R")

    def _use(self, size: float = 10, *, bold: bool = False, colour: tuple[int, int, int] = INK) -> None:
        self.set_font(self._family, "B" if bold else "", size)
        self.set_text_color(*colour)

    def _choose_shaping(self, text: str) -> None:
        """Shape only right-to-left text and text with combining marks, as most scripts with ligatures have.

        Shaping takes many times as long, and most of a statement is plain Latin.
        """
        self.set_text_shaping(
            any(
                unicodedata.category(sign).startswith("M") or unicodedata.bidirectional(sign) in ("R", "AL")
                for sign in text
            )
        )

    def multi_cell(self, *args: Any, **options: Any) -> Any:
        """Tables call this too, for each cell."""
        self._choose_shaping(options["text"])
        return super().multi_cell(*args, **options)

    def write_text(
        self, text: str, *, size: float = 10, bold: bool = False, colour: tuple[int, int, int] = INK
    ) -> None:
        self._use(size, bold=bold, colour=colour)
        self.multi_cell(WIDTH, size * 0.5, text=text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def write_small_text(self, text: str) -> None:
        self.write_text(text, size=9, colour=FAINT)

    def write_facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Write names on the left and their values on the right."""
        self._use()
        with self.table(
            col_widths=(NAME, WIDTH - NAME),
            borders_layout="NONE",
            first_row_as_headings=False,
            line_height=LINE,
            padding=(0, 0, 1, 0),
            text_align="LEFT",
            v_align="TOP",
        ) as table:
            for name, value in facts:
                row = table.row()
                row.cell(name, style=FACT)
                row.cell(value)

    def write_sums(self, sums: Sequence[tuple[str, str]]) -> None:
        """Write a column of amounts; the last is the total."""
        self._use()
        with self.table(
            col_widths=(WIDTH - 2 * AMOUNT, 2 * AMOUNT),
            borders_layout="NONE",
            first_row_as_headings=False,
            line_height=LINE,
            padding=(0.5, 0),
            text_align=("LEFT", "RIGHT"),
        ) as table:
            for number, (name, amount) in enumerate(sums, start=1):
                is_total = number == len(sums)
                row = table.row(style=BOLD if is_total else None)
                for text in (name, amount):
                    row.cell(text, border=CellBordersLayout.TOP if is_total else CellBordersLayout.NONE)

    def write_entries(self, headings: Sequence[str], entries: Sequence[Mapping[str, Any]]) -> None:
        """Write a table that repeats its headings on each page and never splits an entry."""
        self._use()
        with self.table(
            col_widths=(DATE, WIDTH - DATE - 2 * AMOUNT, AMOUNT, AMOUNT),
            borders_layout="NONE",
            headings_style=HEADING,
            line_height=LINE,
            padding=(1, 0),
            text_align=("LEFT", "LEFT", "RIGHT", "RIGHT"),
            v_align="TOP",
        ) as table:
            row = table.row()
            for text in headings:
                row.cell(text, border=CellBordersLayout.BOTTOM)
            for entry in entries:
                # The title and the small print are two rows, which the other cells span.
                span = 2 if entry["small"] else 1
                row = table.row()
                row.cell(entry["date"], rowspan=span, border=CellBordersLayout.BOTTOM)
                row.cell(
                    entry["what"],
                    padding=(1, 3, 2 - span, 0),
                    border=CellBordersLayout.NONE if entry["small"] else CellBordersLayout.BOTTOM,
                )
                row.cell(entry["amount"], rowspan=span, border=CellBordersLayout.BOTTOM)
                row.cell(entry["balance"], rowspan=span, border=CellBordersLayout.BOTTOM)
                if entry["small"]:
                    small = "\n".join(entry["small"])
                    table.row().cell(
                        small, style=SMALL, padding=(0, 3, 1, 0), border=CellBordersLayout.BOTTOM
                    )

    def keep_together(self, height: float) -> None:
        """Start a new page unless `height` millimetres are left on this one."""
        if self.will_page_break(height):
            self.add_page()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _strings(part)


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_string(part, change) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [_each_string(part, change) for part in value]
    return value


# The steps that a spec may contain.
STEPS: dict[str, Callable[..., Any]] = {
    "text": PdfDocument.write_text,
    "small_text": PdfDocument.write_small_text,
    "facts": PdfDocument.write_facts,
    "sums": PdfDocument.write_sums,
    "entries": PdfDocument.write_entries,
    "space": PdfDocument.ln,
    "keep_together": PdfDocument.keep_together,
}


def write_pdf(spec: Mapping[str, Any]) -> bytes:
    """Return the PDF. Each of `spec["steps"]` has a name in STEPS and arguments."""
    with tempfile.TemporaryDirectory() as folder:
        pdf = PdfDocument(spec, Path(folder))
        for name, arguments in pdf.spec["steps"]:
            STEPS[name](pdf, **arguments)
        return bytes(pdf.output())


if __name__ == "__main__":
    signal.alarm(int(sys.argv[1]))
    cpu_seconds = int(sys.argv[2])
    # The kernel sends SIGXCPU, and a second later SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    # Not another folder while this one is full.
    tempfile.tempdir = os.environ.get("TMPDIR")
    try:
        sys.stdout.buffer.write(write_pdf(json.load(sys.stdin)))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.exit(os.EX_TEMPFAIL)
        raise

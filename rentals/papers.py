"""Statements and receipts on paper: PDF files, without anything but Python packages.

Names and titles come in any script. The face is Source Serif, which has Latin, Greek and Cyrillic; of
what it lacks a letter without its accents is taken where there is one, else a box that can be seen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence
from datetime import datetime
from importlib.resources import as_file, files
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from accounts.models import User
from lori_assignment.money import shown
from rentals.models import LedgerEntry
from rentals.statements import Statement
from rentals.wording import balance_in_words, note_of, title_of, working_of

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

    def __init__(self, title: str, *, at: datetime) -> None:
        super().__init__(format="A4")
        folder = files("font_source_serif_pro") / "files"
        for style, name in (("", "Regular"), ("B", "Semibold")):
            with as_file(folder / f"SourceSerifPro-{name}.ttf") as path:
                self.add_font("serif", style, path)
        # Both styles have the same letters.
        self._letters: Container[int] = self.fonts["serif"].cmap  # type: ignore[union-attr]  # none of the core fonts
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(auto=False)
        self.set_title(title)
        self.set_author(settings.SITE_NAME)
        self.set_lang(get_language() or settings.LANGUAGE_CODE)
        made = _("Made on %(time)s") % {"time": _moment(at)}
        self._foot = f"{settings.SITE_NAME} · {title} · {made}"
        self.add_page()
        self.write_text(settings.SITE_NAME, size=20, bold=True, colour=STAMP)
        self.write_text(settings.SITE_URL.split("://", 1)[1], size=9, colour=FAINT)
        self.ln(8)
        self.write_text(title, size=16, bold=True)
        self.ln(3)

    def footer(self) -> None:
        self.set_y(-16)
        page = _("Page %(page)s of %(pages)s") % {"page": self.page_no(), "pages": "{nb}"}
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
        for width, words, align in (
            (DATE, _("Date"), "L"),
            (WHAT, _("What"), "L"),
            (AMOUNT, _("Amount"), "R"),
            (AMOUNT, _("Balance"), "R"),
        ):
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


def statement_as_pdf(statement: Statement, *, at: datetime) -> bytes:
    """A member's statement of one month."""
    month = date_format(statement.month.first_day, "YEAR_MONTH_FORMAT")
    paper = Paper(_("Statement of %(month)s") % {"month": month}, at=at)
    paper.write_facts(_address(statement.member))
    paper.ln(4)
    charged, credited = statement.totals()
    paper.write_sums(
        [
            (_("Balance before"), shown(statement.opening)),
            (_("Charged"), shown(charged)),
            (_("Paid and credited"), shown(-credited)),
            (_("Balance so far") if statement.is_running else _("Balance after"), shown(statement.closing)),
        ]
    )
    paper.ln(6)
    any_entry = False
    for entry in statement.entries().iterator():
        if not any_entry:
            paper.write_headings()
            any_entry = True
        paper.write_row(
            date_format(timezone.localtime(entry.posted_at), "SHORT_DATE_FORMAT"),
            title_of(entry),
            _small_print(entry),
            shown(entry.amount),
            shown(entry.balance),
        )
    if not any_entry:
        paper.write_text(_("Nothing was charged or paid in this month."))
    paper.keep_together(20)
    paper.ln(4)
    paper.write_text(balance_in_words(statement.closing), bold=True)
    paper.write_text(_("Books that are out are charged when they come back."), size=9, colour=FAINT)
    return bytes(paper.output())


def _small_print(entry: LedgerEntry) -> list[str]:
    working = working_of(entry)
    if working is None:
        return [note_of(entry)] if note_of(entry) else []
    steps = [f"{step.words}: {shown(step.amount)}" for step in working.steps]
    span = _("%(start)s to %(end)s, price list %(price_list)s, %(kind)s") % {
        "start": _moment(working.rented_at),
        "end": _moment(working.until),
        "price_list": working.price_list,
        "kind": working.kind,
    }
    return [span, *steps]


def receipt_as_pdf(entry: LedgerEntry, *, at: datetime) -> bytes:
    """A receipt of a payment or a refund; reads what `with_facts` fetches, the actor and `reversed_by`."""
    is_payment = entry.kind == LedgerEntry.Kind.PAYMENT
    paper = Paper(_("Receipt no. %(number)d") % {"number": entry.pk}, at=at)
    facts = [
        *_address(entry.user),
        (_("Paid by") if is_payment else _("Paid out by"), str(entry.get_method_display())),
        (_("Time"), _moment(entry.posted_at)),
        (_("Entry"), _("No. %(number)d of the account") % {"number": entry.number}),
        (_("Taken by") if is_payment else _("Handed out by"), entry.actor.get_short_name()),
    ]
    if entry.note:
        facts.append((_("Note"), entry.note))
    facts.append((_("Balance before"), shown(entry.balance - entry.amount)))
    facts.append((_("Balance after"), shown(entry.balance)))
    paper.write_sums([(_("Received with thanks") if is_payment else _("Paid out"), shown(abs(entry.amount)))])
    paper.ln(4)
    paper.write_facts(facts)
    correction = getattr(entry, "reversed_by", None)
    if correction is not None:
        paper.ln(4)
        paper.write_text(
            _("This entry was corrected on %(time)s by no. %(number)d and counts for nothing.")
            % {"time": _moment(correction.posted_at), "number": correction.number},
            bold=True,
        )
    return bytes(paper.output())


def _address(member: User) -> list[tuple[str, str]]:
    facts = [(_("Member"), member.get_short_name())]
    if member.address:
        facts.append((_("Address"), ", ".join(line.strip() for line in member.address.splitlines())))
    if member.email:
        facts.append((_("E-mail"), member.email))
    return facts


def _moment(at: datetime) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")

"""Statements and receipts on paper: what they say. `rentals.pdf_writer` writes it as PDF."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.attempts import Busy
from accounts.models import User
from lori_assignment.money import shown
from rentals.models import LedgerEntry
from rentals.statements import Statement
from rentals.wording import balance_in_words, note_of, title_of, working_of

logger = logging.getLogger(__name__)

# Seconds. A month of a thousand entries takes three where nobody else wants the processor.
LONGEST = 15
# One paper at a time in each worker, since what writes it takes 60 MB, and nobody waits for it: beside those
# who sign in (`accounts.turns`) a thread is left to everybody else.
_place = threading.BoundedSemaphore(1)
LATER_SECONDS = 2


@contextmanager
def _place_taken() -> Iterator[None]:
    """Before anything is asked of the database. Raises Busy while another paper is written."""
    if not _place.acquire(blocking=False):
        raise Busy(LATER_SECONDS)
    try:
        yield
    finally:
        _place.release()


class Sheet:
    """A paper that comes about step by step; `rentals.pdf_writer.STEPS` has the steps."""

    def __init__(self, title: str, *, at: datetime) -> None:
        made = _("Made on %(time)s") % {"time": _moment(at)}
        self._steps: list[tuple[str, dict[str, Any]]] = []
        self.order = {
            "title": title,
            "site": settings.SITE_NAME,
            "address": settings.SITE_URL.split("://", 1)[1],
            "language": get_language() or settings.LANGUAGE_CODE,
            "foot": f"{settings.SITE_NAME} · {title} · {made}",
            "page": _("Page %(page)s of %(pages)s"),
            "headings": [_("Date"), _("What"), _("Amount"), _("Balance")],
            "steps": self._steps,
        }

    def add(self, step: str, **told: Any) -> None:
        self._steps.append((step, told))

    def as_pdf(self) -> bytes:
        """Raises CalledProcessError where it fails, and Busy where it takes too long."""
        try:
            return subprocess.run(  # nosec B603  # Our own program, told what to write by a pipe.
                [sys.executable, "-m", "rentals.pdf_writer"],
                input=json.dumps(self.order).encode(),
                capture_output=True,
                cwd=settings.BASE_DIR,
                # It needs no secret.
                env={},
                timeout=LONGEST,
                check=True,
            ).stdout
        except subprocess.TimeoutExpired:
            logger.warning("A paper was not written within %d s.", LONGEST)
            raise Busy(LONGEST) from None
        except subprocess.CalledProcessError as error:
            # For the log.
            error.add_note(error.stderr.decode())
            raise


@_place_taken()
def statement_as_pdf(statement: Statement, *, at: datetime) -> bytes:
    """A member's statement of one month. Raises Busy."""
    month = date_format(statement.month.first_day, "YEAR_MONTH_FORMAT")
    sheet = Sheet(_("Statement of %(month)s") % {"month": month}, at=at)
    sheet.add("facts", facts=_address(statement.member))
    sheet.add("space", h=4)
    charged, credited = statement.totals()
    sums = [
        (_("Balance before"), shown(statement.opening)),
        (_("Charged"), shown(charged)),
        (_("Paid and credited"), shown(-credited)),
        (_("Balance so far") if statement.is_running else _("Balance after"), shown(statement.closing)),
    ]
    sheet.add("sums", sums=sums)
    sheet.add("space", h=6)
    any_entry = False
    for entry in statement.entries().iterator():
        if not any_entry:
            sheet.add("headings")
            any_entry = True
        sheet.add(
            "row",
            date=date_format(timezone.localtime(entry.posted_at), "SHORT_DATE_FORMAT"),
            what=title_of(entry),
            small=_small_print(entry),
            amount=shown(entry.amount),
            balance=shown(entry.balance),
        )
    if not any_entry:
        sheet.add("text", text=_("Nothing was charged or paid in this month."))
    sheet.add("keep_together", height=20)
    sheet.add("space", h=4)
    sheet.add("text", text=balance_in_words(statement.closing), bold=True)
    sheet.add("small_text", text=_("Books that are out are charged when they come back."))
    return sheet.as_pdf()


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


@_place_taken()
def receipt_as_pdf(entry: LedgerEntry, *, at: datetime) -> bytes:
    """A receipt of a payment or a refund, with what `with_facts` fetches, the actor and `reversed_by`.

    Raises Busy.
    """
    is_payment = entry.kind == LedgerEntry.Kind.PAYMENT
    sheet = Sheet(_("Receipt no. %(number)d") % {"number": entry.pk}, at=at)
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
    moved = _("Received with thanks") if is_payment else _("Paid out")
    sheet.add("sums", sums=[(moved, shown(abs(entry.amount)))])
    sheet.add("space", h=4)
    sheet.add("facts", facts=facts)
    correction = getattr(entry, "reversed_by", None)
    if correction is not None:
        sheet.add("space", h=4)
        text = _("This entry was corrected on %(time)s by no. %(number)d and counts for nothing.") % {
            "time": _moment(correction.posted_at),
            "number": correction.number,
        }
        sheet.add("text", text=text, bold=True)
    return sheet.as_pdf()


def _address(member: User) -> list[tuple[str, str]]:
    facts = [(_("Member"), member.get_short_name())]
    if member.address:
        facts.append((_("Address"), ", ".join(line.strip() for line in member.address.splitlines())))
    if member.email:
        facts.append((_("E-mail"), member.email))
    return facts


def _moment(at: datetime) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")

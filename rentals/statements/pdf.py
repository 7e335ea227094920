"""Composes statements and receipts as PDF and starts `rentals.statements.pdf_writer` to write them."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from math import ceil
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import User
from lori_assignment.errors import Busy
from lori_assignment.money import format_money
from rentals.models import LedgerEntry
from rentals.statements.monthly import Statement
from rentals.statements.wording import note_of, posted_in_words, title_of, working_of

logger = logging.getLogger(__name__)

# Statements with more entries are refused before a program starts. These take 3.5 seconds of a processor in
# Latin letters.
MAX_ENTRIES = 500
# Seconds of a processor. Other scripts take up to ten times as long as Latin.
CPU_TIMEOUT = 15
# Seconds in all, since a pod may have only a fifth of a processor. nginx waits for 55.
TIMEOUT = 45
# The programs that one worker runs at a time. Each takes 70 MB and blocks a thread of the worker, which needs
# threads for logins (`accounts.hashing_queue`) and other requests too. Two, so that one member, who can have
# only one, cannot block the PDFs of all others.
MAX_PROGRAMS = 2
RETRY_AFTER = 2
# Seconds between two PDFs of one member, so that a few members cannot occupy all programs.
PAUSE = 5
_programs = threading.BoundedSemaphore(MAX_PROGRAMS)


class StatementTooLong(Exception):
    """A month has too many entries for a PDF. A retry fails too."""


@contextmanager
def _program_for(member: User) -> Iterator[None]:
    """Reserve a program before the ledger is read.

    Raises Busy if this worker runs too many, or any worker runs one for the same member or did so in the last
    PAUSE seconds. The shared cache records the latter. The record of a worker that is killed expires after
    its program has ended.
    """
    if not _programs.acquire(blocking=False):
        raise Busy(RETRY_AFTER)
    try:
        key = f"statement-pdf-{member.pk}"
        if not cache.add(key, value=True, timeout=2 * TIMEOUT):
            raise Busy(PAUSE)
        try:
            yield
        finally:
            cache.touch(key, PAUSE)
    finally:
        _programs.release()


class DocumentSpec:
    """Describes a PDF document as steps, which `rentals.statements.pdf_writer` carries out."""

    def __init__(self, title: str, *, at: datetime) -> None:
        made = _("Created on %(time)s") % {"time": _moment(at)}
        self._steps: list[tuple[str, dict[str, Any]]] = []
        self.spec = {
            "title": title,
            "site": settings.SITE_NAME,
            "address": settings.SITE_URL.split("://", 1)[1],
            "language": get_language() or settings.LANGUAGE_CODE,
            "foot": f"{settings.SITE_NAME} · {title} · {made}",
            "page": _("Page %(page)s of %(pages)s"),
            "steps": self._steps,
        }

    def add(self, step: str, **arguments: Any) -> None:
        self._steps.append((step, arguments))

    def as_pdf(self) -> bytes:
        """Write the PDF.

        Raises StatementTooLong if it takes too much processor time, Busy if it takes too long or the program
        is killed, OSError if there is no room for its files, and CalledProcessError if the program fails.
        """
        # The program writes fonts to this folder, which is deleted even if the program is killed.
        with TemporaryDirectory() as folder:
            try:
                return subprocess.run(  # noqa: S603  # nosec B603  # our program; the text is piped
                    [
                        sys.executable,
                        "-m",
                        "rentals.statements.pdf_writer",
                        str(ceil(TIMEOUT)),
                        str(CPU_TIMEOUT),
                    ],
                    input=json.dumps(self.spec).encode(),
                    capture_output=True,
                    cwd=settings.BASE_DIR,
                    # The program needs no secrets from the environment.
                    env={"TMPDIR": folder},
                    timeout=TIMEOUT,
                    check=True,
                ).stdout
            except subprocess.TimeoutExpired:
                logger.warning("A PDF was not written within %d s.", TIMEOUT)
                raise Busy(TIMEOUT) from None
            except subprocess.CalledProcessError as error:
                if error.returncode == -signal.SIGXCPU:
                    logger.warning("A PDF was not written within %d s of a processor.", CPU_TIMEOUT)
                    raise StatementTooLong from None
                if error.returncode in (-signal.SIGALRM, -signal.SIGKILL):
                    # By its own alarm, or by the system for lack of memory.
                    logger.warning("The program that writes a PDF was killed.")
                    raise Busy(PAUSE) from None
                if error.returncode == os.EX_TEMPFAIL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder) from None
                # Shown in the log.
                error.add_note(error.stderr.decode())
                raise


def statement_as_pdf(statement: Statement, *, at: datetime) -> bytes:
    """Return the PDF of a member's monthly statement. Raises Busy and StatementTooLong."""
    if statement.last - statement.after > MAX_ENTRIES:
        raise StatementTooLong
    with _program_for(statement.member):
        return _statement(statement, at=at).as_pdf()


def _statement(statement: Statement, *, at: datetime) -> DocumentSpec:
    month = date_format(statement.month.first_day, "YEAR_MONTH_FORMAT")
    document = DocumentSpec(_("Statement for %(month)s") % {"month": month}, at=at)
    document.add("facts", facts=_address(statement.member))
    document.add("space", h=4)
    charged, credited = statement.totals()
    sums = [
        (_("Posted balance before"), format_money(statement.opening)),
        (_("Charged"), format_money(charged)),
        (_("Payments and credits"), format_money(-credited)),
        (
            _("Posted balance so far") if statement.is_running else _("Posted balance after"),
            format_money(statement.closing),
        ),
    ]
    document.add("sums", sums=sums)
    document.add("space", h=6)
    entries = [
        {
            "date": date_format(timezone.localtime(entry.posted_at), "SHORT_DATE_FORMAT"),
            "what": title_of(entry),
            "small": _small_print(entry),
            "amount": format_money(entry.amount),
            "balance": format_money(entry.balance),
        }
        for entry in statement.entries().iterator()
    ]
    if entries:
        headings = [_("Date"), _("Description"), _("Amount"), _("Posted balance")]
        document.add("entries", headings=headings, entries=entries)
    else:
        document.add("text", text=_("No transactions this month."))
    document.add("keep_together", height=20)
    document.add("space", h=4)
    document.add("text", text=posted_in_words(statement.closing), bold=True)
    document.add("small_text", text=_("Books on loan are charged when you return them."))
    return document


def _small_print(entry: LedgerEntry) -> list[str]:
    working = working_of(entry)
    if working is None:
        return [note_of(entry)] if note_of(entry) else []
    steps = [f"{step.words}: {format_money(step.amount)}" for step in working.steps]
    span = _("%(start)s to %(end)s, price list %(price_list)s, %(kind)s") % {
        "start": _moment(working.rented_at),
        "end": _moment(working.until),
        "price_list": working.price_list,
        "kind": working.kind,
    }
    return [span, *steps]


def receipt_as_pdf(entry: LedgerEntry, *, at: datetime) -> bytes:
    """Return the PDF of the receipt for a payment or a refund. Raises Busy.

    Reads what `with_relations` fetches, `actor` and `reversed_by`.
    """
    with _program_for(entry.user):
        return _receipt(entry, at=at).as_pdf()


def _receipt(entry: LedgerEntry, *, at: datetime) -> DocumentSpec:
    is_payment = entry.kind == LedgerEntry.Kind.PAYMENT
    document = DocumentSpec(_("Receipt no. %(number)d") % {"number": entry.pk}, at=at)
    facts = [
        *_address(entry.user),
        (_("Payment method"), str(entry.get_method_display())),
        (_("Time"), _moment(entry.posted_at)),
        (_("Transaction"), _("No. %(number)d on your account") % {"number": entry.number}),
        (_("Handled by"), entry.actor.get_short_name()),
    ]
    if entry.note:
        facts.append((_("Note"), entry.note))
    facts.append((_("Posted balance before"), format_money(entry.balance - entry.amount)))
    facts.append((_("Posted balance after"), format_money(entry.balance)))
    moved = _("Received with thanks") if is_payment else _("Paid out")
    document.add("sums", sums=[(moved, format_money(abs(entry.amount)))])
    document.add("space", h=4)
    document.add("facts", facts=facts)
    correction = getattr(entry, "reversed_by", None)
    if correction is not None:
        document.add("space", h=4)
        text = _("This transaction was reversed on %(time)s by no. %(number)d and no longer counts.") % {
            "time": _moment(correction.posted_at),
            "number": correction.number,
        }
        document.add("text", text=text, bold=True)
    return document


def _address(member: User) -> list[tuple[str, str]]:
    facts = [(_("Member"), member.get_short_name())]
    if member.address:
        facts.append((_("Address"), ", ".join(line.strip() for line in member.address.splitlines())))
    if member.email:
        facts.append((_("E-mail"), member.email))
    return facts


def _moment(at: datetime) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")

"""A member's own account: what is owed and why, the statements, and the receipts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from lori_assignment import clock
from lori_assignment.keyset import UnknownCursor, page_of
from lori_assignment.pages import member_page
from rentals import ledger, statement_csv
from rentals.models import LedgerEntry, Rental
from rentals.statement_pdf import StatementTooLong, receipt_as_pdf, statement_as_pdf
from rentals.statements import Month, Statement, months_of
from rentals.statements import statement as statement_of
from rentals.views import MemberRequest
from rentals.wording import Working, balance_in_words, note_of, title_of, working_of, working_so_far

PAGE = 25
# The others are reached from the last of them, month by month.
MONTHS = 12


@dataclass(frozen=True, slots=True)
class EntryInWords:
    """An entry with what is said about it."""

    entry: LedgerEntry
    title: str
    note: str
    working: Working | None

    @property
    def has_receipt(self) -> bool:
        """As `LedgerEntryQuerySet.money_moved` has it."""
        return self.entry.kind in (LedgerEntry.Kind.PAYMENT, LedgerEntry.Kind.REFUND)


@dataclass(frozen=True, slots=True)
class RentalSoFar:
    """A rental that is out, and how its cost comes about."""

    rental: Rental
    working: Working
    is_overdue: bool


@require_safe
@member_page
def balance(request: MemberRequest) -> HttpResponse:
    """What is owed now, and every amount that it is made of."""
    now = clock.now()
    entries = LedgerEntry.objects.filter(user=request.user).with_facts().order_by("-number")
    try:
        page = page_of(entries, size=PAGE, cursor=request.GET.get("cursor"))
    except UnknownCursor:
        return redirect("balance")
    owed = ledger.balance_with_books(request.user, at=now)
    months = months_of(request.user, at=now)
    facts = {
        "owed": owed,
        "in_words": balance_in_words(owed.total),
        "rentals": [
            RentalSoFar(
                rental=rental,
                working=working_so_far(rental, rental.running_price(now), until=now),
                is_overdue=rental.is_overdue(now),
            )
            for rental in owed.open_rentals
        ],
        "entries": [_in_words(entry) for entry in page.rows],
        "next": page.next,
        "previous": page.previous,
        "months": list(islice(months, MONTHS)),
        "are_all_months": len(months) <= MONTHS,
    }
    return render(request, "rentals/balance.html", facts)


def _in_words(entry: LedgerEntry) -> EntryInWords:
    return EntryInWords(entry, title=title_of(entry), note=note_of(entry), working=working_of(entry))


@require_safe
@member_page
def statement(request: MemberRequest, month: Month) -> HttpResponse:
    """One month of the account, on a page that prints well."""
    found = _statement(request, month)
    charged, credited = found.totals()
    facts = {
        "statement": found,
        "entries": [_in_words(entry) for entry in found.entries()],
        "charged": charged,
        "credited": -credited,
        "in_words": balance_in_words(found.closing),
    }
    return render(request, "rentals/statement.html", facts)


@require_safe
@member_page
def statement_pdf(request: MemberRequest, month: Month) -> HttpResponse:
    found = _statement(request, month)
    try:
        content = statement_as_pdf(found, at=clock.now())
    except StatementTooLong:
        return render(request, "rentals/statement_too_long.html", {"month": month}, status=409)
    return _pdf(content, name=f"lori-books-{month}")


@require_safe
@member_page
def statement_in_csv(request: MemberRequest, month: Month) -> HttpResponseBase:
    return StreamingHttpResponse(
        statement_csv.lines(_statement(request, month)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="lori-books-{month}.csv"'},
    )


def _statement(request: MemberRequest, month: Month) -> Statement:
    found = statement_of(request.user, month, at=clock.now())
    if found is None:
        raise Http404
    return found


@require_safe
@member_page
def receipt(request: MemberRequest, number: int) -> HttpResponse:
    """The receipt of one payment or refund, by its number in the account."""
    entry = _money_moved(request, number)
    facts = {
        "entry": entry,
        "amount": abs(entry.amount),
        "before": entry.balance - entry.amount,
        "is_payment": entry.kind == LedgerEntry.Kind.PAYMENT,
        "correction": getattr(entry, "reversed_by", None),
    }
    return render(request, "rentals/receipt.html", facts)


@require_safe
@member_page
def receipt_pdf(request: MemberRequest, number: int) -> HttpResponse:
    entry = _money_moved(request, number)
    return _pdf(receipt_as_pdf(entry, at=clock.now()), name=f"lori-books-receipt-{entry.pk}")


def _money_moved(request: MemberRequest, number: int) -> LedgerEntry:
    # The member's own whoever asks: numbers count within one account, so staff have no others here.
    own = LedgerEntry.objects.filter(user=request.user).money_moved()
    return get_object_or_404(own.with_facts().select_related("actor", "reversed_by"), number=number)


def _pdf(content: bytes, *, name: str) -> HttpResponse:
    return HttpResponse(
        content,
        content_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{name}.pdf"'},
    )

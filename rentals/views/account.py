"""Pages of a member's account: the balance, statements and receipts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from lori_assignment import clock
from lori_assignment.db.keyset_pagination import UnknownCursor, paginate
from lori_assignment.http.member_pages import member_page
from rentals import ledger
from rentals.models import LedgerEntry, Rental
from rentals.statements import csv_export
from rentals.statements.monthly import Month, Statement, months_of
from rentals.statements.monthly import statement as statement_of
from rentals.statements.pdf import StatementTooLong, receipt_as_pdf, statement_as_pdf
from rentals.statements.wording import (
    Working,
    balance_in_words,
    note_of,
    posted_in_words,
    title_of,
    working_of,
    working_so_far,
)
from rentals.views import MemberRequest

PAGE = 25
# A month has far fewer. Each takes a millisecond to show.
MAX_ENTRIES = 100
# Earlier months are linked from the statement of the last of these, one by one.
MONTHS = 12


@dataclass(frozen=True, slots=True)
class DescribedEntry:
    """An entry with its title, note and working."""

    entry: LedgerEntry
    title: str
    note: str
    working: Working | None

    @property
    def has_receipt(self) -> bool:
        """The same condition as in `LedgerEntryQuerySet.with_receipts`."""
        return self.entry.kind in (LedgerEntry.Kind.PAYMENT, LedgerEntry.Kind.REFUND)


@dataclass(frozen=True, slots=True)
class RunningRental:
    """An open rental, and how its running cost is computed."""

    rental: Rental
    working: Working
    is_overdue: bool


@require_safe
@member_page
def balance(request: MemberRequest) -> HttpResponse:
    """Show what the member owes now, and all amounts that make it up."""
    now = clock.now()
    entries = LedgerEntry.objects.filter(user=request.user).with_relations().order_by("-number")
    try:
        page = paginate(entries, size=PAGE, cursor=request.GET.get("cursor"))
    except UnknownCursor:
        return redirect("balance")
    owed = ledger.balance_with_books(request.user, at=now)
    months = months_of(request.user, at=now)
    facts = {
        "owed": owed,
        "in_words": balance_in_words(owed.total),
        "rentals": [
            RunningRental(
                rental=rental,
                working=working_so_far(rental, rental.running_price(now), until=now),
                is_overdue=rental.is_overdue(now),
            )
            for rental in owed.open_rentals
        ],
        "entries": [_describe(entry) for entry in page.rows],
        "next": page.next,
        "previous": page.previous,
        "months": list(islice(months, MONTHS)),
        "are_all_months": len(months) <= MONTHS,
    }
    return render(request, "rentals/balance.html", facts)


def _describe(entry: LedgerEntry) -> DescribedEntry:
    return DescribedEntry(entry, title=title_of(entry), note=note_of(entry), working=working_of(entry))


@require_safe
@member_page
def statement(request: MemberRequest, month: Month) -> HttpResponse:
    """Show one month of the account, on a page that prints well."""
    found = _statement(request, month)
    charged, credited = found.totals()
    facts = {
        "statement": found,
        "entries": [_describe(entry) for entry in found.entries()[:MAX_ENTRIES]],
        "left_out": found.last - found.after - MAX_ENTRIES,
        "charged": charged,
        "credited": -credited,
        "in_words": posted_in_words(found.closing),
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
        csv_export.csv_lines(_statement(request, month)),
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
    """Show the receipt of a payment or refund, by its number in the account."""
    entry = _get_receipt_entry(request, number)
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
    entry = _get_receipt_entry(request, number)
    return _pdf(receipt_as_pdf(entry, at=clock.now()), name=f"lori-books-receipt-{entry.pk}")


def _get_receipt_entry(request: MemberRequest, number: int) -> LedgerEntry:
    # Only the user's own, for staff too, because a number is unique only within one account.
    own = LedgerEntry.objects.filter(user=request.user).with_receipts()
    return get_object_or_404(own.with_relations().select_related("actor", "reversed_by"), number=number)


def _pdf(content: bytes, *, name: str) -> HttpResponse:
    return HttpResponse(
        content,
        content_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{name}.pdf"'},
    )

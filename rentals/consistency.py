"""Checks that the ledger, the rentals, the holds and the copies agree.

Constraints, triggers and locks prevent most errors. This finds those that are stored all the same, after a
restored backup, a manual repair or a bug. It only reads, and can run while the shop is open.

Each statement sees one snapshot, so concurrent writes are not reported. The database compares the rows; only
charges are fetched row by row, because `rentals.pricing` computes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Exists, F, FloatField, OuterRef, Q, QuerySet, Window
from django.db.models.functions import Abs, Lag

from books.models import Copy
from rentals.currency import recorded_currency, unpayable_amounts
from rentals.models import ZERO, ClientRef, Hold, LedgerEntry, Rate, Rental

CHUNK_SIZE = 2000
# Half of the smallest amount that the database stores. SQLite computes with floating-point numbers.
TOLERANCE = 0.0005


def find_errors() -> Iterator[str]:
    """Yield one sentence for each error, with the id of the row; nothing if all rows agree."""
    with _without_timeouts():
        for look in (
            _numbers_and_balances,
            _entries_of_another_account,
            _reversals,
            _rents_without_rental,
            _charges,
            _currency,
            _unpayable_amounts,
            _renewals,
            _copies_out_twice,
            _overlaps,
            _copies_out_of_service,
            _copies_put_aside,
            _holds_picked_up,
            _client_refs,
        ):
            yield from look()


@contextmanager
def _without_timeouts() -> Iterator[None]:
    """Lift PostgreSQL's timeouts, in a transaction: outside one, a cursor stores its whole result."""
    if connection.vendor != "postgresql":
        # SQLite reads row by row anyway, and a transaction would block its writers.
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            # Plan for reading all rows, not for the first few.
            cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
        yield


def _iterate(found: QuerySet[Any, Any]) -> Iterator[Any]:
    return found.iterator(chunk_size=CHUNK_SIZE)


def _numbers_and_balances() -> Iterator[str]:
    """Find entries whose number or balance does not follow from the entry before.

    Without any, the balance of the last entry is the sum of all entries.
    """
    account: dict[str, Any] = {"partition_by": F("user"), "order_by": ["number", "id"]}
    entries = (
        LedgerEntry.objects.annotate(
            number_before=Window(Lag("number", default=0), **account),
            balance_before=Window(Lag("balance", default=ZERO), **account),
        )
        .annotate(off=Abs(F("balance") - F("balance_before") - F("amount"), output_field=FloatField()))
        .filter(~Q(number=F("number_before") + 1) | Q(off__gte=TOLERANCE))
        .order_by("user", "number", "id")
        .values_list("user", "pk", "number", "number_before", "amount", "balance", "balance_before")
    )
    for user, pk, number, number_before, amount, balance, balance_before in _iterate(entries):
        entry = f"Ledger entry {pk} of member {user}"
        following, total = number_before + 1, balance_before + amount
        if number != following:
            yield f"{entry} has number {number}; expected {following}."
        if balance != total:
            yield f"{entry} has balance {balance}; expected {balance_before} + {amount} = {total}."


def _entries_of_another_account() -> Iterator[str]:
    entries = LedgerEntry.objects.filter(rental__isnull=False).exclude(user=F("rental__user"))
    for pk, user, rental, renter in _iterate(entries.values_list("pk", "user", "rental", "rental__user")):
        yield f"Ledger entry {pk} of member {user} is for rental {rental}, which belongs to member {renter}."


def _reversals() -> Iterator[str]:
    """Find reversals of another member's entry, of another amount or by another method."""
    entries = LedgerEntry.objects.filter(reverses__isnull=False).exclude(
        # Reversals used to have no method.
        Q(method="") | Q(method=F("reverses__method")),
        user=F("reverses__user"),
        amount=-F("reverses__amount"),
    )
    for pk, reversed_entry in _iterate(entries.values_list("pk", "reverses")):
        yield (
            f"Ledger entry {pk} reverses entry {reversed_entry}, but the member, amount or method doesn't "
            "match."
        )


def _rents_without_rental() -> Iterator[str]:
    """Find rent entries that are not the charge of the rental they name."""
    its_own = Rental.objects.filter(pk=OuterRef("rental"), rent_entry=OuterRef("pk"))
    entries = LedgerEntry.objects.filter(~Exists(its_own), kind=LedgerEntry.Kind.RENT)
    for pk, rental in _iterate(entries.values_list("pk", "rental")):
        yield f"Ledger entry {pk} charges rental {rental}, but is not its recorded charge."


def _charges() -> Iterator[str]:
    """Find missing and wrong charges, and charges whose reversal disagrees with the rental's `voided_at`."""
    facts = ["rate_id", "replacement_price", "rented_at", "due_at", "returned_at", "due_before"]
    rentals = (
        Rental.objects.filter(Q(returned_at__isnull=False) | Q(rent_entry__isnull=False))
        .only(*facts, "rent_entry_id", "voided_at")
        .annotate(
            charged=F("rent_entry__amount"),
            charged_as=F("rent_entry__kind"),
            charged_for=F("rent_entry__rental"),
            taken_back=F("rent_entry__reversed_by"),
        )
        .order_by()
    )
    rates: dict[int, Rate] = {}
    for rental in _iterate(rentals):
        its = f"Rental {rental.pk}"
        entry = f"entry {rental.rent_entry_id}"
        if rental.returned_at is None:
            yield f"{its} has a charge ({entry}) but was not returned."
        elif rental.rent_entry_id is None:
            yield f"{its} was returned but has no charge."
        elif (rental.charged_as, rental.charged_for) != (LedgerEntry.Kind.RENT, rental.pk):
            yield f"{its} has {entry} as its charge, which is not a rental charge for it."
        else:
            # There are few rates, and each is used often.
            if rental.rate_id not in rates:
                rates = Rate.objects.in_bulk()
            rental.rate = rates[rental.rate_id]
            due = rental.running_price(rental.returned_at).total
            if rental.charged != due:
                yield f"{its} was charged {rental.charged}; expected {due} from its rate and days."
            if rental.voided_at and not rental.taken_back:
                yield f"{its} is void, but its charge ({entry}) was not reversed."
            if rental.taken_back and not rental.voided_at:
                yield f"{its} is not void, but its charge ({entry}) was reversed."


def _currency() -> Iterator[str]:
    recorded = recorded_currency()
    if recorded != settings.CURRENCY:
        known = recorded or "no recorded currency"
        yield f"The shop's amounts are in {known}, but CURRENCY is {settings.CURRENCY}."


def _renewals() -> Iterator[str]:
    """Find rentals whose number of renewals is not that of their former due dates."""
    renewed = Rental.objects.exclude(renewals=0, due_before=[]).only("renewals", "due_before").order_by()
    for rental in _iterate(renewed):
        if rental.renewals != len(rental.due_before):
            before = len(rental.due_before)
            yield f"Rental {rental.pk} has {rental.renewals} renewals, but {before} former due dates."


def _unpayable_amounts() -> Iterator[str]:
    for model, pk, name in unpayable_amounts():
        yield f"{model} {pk} has a value of {name} that can't be paid in {settings.CURRENCY}."


def _copies_out_twice() -> Iterator[str]:
    """Find copies with several open rentals."""
    out = Rental.objects.open().order_by().values("copy").annotate(times=Count("pk")).filter(times__gt=1)
    for copy, times in _iterate(out.values_list("copy", "times")):
        yield f"Copy {copy} is on loan in {times} rentals at once."


def _overlaps() -> Iterator[str]:
    """Find rentals that began before the one before of the same copy had ended.

    If any two rentals of a copy overlap, so do two that follow each other by their beginning. Of two open
    ones, `_copies_out_twice` tells.
    """
    copy: dict[str, Any] = {
        "partition_by": F("copy"),
        "order_by": [F("rented_at"), F("returned_at").asc(nulls_last=True), F("ref")],
    }
    rentals = (
        Rental.objects.not_void()
        .annotate(
            ref_before=Window(Lag("ref"), **copy),
            rented_before=Window(Lag("rented_at"), **copy),
            returned_before=Window(Lag("returned_at"), **copy),
        )
        .filter(
            Q(returned_before__gt=F("rented_at"))
            | Q(ref_before__isnull=False, returned_before=None, returned_at__isnull=False)
            # Two without length, at the same time.
            | Q(rented_before=F("returned_at"), returned_before=F("rented_at"))
        )
        .order_by("copy", "ref")
    )
    for ref, copy_id, ref_before in _iterate(rentals.values_list("ref", "copy", "ref_before")):
        yield f"Rental {ref} of copy {copy_id} overlaps rental {ref_before} of the same copy."


def _copies_out_of_service() -> Iterator[str]:
    """Find copies that are on loan, but not in service."""
    out = Rental.objects.open().exclude(copy__status=Copy.Status.IN_SERVICE).order_by("copy")
    for ref, copy, status in _iterate(out.values_list("ref", "copy", "copy__status")):
        yield f"Copy {copy} has the status {status}, but is on loan in rental {ref}."


def _copies_put_aside() -> Iterator[str]:
    """Find copies that are set aside twice, while on loan, or for another book."""
    ready = Hold.objects.ready().order_by()
    twice = ready.values("copy").annotate(times=Count("pk")).filter(times__gt=1)
    for copy, times in _iterate(twice.values_list("copy", "times")):
        yield f"Copy {copy} is set aside for {times} holds at once."
    out = ready.filter(Exists(Rental.objects.open().filter(copy=OuterRef("copy"))))
    for pk, copy in _iterate(out.values_list("pk", "copy")):
        yield f"Hold {pk} has copy {copy} set aside, but the copy is on loan."
    unfit = ready.exclude(copy__status=Copy.Status.IN_SERVICE)
    for pk, copy, status in _iterate(unfit.values_list("pk", "copy", "copy__status")):
        yield f"Hold {pk} has copy {copy} set aside, but the copy has the status {status}."
    others = ready.exclude(book=F("copy__book"))
    for pk, copy, book in _iterate(others.values_list("pk", "copy", "book")):
        yield f"Hold {pk} has copy {copy} set aside, which is not a copy of book {book}."


def _holds_picked_up() -> Iterator[str]:
    holds = Hold.objects.filter(rental__isnull=False).exclude(user=F("rental__user"), copy=F("rental__copy"))
    for pk, rental in _iterate(holds.order_by().values_list("pk", "rental")):
        yield f"Hold {pk} became rental {rental}, but the member or copy doesn't match."


def _client_refs() -> Iterator[str]:
    """Find client references that name nothing, or no payment that their account took."""
    payment = Q(entry__actor=F("account"), entry__kind=LedgerEntry.Kind.PAYMENT)
    refs = ClientRef.objects.filter(Q(rental=None, entry=None) | ~Q(entry=None) & ~payment)
    for pk, account in _iterate(refs.order_by().values_list("pk", "account")):
        yield f"Client reference {pk} of account {account} names nothing that the account made."

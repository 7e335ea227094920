"""Whether the books agree: the ledger with itself, the charges with the rentals, the copies with both.

The constraints and triggers hold most of it, and the locks the rest. This looks at what is there, whatever
wrote it: a restored backup, a repair by hand, a fault of ours. It only reads, while the shop goes on.

Each look is one statement, so each sees one moment, and what is written meanwhile is no disagreement. The
database compares; only charges come here, row by row, since `rentals.pricing` is the one who knows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import Abs, Lag

from rentals.ledger import CENT
from rentals.models import ZERO, Hold, LedgerEntry, Rate, Rental

CHUNK_SIZE = 2000
# SQLite adds amounts up as floating point numbers.
HALF_A_CENT = Decimal("0.005")


def find_errors() -> Iterator[str]:
    """What does not agree, in a sentence each that names the row by its number; nothing when all does."""
    with _without_timeouts():
        for look in (
            _numbers_and_balances,
            _entries_of_another_account,
            _reversals,
            _rents_without_rental,
            _charges,
            _copies_out_twice,
            _copies_put_aside,
            _holds_picked_up,
        ):
            yield from look()


@contextmanager
def _without_timeouts() -> Iterator[None]:
    """However long it takes; and row by row, where a server would else keep the whole answer for us."""
    if (
        connection.vendor != "postgresql"
    ):  # SQLite does that anyway, and a transaction would stop its writers.
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            # All the rows are wanted, not the first few soon.
            cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
        yield


def _iterate(found: QuerySet[Any, Any]) -> Iterator[Any]:
    return found.iterator(chunk_size=CHUNK_SIZE)


def _numbers_and_balances() -> Iterator[str]:
    """An account counts from 1, and each entry carries the balance before it and its own amount.

    So the last entry's balance, which is what the member owes, is the sum of all.
    """
    account: dict[str, Any] = {"partition_by": F("user"), "order_by": ["number", "id"]}
    entries = (
        LedgerEntry.objects.annotate(
            number_before=Window(Lag("number", default=0), **account),
            balance_before=Window(Lag("balance", default=ZERO), **account),
        )
        .annotate(off=Abs(F("balance") - F("balance_before") - F("amount")))
        .filter(~Q(number=F("number_before") + 1) | Q(off__gte=HALF_A_CENT))
        .order_by("user", "number", "id")
        .values_list("user", "pk", "number", "number_before", "amount", "balance", "balance_before")
    )
    for user, pk, number, number_before, amount, balance, balance_before in _iterate(entries):
        entry = f"Ledger entry {pk} of member {user}"
        # SQLite's, once more.
        balance_before = balance_before.quantize(CENT)
        following, total = number_before + 1, balance_before + amount
        if number != following:
            yield f"{entry} has the number {number}, where {following} is next."
        if balance != total:
            yield f"{entry} has the balance {balance}, but {balance_before} and {amount} make {total}."


def _entries_of_another_account() -> Iterator[str]:
    entries = LedgerEntry.objects.filter(rental__isnull=False).exclude(user=F("rental__user"))
    for pk, user, rental, renter in _iterate(entries.values_list("pk", "user", "rental", "rental__user")):
        yield f"Ledger entry {pk} of member {user} is for rental {rental}, which is member {renter}'s."


def _reversals() -> Iterator[str]:
    """A reversal takes back what it reverses, all of it, from the same member."""
    entries = LedgerEntry.objects.filter(reverses__isnull=False).exclude(
        user=F("reverses__user"), amount=-F("reverses__amount")
    )
    for pk, reversed_entry in _iterate(entries.values_list("pk", "reverses")):
        yield f"Ledger entry {pk} is no reversal of entry {reversed_entry}: member or amount is another."


def _rents_without_rental() -> Iterator[str]:
    """A rent is the charge of the rental that it names, and a rental has one."""
    its_own = Rental.objects.filter(pk=OuterRef("rental"), rent_entry=OuterRef("pk"))
    entries = LedgerEntry.objects.filter(~Exists(its_own), kind=LedgerEntry.Kind.RENT)
    for pk, rental in _iterate(entries.values_list("pk", "rental")):
        yield f"Ledger entry {pk} charges rental {rental}, whose charge it is not."


def _charges() -> Iterator[str]:
    """A returned rental has its charge, of what its rate and times make; a void one has it reversed."""
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
            yield f"{its} has a charge, {entry}, but was not returned."
        elif rental.rent_entry_id is None:
            yield f"{its} was returned, but has no charge."
        elif (rental.charged_as, rental.charged_for) != (LedgerEntry.Kind.RENT, rental.pk):
            yield f"{its} has {entry} for its charge, which is not its rent."
        else:
            # There are few, and each is wanted often.
            if rental.rate_id not in rates:
                rates = Rate.objects.in_bulk()
            rental.rate = rates[rental.rate_id]
            due = rental.running_price(rental.returned_at).total
            if rental.charged != due:
                yield f"{its} was charged {rental.charged}, but its rate and days make {due}."
            if rental.voided_at and not rental.taken_back:
                yield f"{its} is void, but its charge, {entry}, was not reversed."
            if rental.taken_back and not rental.voided_at:
                yield f"{its} stands, but its charge, {entry}, was reversed."


def _copies_out_twice() -> Iterator[str]:
    """As many copies are out as rentals are open."""
    out = Rental.objects.open().order_by().values("copy").annotate(times=Count("pk")).filter(times__gt=1)
    for copy, times in _iterate(out.values_list("copy", "times")):
        yield f"Copy {copy} is out {times} times at once."


def _copies_put_aside() -> Iterator[str]:
    """What is put aside is on the shelf, for one member, who waits for that book."""
    ready = Hold.objects.ready().order_by()
    twice = ready.values("copy").annotate(times=Count("pk")).filter(times__gt=1)
    for copy, times in _iterate(twice.values_list("copy", "times")):
        yield f"Copy {copy} is put aside {times} times at once."
    out = ready.filter(Exists(Rental.objects.open().filter(copy=OuterRef("copy"))))
    for pk, copy in _iterate(out.values_list("pk", "copy")):
        yield f"Hold {pk} has copy {copy} put aside, which is out."
    others = ready.exclude(book=F("copy__book"))
    for pk, copy, book in _iterate(others.values_list("pk", "copy", "book")):
        yield f"Hold {pk} has copy {copy} put aside, which is no copy of book {book}."


def _holds_picked_up() -> Iterator[str]:
    holds = Hold.objects.filter(rental__isnull=False).exclude(user=F("rental__user"), copy=F("rental__copy"))
    for pk, rental in _iterate(holds.order_by().values_list("pk", "rental")):
        yield f"Hold {pk} became rental {rental}, whose member or copy is another."

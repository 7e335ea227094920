"""Exports everything that the shop stores about a member, as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F

from accounts import personal_data
from accounts.models import User
from accounts.personal_data import Part
from rentals.models import CalendarFeed, ClientRef, Hold, LedgerEntry, Rental


def export_personal_data(member: User, *, at: datetime) -> Iterator[str]:
    """Yield the document in pieces, so that little of it is in memory at a time."""
    yield from json_chunks(
        [
            ("made", {"by": settings.SITE_NAME, "at": at, "currency": settings.CURRENCY}),
            *personal_data_of(member),
        ]
    )


def personal_data_of(member: User) -> Iterator[Part]:
    yield from personal_data.personal_data_of(member)
    yield "rentals", (_rental(one) for one in _rentals(member))
    yield (
        "holds",
        Hold.objects.filter(user=member)
        .order_by("pk")
        .values("book__name", "placed_at", "ready_at", "pick_up_by", "ended_at", "outcome", "rental")
        .iterator(),
    )
    yield (
        "client_references",
        ClientRef.objects.filter(account=member).order_by("pk").values("ref", "rental", "entry", "made_at"),
    )
    # Only when the link was made: the link itself is a secret.
    yield "calendar_link", CalendarFeed.objects.filter(user=member).values("made_at")
    yield (
        "ledger",
        LedgerEntry.objects.filter(user=member)
        .order_by("number")
        .values(
            "number", "kind", "amount", "rental", "reverses__number", "method", "note", "working",
            "posted_at", posted_balance=F("balance"),
        )
        .iterator(),
    )  # fmt: skip


def _rentals(member: User) -> Iterator[Rental]:
    return Rental.objects.filter(user=member).with_terms().order_by("ref").iterator(chunk_size=500)


def _rental(one: Rental) -> dict[str, Any]:
    return {
        "ref": one.ref,
        "book": one.book.name,
        "author": one.book.author,
        "barcode": one.copy.barcode,
        "rented_at": one.rented_at,
        "due_at": one.due_at,
        "returned_at": one.returned_at,
        "renewals": one.renewals,
        "due_before_renewals": one.due_before,
        "price_list": one.price_list.name,
        "replacement_price": one.replacement_price,
        "charge": one.charge,
        "reason": one.reason,
        "return_reason": one.return_reason,
        "limits_broken": one.limits_broken or [],
        "voided_at": one.voided_at,
        "void_reason": one.void_reason,
    }


def json_chunks(parts: Iterable[Part]) -> Iterator[str]:
    """Yield one JSON object with the parts, each of which is an object or a list."""
    before = "{\n"
    for name, content in parts:
        yield f"{before}{_dump(name)}: "
        if isinstance(content, dict):
            yield _dump(content)
        else:
            yield from _dump_list(content)
        before = ",\n"
    yield "\n}\n"


def _dump_list(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    before = "[\n  "
    for row in rows:
        yield before + _dump(row)
        before = ",\n  "
    yield "[]" if before.startswith("[") else "\n]"


def _dump(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)

"""Serializers of rentals, balances and statements for version 3, the current one."""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any

from django.conf import settings
from django.utils.timezone import get_current_timezone
from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from accounts.models import User
from books.models import Book, Copy
from lori_assignment.money import plain_amount
from lori_assignment.rest.fields import Amount, Choice, PlainKey, format_datetime
from rentals.api.fields import (
    PastTime,
    Reason,
    Status,
    check_copy,
    check_period,
    check_reason,
    check_return,
    client_ref_field,
)
from rentals.ledger import Balance
from rentals.models import LedgerEntry, Rental


class RentalIn(serializers.Serializer[Rental]):
    """The fields that a member may send."""

    book = PlainKey(queryset=Book.objects.all())
    client_ref = client_ref_field()

    class Meta:
        ref_name = "RentalV3In"
        swagger_schema_fields = {"example": {"book": 7}}


class RentalDeskIn(serializers.Serializer[Rental]):
    """The fields that staff may send."""

    book = PlainKey(queryset=Book.objects.all())
    user = PlainKey(queryset=User.objects.all(), required=False, help_text="Staff only. Default: the caller.")
    copy = PlainKey(
        queryset=Copy.objects.all(), required=False, help_text="Staff only. Default: any available copy."
    )
    date_rented = PastTime(required=False, allow_null=True, help_text="Staff only. Default: now.")
    date_returned = PastTime(
        required=False,
        allow_null=True,
        help_text="Staff only, with date_rented: records a rental that has ended already, and charges it.",
    )
    reason = Reason(help_text="Staff only, with date_rented: why it is recorded later.")
    client_ref = client_ref_field()

    class Meta:
        ref_name = "RentalV3DeskIn"
        swagger_schema_fields = {"example": {"book": 7, "user": 3, "date_rented": "2026-11-20T10:30:00Z"}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return check_reason(check_period(check_copy(attrs)))


class RentalChange(serializers.Serializer[Rental]):
    status = Choice(
        choices=Status.choices, help_text="1: returned, 2: not returned. To return a rental, send 1."
    )
    date_returned = PastTime(required=False, allow_null=True, help_text="With status 1. Default: now.")
    reason = Reason(help_text="With status 1: kept with the return, such as why it is recorded later.")

    class Meta:
        ref_name = "RentalV3Change"
        swagger_schema_fields = {"example": {"status": 1}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return check_return(attrs)


class ReturnIn(serializers.Serializer[Rental]):
    date_returned = PastTime(required=False, allow_null=True, help_text="Default: now.")
    reason = Reason(help_text="Kept with the return, such as why it is recorded later.")

    class Meta:
        ref_name = "ReturnV3In"
        swagger_schema_fields = {"example": {"date_returned": "2026-11-23T09:15:00Z"}}


RENTAL_EXAMPLE = {
    "ref": 41,
    "user": 3,
    "book": 7,
    "copy": 12,
    "date_rented": "2026-11-20T10:30:00Z",
    "date_returned": None,
    "status": 2,
    "due_at": "2026-12-04T10:30:00Z",
    "renewals": 0,
    "overdue": False,
    "price_list": "Tiered",
    "charge": None,
    "running_cost": "5.00",
    "reason": None,
    "return_reason": None,
    "limits_broken": [],
    "voided_at": None,
    "void_reason": None,
    "client_ref": None,
}


class RentalOut(serializers.ModelSerializer[Rental]):
    """Needs the time `now` in its context, for the running cost."""

    book = serializers.IntegerField(source="copy.book_id")
    date_rented = serializers.DateTimeField(source="rented_at")
    date_returned = serializers.DateTimeField(source="returned_at", allow_null=True)
    status = serializers.SerializerMethodField(help_text="1: returned, 2: not returned.")
    overdue = serializers.SerializerMethodField()
    price_list = serializers.CharField(source="price_list.name", help_text="The name of the price list.")
    charge = Amount(whole_digits=14, allow_null=True, help_text="What was charged on return.")
    running_cost = serializers.SerializerMethodField(
        help_text="What it would cost if returned now; null after the return."
    )
    limits_broken = serializers.SerializerMethodField(
        help_text="Codes of the refusals that a past rental would have met, had it not already begun."
    )
    client_ref = serializers.CharField(
        source="client_ref.ref", allow_null=True, default=None, help_text="The caller's own name for it."
    )

    class Meta:
        model = Rental
        fields = [
            "ref",
            "user",
            "book",
            "copy",
            "date_rented",
            "date_returned",
            "status",
            "due_at",
            "renewals",
            "overdue",
            "price_list",
            "charge",
            "running_cost",
            "reason",
            "return_reason",
            "limits_broken",
            "voided_at",
            "void_reason",
            "client_ref",
        ]
        ref_name = "RentalV3"
        swagger_schema_fields = {"example": RENTAL_EXAMPLE}

    def to_representation(self, rental: Any) -> dict[str, Any]:
        charge = rental.charge
        return {
            "ref": rental.ref,
            "user": rental.user_id,
            "book": rental.copy.book_id,
            "copy": rental.copy_id,
            "date_rented": format_datetime(rental.rented_at, self.zone),
            "date_returned": format_datetime(rental.returned_at, self.zone),
            "status": self.get_status(rental),
            "due_at": format_datetime(rental.due_at, self.zone),
            "renewals": rental.renewals,
            "overdue": self.get_overdue(rental),
            "price_list": rental.price_list.name,
            "charge": None if charge is None else plain_amount(charge),
            "running_cost": self.get_running_cost(rental),
            "reason": rental.reason,
            "return_reason": rental.return_reason,
            "limits_broken": rental.limits_broken or [],
            "voided_at": format_datetime(rental.voided_at, self.zone),
            "void_reason": rental.void_reason,
            "client_ref": getattr(getattr(rental, "client_ref", None), "ref", None),
        }

    @cached_property
    def now(self) -> datetime:
        now: datetime = self.context["now"]
        return now

    @cached_property
    def zone(self) -> tzinfo:
        return get_current_timezone()

    @swagger_serializer_method(serializers.ChoiceField(choices=Status.choices))
    def get_status(self, rental: Rental) -> int:
        return Status.NOT_RETURNED if rental.returned_at is None else Status.RETURNED

    @swagger_serializer_method(serializers.BooleanField())
    def get_overdue(self, rental: Rental) -> bool:
        return rental.is_overdue(self.now)

    @swagger_serializer_method(serializers.ListField(child=serializers.CharField()))
    def get_limits_broken(self, rental: Rental) -> list[str]:
        return rental.limits_broken or []

    @swagger_serializer_method(Amount(whole_digits=14, allow_null=True))
    def get_running_cost(self, rental: Rental) -> str | None:
        return plain_amount(rental.running_price(self.now).total) if rental.is_open else None


class BalanceOut(serializers.Serializer[object]):
    user_id = serializers.IntegerField()
    currency = serializers.CharField()
    balance = Amount(whole_digits=14, help_text="Posted plus running; positive if the member owes money.")
    posted = Amount(whole_digits=14, help_text="The sum of the ledger entries.")
    running = Amount(whole_digits=14, help_text="What the open rentals would cost if returned now.")
    open_rentals = serializers.IntegerField(help_text="How many books are on loan.")

    class Meta:
        ref_name = "BalanceV3"
        swagger_schema_fields = {
            "example": {
                "user_id": 3,
                "currency": "USD",
                "balance": "29.00",
                "posted": "24.00",
                "running": "5.00",
                "open_rentals": 1,
            }
        }


def balance_of(member: User, balance: Balance) -> dict[str, Any]:
    return {
        "user_id": member.pk,
        "currency": settings.CURRENCY,
        "balance": plain_amount(balance.total),
        "posted": plain_amount(balance.posted),
        "running": plain_amount(balance.running),
        "open_rentals": len(balance.open_rentals),
    }


class WorkingLine(serializers.Serializer[object]):
    what = serializers.ChoiceField(choices=["first_days", "daily", "minimum", "late_fee", "cap"])
    days = serializers.IntegerField(required=False)
    rate = Amount(whole_digits=14, required=False)
    amount = Amount(whole_digits=14)

    class Meta:
        ref_name = "WorkingLineV3"


class Working(serializers.Serializer[object]):
    """How the amount of a rent entry was computed; the lines add up to it."""

    price_list = serializers.CharField()
    kind = serializers.CharField()
    rented_at = serializers.DateTimeField()
    returned_at = serializers.DateTimeField()
    days = serializers.IntegerField()
    late_days = serializers.IntegerField()
    lines = WorkingLine(many=True)

    class Meta:
        ref_name = "WorkingV3"


ENTRY_EXAMPLE = {
    "number": 5,
    "kind": "rent",
    "amount": "3.50",
    "posted": "24.00",
    "balance": "24.00",
    "posted_at": "2026-11-23T09:15:00Z",
    "rental": 40,
    "reverses": None,
    "reversed_by": None,
    "payment": None,
    "method": "",
    "note": "",
    "working": {
        "price_list": "Tiered",
        "kind": "regular",
        "rented_at": "2026-11-20T10:30:00Z",
        "returned_at": "2026-11-23T09:15:00Z",
        "days": 3,
        "late_days": 0,
        "lines": [
            {"what": "first_days", "days": 2, "rate": "1.00", "amount": "2.00"},
            {"what": "daily", "days": 1, "rate": "1.50", "amount": "1.50"},
        ],
    },
}


class EntryOut(serializers.ModelSerializer[LedgerEntry]):
    posted = serializers.DecimalField(
        source="balance",
        max_digits=14,
        decimal_places=2,
        help_text="The sum of the member's ledger after this entry, without the running cost.",
    )
    balance = serializers.DecimalField(
        max_digits=14, decimal_places=2, help_text="Deprecated: the same as `posted`."
    )
    reverses = serializers.IntegerField(
        source="reverses.number", allow_null=True, default=None, help_text="The number of the reversed entry."
    )
    reversed_by = serializers.IntegerField(
        source="reversed_by.number",
        allow_null=True,
        default=None,
        help_text="The number of the entry that reversed this one; null if none did.",
    )
    payment = serializers.SerializerMethodField(help_text="The ID of the payment; otherwise null.")
    method = serializers.SerializerMethodField(
        help_text="For payments, refunds and their reversals; otherwise empty."
    )
    working = serializers.SerializerMethodField(
        help_text="The calculation of a rental charge; otherwise null."
    )

    class Meta:
        model = LedgerEntry
        fields = [
            "number",
            "kind",
            "amount",
            "posted",
            "balance",
            "posted_at",
            "rental",
            "reverses",
            "reversed_by",
            "payment",
            "method",
            "note",
            "working",
        ]
        ref_name = "LedgerEntryV3"
        swagger_schema_fields = {"example": ENTRY_EXAMPLE}

    @swagger_serializer_method(serializers.IntegerField(allow_null=True))
    def get_payment(self, entry: LedgerEntry) -> int | None:
        return entry.pk if entry.kind == LedgerEntry.Kind.PAYMENT else None

    @swagger_serializer_method(serializers.CharField(allow_blank=True))
    def get_method(self, entry: LedgerEntry) -> str:
        # Reversals used to have no method.
        return entry.method or (entry.reverses.method if entry.reverses else "")

    @swagger_serializer_method(Working(allow_null=True))
    def get_working(self, entry: LedgerEntry) -> dict[str, Any] | None:
        return entry.working


class StatementOut(serializers.Serializer[object]):
    """One page of a member's ledger entries by number, and the open rentals."""

    user_id = serializers.IntegerField()
    currency = serializers.CharField()
    balance = Amount(whole_digits=14)
    posted = Amount(whole_digits=14)
    running = Amount(whole_digits=14)
    open_rentals = RentalOut(many=True)
    entries = EntryOut(many=True)
    next = serializers.URLField(allow_null=True, help_text="The page with later entries.")
    previous = serializers.URLField(allow_null=True, help_text="The page with earlier entries.")

    class Meta:
        ref_name = "StatementV3"
        swagger_schema_fields = {
            "example": {
                "user_id": 3,
                "currency": "USD",
                "balance": "29.00",
                "posted": "24.00",
                "running": "5.00",
                "open_rentals": [RENTAL_EXAMPLE],
                "entries": [ENTRY_EXAMPLE],
                "next": None,
                "previous": None,
            }
        }

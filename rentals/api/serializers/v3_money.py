"""Serializers of payments and price lists for version 3, the current one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from accounts.models import User
from books.models import Kind
from lori_assignment.money import plain_amount
from lori_assignment.rest.fields import Amount, Choice, Instant, PlainInteger, PlainKey
from rentals.api.fields import client_ref_field
from rentals.models import MAX_AMOUNT, MAX_FIRST_DAYS, LedgerEntry, PriceList, Rate


class PaymentIn(serializers.Serializer[LedgerEntry]):
    user = PlainKey(queryset=User.objects.all(), help_text="The member who pays.")
    amount = Amount(positive=True, help_text="At most what the member owes.")
    method = Choice(choices=LedgerEntry.Method.choices)
    note = serializers.CharField(max_length=500, required=False, allow_blank=True)
    client_ref = client_ref_field()

    class Meta:
        ref_name = "PaymentV3In"
        swagger_schema_fields = {"example": {"user": 3, "amount": "10.00", "method": "cash", "note": ""}}


class PaymentOut(serializers.ModelSerializer[LedgerEntry]):
    entry = serializers.IntegerField(
        source="number", help_text="The number of the payment in the member's ledger."
    )
    reversed_by = serializers.IntegerField(
        source="reversed_by.number",
        allow_null=True,
        default=None,
        help_text="The number of the ledger entry that reversed the payment; null if none did.",
    )
    client_ref = serializers.CharField(
        source="client_ref.ref", allow_null=True, default=None, help_text="The caller's own name for it."
    )
    amount = serializers.SerializerMethodField()
    posted = Amount(
        source="balance",
        whole_digits=14,
        help_text="The sum of the member's ledger after this entry, without the running cost.",
    )
    balance = Amount(whole_digits=14, help_text="Deprecated: the same as `posted`.")
    taken_by = serializers.IntegerField(source="actor_id")
    taken_at = serializers.DateTimeField(source="posted_at")

    class Meta:
        model = LedgerEntry
        fields = [
            *("id", "entry", "user", "amount", "method", "note", "posted", "balance"),
            *("taken_by", "taken_at", "reversed_by", "client_ref"),
        ]
        ref_name = "PaymentV3"
        swagger_schema_fields = {
            "example": {
                "id": 90,
                "entry": 6,
                "user": 3,
                "amount": "10.00",
                "method": "cash",
                "note": "",
                "posted": "14.00",
                "balance": "14.00",
                "taken_by": 2,
                "taken_at": "2026-11-23T09:20:00Z",
                "reversed_by": None,
                "client_ref": None,
            }
        }

    def get_amount(self, entry: LedgerEntry) -> str:
        """The amount that was paid, as a positive number; in the ledger a credit is negative."""
        return plain_amount(-entry.amount)


class RateShape(serializers.ModelSerializer[Rate]):
    book_type = Choice(
        choices=Kind.choices, source="kind", help_text="1: regular (standard), 2: fiction, 3: novel."
    )
    first_days = PlainInteger(required=False, min_value=0, max_value=MAX_FIRST_DAYS)
    first_days_rate = Amount(required=False, min_value=Decimal(0), max_value=MAX_AMOUNT)
    daily_rate = Amount(min_value=Decimal(0), max_value=MAX_AMOUNT)
    minimum = Amount(required=False, min_value=Decimal(0), max_value=MAX_AMOUNT)
    late_fee = Amount(required=False, min_value=Decimal(0), max_value=MAX_AMOUNT)

    class Meta:
        model = Rate
        fields = ["book_type", "first_days", "first_days_rate", "daily_rate", "minimum", "late_fee"]
        ref_name = "RateV3"

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        first = attrs.get("first_days_rate") if attrs.get("first_days") else attrs.get("daily_rate")
        if not (first or attrs.get("minimum")):
            raise serializers.ValidationError(_("The price of the first day must be above zero."))
        return attrs


RATES_EXAMPLE = [
    {
        "book_type": kind,
        "first_days": first_days,
        "first_days_rate": first_days_rate,
        "daily_rate": daily_rate,
        "minimum": minimum,
        "late_fee": "0.50",
    }
    for kind, first_days, first_days_rate, daily_rate, minimum in [
        (1, 2, "1.00", "1.50", "2.00"),
        (2, 0, "0.00", "3.00", "0.00"),
        (3, 0, "0.00", "1.50", "4.50"),
    ]
]


class PriceListIn(serializers.Serializer[PriceList]):
    name = serializers.CharField(
        max_length=100,
        validators=[
            UniqueValidator(PriceList.objects.all(), message=_("Another price list already has this name."))
        ],
    )
    in_force_from = Instant(
        required=False,
        validators=[
            UniqueValidator(
                PriceList.objects.all(),
                message=_("Another price list takes effect at the same time."),
            )
        ],
        help_text="Applies to rentals that begin from this time on. Default: now.",
    )
    rates = RateShape(many=True, help_text="One for each category.")

    class Meta:
        ref_name = "PriceListV3In"
        swagger_schema_fields = {
            "example": {"name": "Winter", "in_force_from": "2026-12-01T00:00:00Z", "rates": RATES_EXAMPLE}
        }

    def validate_rates(self, rates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Validated again as complete rates: in a PATCH, REST framework lets nested fields be left out too.
        whole = RateShape(data=self.initial_data["rates"], many=True)
        if not whole.is_valid():
            raise serializers.ValidationError(whole.errors)
        if sorted(rate["kind"] for rate in rates) != sorted(Kind.values):
            raise serializers.ValidationError(_("Give one rate for each category: 1, 2 and 3."))
        return rates


class PriceListOut(serializers.ModelSerializer[PriceList]):
    rates = RateShape(many=True)
    in_force = serializers.BooleanField(help_text="Applies to rentals that begin now.")
    used = serializers.BooleanField(help_text="Rentals use it, so it can't be changed.")

    class Meta:
        model = PriceList
        fields = ["id", "name", "in_force_from", "in_force", "used", "rates"]
        ref_name = "PriceListV3"
        swagger_schema_fields = {
            "example": {
                "id": 4,
                "name": "Winter",
                "in_force_from": "2026-12-01T00:00:00Z",
                "in_force": False,
                "used": False,
                "rates": RATES_EXAMPLE,
            }
        }

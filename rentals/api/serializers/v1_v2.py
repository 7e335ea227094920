"""Serializers of rentals and balances for versions 1 and 2. Frozen in the shape of the first service."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import User
from books.models import Book, Copy
from lori_assignment.money import plain_amount
from lori_assignment.rest.fields import Amount, Choice, PlainKey, format_datetime
from rentals.api.fields import PastTime, Status, check_copy, check_return
from rentals.ledger import Balance
from rentals.models import Rental


class RentalIn(serializers.Serializer[Rental]):
    """The fields that a member may send."""

    book = PlainKey(queryset=Book.objects.all())

    class Meta:
        ref_name = "RentalV1V2In"
        swagger_schema_fields = {"example": {"book": 7}}


class RentalDeskIn(serializers.Serializer[Rental]):
    """The fields that staff may send."""

    book = PlainKey(queryset=Book.objects.all())
    user = PlainKey(queryset=User.objects.all(), required=False, help_text="Staff only. Default: the caller.")
    copy = PlainKey(
        queryset=Copy.objects.all(), required=False, help_text="Staff only. Default: any available copy."
    )
    date_rented = PastTime(required=False, allow_null=True, help_text="Staff only. Default: now.")

    class Meta:
        ref_name = "RentalV1V2DeskIn"
        swagger_schema_fields = {"example": {"book": 7, "user": 3, "date_rented": "2026-11-20T10:30:00Z"}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return check_copy(attrs)


class RentalChange(serializers.Serializer[Rental]):
    status = Choice(
        choices=Status.choices, help_text="1: returned, 2: not returned. To return a rental, send 1."
    )
    date_returned = PastTime(required=False, allow_null=True, help_text="With status 1. Default: now.")

    class Meta:
        ref_name = "RentalV1V2Change"
        swagger_schema_fields = {"example": {"status": 1}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return check_return(attrs)


class RentalOut(serializers.ModelSerializer[Rental]):
    book = serializers.IntegerField(source="copy.book_id")
    date_rented = serializers.DateTimeField(source="rented_at")
    date_returned = serializers.DateTimeField(source="returned_at", allow_null=True)
    status = serializers.SerializerMethodField(help_text="1: returned, 2: not returned.")

    class Meta:
        model = Rental
        fields = ["ref", "user", "book", "date_rented", "date_returned", "status"]
        ref_name = "RentalV1V2"
        swagger_schema_fields = {
            "example": {
                "ref": 41,
                "user": 3,
                "book": 7,
                "date_rented": "2026-11-20T10:30:00Z",
                "date_returned": None,
                "status": 2,
            }
        }

    def to_representation(self, rental: Any) -> dict[str, Any]:
        return {
            "ref": rental.ref,
            "user": rental.user_id,
            "book": rental.copy.book_id,
            "date_rented": format_datetime(rental.rented_at),
            "date_returned": format_datetime(rental.returned_at),
            "status": self.get_status(rental),
        }

    def get_status(self, rental: Rental) -> int:
        return Status.NOT_RETURNED if rental.returned_at is None else Status.RETURNED


class BalanceOut(serializers.Serializer[object]):
    user_id = serializers.IntegerField()
    balance = Amount(whole_digits=14)

    class Meta:
        ref_name = "BalanceV1V2"
        swagger_schema_fields = {"example": {"user_id": 3, "balance": "29.00"}}


def balance_of(member: User, balance: Balance) -> list[dict[str, Any]]:
    return [{"user_id": member.pk, "balance": plain_amount(balance.total)}]

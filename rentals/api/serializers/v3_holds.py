"""Serializers of holds for version 3, the current one."""

from __future__ import annotations

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from accounts.models import User
from books.models import Book
from lori_assignment.rest.fields import PlainKey
from rentals.models import Hold
from rentals.wait_estimates import WaitEstimate


class HoldIn(serializers.Serializer[Hold]):
    """The fields that a member may send."""

    book = PlainKey(queryset=Book.objects.all())

    class Meta:
        ref_name = "HoldV3In"
        swagger_schema_fields = {"example": {"book": 7}}


class HoldDeskIn(serializers.Serializer[Hold]):
    """The fields that staff may send."""

    book = PlainKey(queryset=Book.objects.all())
    user = PlainKey(queryset=User.objects.all(), required=False, help_text="Staff only. Default: the caller.")

    class Meta:
        ref_name = "HoldV3DeskIn"
        swagger_schema_fields = {"example": {"book": 7, "user": 3}}


class HoldOut(serializers.ModelSerializer[Hold]):
    """Needs the result of `rentals.wait_estimates.wait_estimates` in its context, as `wait_estimates`."""

    status = serializers.ChoiceField(choices=Hold.Status.choices)
    place = serializers.SerializerMethodField(help_text="1: next in line. Null unless the hold is waiting.")
    expected_at = serializers.SerializerMethodField(
        help_text="When a copy is expected, estimated from the due dates of the copies on loan. Null unless "
        "the hold is waiting, or if no copy is in service."
    )
    copy = serializers.PrimaryKeyRelatedField[Hold](
        read_only=True,
        allow_null=True,
        help_text="The copy set aside for it; null while the hold is waiting.",
    )
    rental = serializers.PrimaryKeyRelatedField[Hold](
        read_only=True, allow_null=True, help_text="The rental that began when the book was collected."
    )

    class Meta:
        model = Hold
        fields = [
            "id",
            "user",
            "book",
            "status",
            "place",
            "expected_at",
            "copy",
            "placed_at",
            "ready_at",
            "pick_up_by",
            "ended_at",
            "rental",
        ]
        ref_name = "HoldV3"
        swagger_schema_fields = {
            "example": {
                "id": 15,
                "user": 3,
                "book": 7,
                "status": "waiting",
                "place": 2,
                "expected_at": "2026-12-04T10:30:00Z",
                "copy": None,
                "placed_at": "2026-11-24T09:15:00Z",
                "ready_at": None,
                "pick_up_by": None,
                "ended_at": None,
                "rental": None,
            }
        }

    def _wait_estimate(self, hold: Hold) -> WaitEstimate | None:
        return self.context["wait_estimates"].get(hold.pk)

    @swagger_serializer_method(serializers.IntegerField(allow_null=True))
    def get_place(self, hold: Hold) -> int | None:
        estimate = self._wait_estimate(hold)
        return estimate.place if estimate else None

    @swagger_serializer_method(serializers.DateTimeField(allow_null=True))
    def get_expected_at(self, hold: Hold) -> str | None:
        estimate = self._wait_estimate(hold)
        if estimate is None or estimate.expected_at is None:
            return None
        return serializers.DateTimeField().to_representation(estimate.expected_at)

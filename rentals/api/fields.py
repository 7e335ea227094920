"""Fields and checks for renting and returning that all versions of the API share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from lori_assignment.rest.fields import Instant


def client_ref_field() -> serializers.CharField:
    """Return a field for the caller's own name for what it sends."""
    return serializers.CharField(
        max_length=100,
        required=False,
        allow_null=True,
        help_text="Your own name for this, unique for your account. Sent again, it returns the first.",
    )


class Status(models.IntegerChoices):
    """The API's `status` of a rental."""

    RETURNED = 1, _("returned")
    NOT_RETURNED = 2, _("not returned")


class PastTime(Instant):
    """A time that is not in the future."""

    default_error_messages = {"future": _("This time is in the future.")}

    def to_internal_value(self, value: object) -> datetime:
        time = super().to_internal_value(value)
        if time > self.context["now"]:
            self.fail("future")
        return time


class Reason(serializers.CharField):
    """Why something is recorded later than it happened; None if it is left empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_null=True, allow_blank=True, max_length=500, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation(data) or None


def check_copy(given: dict[str, Any]) -> dict[str, Any]:
    """Raise ValidationError if `copy` is a copy of another book."""
    if "copy" in given and given["copy"].book_id != given["book"].pk:
        raise serializers.ValidationError({"copy": [_("This is a copy of another book.")]})
    return given


def check_return(given: dict[str, Any]) -> dict[str, Any]:
    """Raise ValidationError if there is a time of return without status 1."""
    if given.get("date_returned") and given.get("status") != Status.RETURNED:
        raise serializers.ValidationError({"date_returned": [_("Only allowed together with status 1.")]})
    return given


def check_period(given: dict[str, Any]) -> dict[str, Any]:
    """Raise ValidationError if a new rental has a time of return without an earlier `date_rented`."""
    returned, rented = given.get("date_returned"), given.get("date_rented")
    if returned and not rented:
        raise serializers.ValidationError({"date_rented": [_("Required together with date_returned.")]})
    if returned and returned < rented:
        raise serializers.ValidationError({"date_returned": [_("This time is before date_rented.")]})
    return given


def check_reason(given: dict[str, Any]) -> dict[str, Any]:
    """Raise ValidationError if a new rental has a reason for being recorded later, but no past time."""
    if given.get("reason") and not given.get("date_rented"):
        raise serializers.ValidationError(
            {"reason": [_("Only allowed together with %(field)s.") % {"field": "date_rented"}]}
        )
    return given

"""Serializer fields that parse their input strictly."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, NoReturn

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from lori_assignment.money import currency_places, plain_amount, scale_amount, smallest_amount

# Enough for every primary key, and within the range of a 64-bit integer.
PLAIN_DIGITS = r"[0-9]{1,18}"


class PlainInteger(serializers.IntegerField):
    """An integer, as a JSON number or as plain digits.

    REST framework's own field also accepts what Python's int() accepts: `"1_0"`, `"١"`, `" 1 "`, `1.0`.
    """

    default_error_messages = {"invalid": _("Enter a whole number.")}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not re.fullmatch(rf"-?{PLAIN_DIGITS}", str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """A ChoiceField whose error lists the allowed values."""

    default_error_messages = {"invalid_choice": _("Use one of: {allowed}.")}

    def fail(self, key: str, **facts: Any) -> NoReturn:
        super().fail(key, allowed=", ".join(str(choice) for choice in self.choices), **facts)


class PlainKey(serializers.PrimaryKeyRelatedField):
    """The id of an object in the queryset, as a JSON number or as plain digits."""

    default_error_messages = {
        "incorrect_type": _("Enter an ID as a whole number."),
        "does_not_exist": _("Nothing found with the ID {pk_value}."),
    }

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not re.fullmatch(PLAIN_DIGITS, str(data)):
            self.fail("incorrect_type")
        return super().to_internal_value(int(data))


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class Instant(serializers.DateTimeField):
    """A time from 1970 to 2199, converted to UTC. A time without an offset is in the shop's time zone.

    A local time that a clock change skips or repeats is ambiguous, so it is refused without an offset.
    """

    default_error_messages = {
        "range": _("Enter a time between 1970 and 2199."),
        "clock_change": _("The clocks changed at this time. Add the UTC offset, such as +01:00."),
    }

    def to_internal_value(self, value: Any) -> datetime:
        try:
            time = super().to_internal_value(value)
        except OverflowError:
            self.fail("range")
        if not EARLIEST <= time < LATEST:
            self.fail("range")
        # Python compares and subtracts two times of one zone by the clock on the wall.
        return time.astimezone(UTC)

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            zone = timezone.get_current_timezone()
            offsets = {value.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
            if len(offsets) > 1:
                self.fail("clock_change")
        return super().enforce_timezone(value)


def format_datetime(time: datetime | None, zone: tzinfo | None = None) -> str | None:
    """Format a time as REST framework's own fields do.

    Callers that format many values pass the current time zone: looking it up takes longer than formatting.
    """
    return None if time is None else timezone.localtime(time, zone).isoformat().replace("+00:00", "Z")


class Amount(serializers.DecimalField):
    """An amount of money with at most the currency's decimal places, as a string or a JSON number.

    With `positive`, it is at least the smallest amount that can be paid. REST framework's own field also
    accepts what Python's Decimal() accepts: `"1_0"`, `"1e3"`, `"١"`.
    """

    default_error_messages = {"invalid": _("Enter an amount such as {example}.")}

    def __init__(self, *, whole_digits: int = 6, positive: bool = False, **options: Any) -> None:
        places = currency_places()
        bounds = {"min_value": smallest_amount()} if positive else {}
        super().__init__(max_digits=whole_digits + places, decimal_places=places, **(bounds | options))

    def fail(self, key: str, **facts: Any) -> NoReturn:
        super().fail(key, example=plain_amount(scale_amount(Decimal("4.50"))), **facts)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,12})?", str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)

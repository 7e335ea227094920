"""What every version of the API reads alike when a rental is made or brought back."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers


class Status(models.IntegerChoices):
    """The API's `status` of a rental."""

    RETURNED = 1, _("returned")
    NOT_RETURNED = 2, _("not returned")


class PastTime(serializers.DateTimeField):
    """A time that is not in the future. Without an offset it is one of the shop's time zone."""

    default_error_messages = {"future": _("This is in the future.")}

    def to_internal_value(self, value: object) -> datetime:
        time = super().to_internal_value(value)  # type: ignore[arg-type]  # it refuses other types itself
        if time > timezone.now():
            self.fail("future")
        return time

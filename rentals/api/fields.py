"""What every version of the API reads alike when a rental is made or brought back."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from lori_assignment.api_fields import Instant


class Status(models.IntegerChoices):
    """The API's `status` of a rental."""

    RETURNED = 1, _("returned")
    NOT_RETURNED = 2, _("not returned")


class PastTime(Instant):
    """A time that is not in the future."""

    default_error_messages = {"future": _("This is in the future.")}

    def to_internal_value(self, value: object) -> datetime:
        time = super().to_internal_value(value)
        if time > timezone.now():
            self.fail("future")
        return time

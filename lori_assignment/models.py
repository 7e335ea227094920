"""The API's idempotency records. All other models are in the apps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

MAX_AGE = timedelta(hours=24)


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    def expired(self, at: datetime) -> Self:
        """Records whose responses are no longer repeated at `at`."""
        return self.filter(made_at__lte=at - MAX_AGE)


class IdempotencyRecord(models.Model):
    """The response to a call with an Idempotency-Key, to be sent again by `rest.idempotency`.

    It contains personal data, so it is deleted when the account is closed. The export of a member's data
    omits it, because the export has the rentals, holds and payments themselves.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    # Set by the transaction that creates the row, so that no other transaction ever sees them empty.
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField()
    headers = models.JSONField(default=dict)
    made_at = models.DateTimeField()

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        db_table = "lori_assignment_keptanswer"
        verbose_name = _("stored response")
        verbose_name_plural = _("stored responses")
        constraints = [
            # Also the lock: a second call waits here until the first has ended.
            models.UniqueConstraint(fields=["user", "key"], name="answer_one_per_user_and_key"),
        ]
        indexes = [models.Index(fields=["made_at"], name="answer_by_time")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.key}"

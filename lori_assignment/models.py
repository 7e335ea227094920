"""What the API itself keeps; everything else of the shop is in the apps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

MAX_AGE = timedelta(hours=24)


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    def expired(self, at: datetime) -> Self:
        """The answers that are not given again at `at`."""
        return self.filter(made_at__lte=at - MAX_AGE)


class IdempotencyRecord(models.Model):
    """What a call with an Idempotency-Key was answered, to be answered again; see `api_idempotency`.

    It holds what the member was told, so it goes when the account is closed; and it is no record of the
    shop: rentals, holds and payments are, which is why nobody is sent it as personal data.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    # Both are written by the transaction that made the row, so that nobody else ever sees them empty.
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField()
    headers = models.JSONField(default=dict)
    made_at = models.DateTimeField()

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        db_table = "lori_assignment_keptanswer"
        verbose_name = _("kept answer")
        verbose_name_plural = _("kept answers")
        constraints = [
            # The guarantee, and the lock: a second call waits here until the first has ended.
            models.UniqueConstraint(fields=["user", "key"], name="answer_one_per_user_and_key"),
        ]
        indexes = [models.Index(fields=["made_at"], name="answer_by_time")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.key}"

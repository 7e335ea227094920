"""Sends mail by Amazon SES."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailMessage
from django_ses import SESBackend

from lori_assignment.aws.secrets import BOTO_CONFIG, ERRORS


class SESEmailBackend(SESBackend):
    """Raises OSError on failure, like the SMTP backend, since callers handle that."""

    def __init__(self, **given: Any) -> None:
        super().__init__(aws_config=BOTO_CONFIG, **given)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        try:
            return super().send_messages(email_messages) or 0
        except ERRORS as error:
            if self.fail_silently:
                return 0
            raise OSError(f"SES takes no mail: {error}") from error

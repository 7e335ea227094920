"""Django's `createsuperuser`, which knows nothing of a constraint beside a field's own."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction

from accounts.models import EMAIL_TAKEN


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                super().handle(*args, **options)
        except IntegrityError:
            # The username is asked about before; only the e-mail address is left.
            raise CommandError(str(EMAIL_TAKEN)) from None

"""Extends Django's `createsuperuser` with an error for an e-mail address that is taken."""

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
            # Django has already checked the username, so the e-mail address is taken.
            raise CommandError(str(EMAIL_TAKEN)) from None

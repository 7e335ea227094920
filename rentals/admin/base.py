"""Base for models whose rows only domain functions create and change."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from lori_assignment.admin import ShopAdmin


def format_short_time(at: datetime) -> str:
    """Format a time as in 23 Nov 2026 15:57; no-break spaces keep the date on one line."""
    return date_format(timezone.localtime(at), "j\N{NO-BREAK SPACE}M\N{NO-BREAK SPACE}Y H:i")


class ReadOnlyAdmin(ShopAdmin):
    def caller(self, request: HttpRequest) -> Any:
        """Return the member of staff who is signed in; the administration is closed to anonymous users."""
        return request.user

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

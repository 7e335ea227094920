"""Rows that are looked at here, and made and changed by domain functions only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from lori_assignment.admin import ShopAdmin


def format_short_time(at: datetime) -> str:
    """Such as 23 Nov 2026 15:57; the tables are wide, and a date must not be broken up."""
    return date_format(timezone.localtime(at), "j\N{NO-BREAK SPACE}M\N{NO-BREAK SPACE}Y H:i")


class ReadOnlyAdmin(ShopAdmin):
    def caller(self, request: HttpRequest) -> Any:
        """Who is signed in: the administration lets nobody else in."""
        return request.user

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

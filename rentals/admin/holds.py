"""Lists holds in the administration and lets staff cancel them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from books.models import Copy
from lori_assignment.db.transactions import lock
from rentals import errors, holds
from rentals.admin.base import format_short_time
from rentals.admin.row_actions import RowAction, RowActionsAdmin
from rentals.admin.search import MatchSearchAdmin, SearchMatches
from rentals.models import Hold


class StatusFilter(admin.SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(status.value, status.label) for status in Hold.Status]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.in_state(self.value()) if self.value() in Hold.Status.values else queryset


class Cancel(RowAction):
    name = "cancel"
    label = gettext_lazy("Cancel hold")
    question = gettext_lazy("Cancel this hold?")

    def applies_to(self, row: Hold) -> bool:
        return row.is_live

    def lock(self, row: Hold) -> Hold:
        lock(row.book)
        return Hold.objects.select_related("user", "book", "copy").get(pk=row.pk)

    def preview(self, row: Hold, *, at: datetime) -> list[str]:
        if not row.is_live:
            raise errors.HoldEnded
        names = {"book": row.book.name, "member": row.user.get_short_name()}
        lines = [_("%(member)s no longer waits for “%(book)s” and loses the place in the queue.") % names]
        return lines if row.copy is None else [*lines, next_for_copy(row.copy)]

    def perform(self, row: Hold, *, actor: User, at: datetime, reason: str) -> str:
        holds.cancel_hold(hold=row, at=at)
        return _("Cancelled %(member)s’s hold.") % {"member": row.user.get_short_name()}


def next_for_copy(copy: Copy, *, found: bool = False) -> str:
    """Return a sentence on where a copy goes that is no longer on loan or set aside, or was missing."""
    if copy.status != Copy.Status.IN_SERVICE and not found:
        status = {"copy": copy.barcode, "status": copy.get_status_display()}
        return _("Copy %(copy)s stays %(status)s.") % status
    waiting = Hold.objects.waiting().filter(book=copy.book_id, user__is_active=True).select_related("user")
    first = waiting.order_by("pk").first()
    if first is None:
        return _("Copy %(copy)s can be rented again.") % {"copy": copy.barcode}
    names = {"copy": copy.barcode, "member": first.user.get_short_name()}
    return _("Copy %(copy)s is set aside for %(member)s, who is next in line.") % names


@admin.register(Hold)
class HoldAdmin(MatchSearchAdmin, RowActionsAdmin):
    list_display = ["member", "book", "status", "copy", "placed", "pick_up", "links"]
    list_filter = [StatusFilter]
    search_fields = ["user", "book", "copy"]
    search_help_text = gettext_lazy("Search by member, title, author, ISBN or barcode.")
    list_select_related = ["user", "book", "copy"]
    ordering = ["-id"]
    row_actions = (Cancel(),)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def matching_rows(self, matches: SearchMatches) -> Q:
        return matches.of_holds

    @admin.display(description=gettext_lazy("member"))
    def member(self, hold: Hold) -> str:
        return hold.user.username

    @admin.display(description=gettext_lazy("status"))
    def status(self, hold: Hold) -> str:
        return str(hold.status.label)

    @admin.display(description=gettext_lazy("placed"))
    def placed(self, hold: Hold) -> str:
        return format_short_time(hold.placed_at)

    @admin.display(description=gettext_lazy("collect by"))
    def pick_up(self, hold: Hold) -> str:
        return format_short_time(hold.pick_up_by) if hold.pick_up_by and hold.is_live else ""

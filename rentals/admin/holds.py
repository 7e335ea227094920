"""Lists holds in the administration and lets staff cancel them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy, ngettext

from lori_assignment import clock
from rentals import holds
from rentals.admin.base import ReadOnlyAdmin, format_short_time
from rentals.admin.search import MatchSearchAdmin, SearchMatches
from rentals.models import Hold


class StatusFilter(admin.SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(status.value, status.label) for status in Hold.Status]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.in_state(self.value()) if self.value() in Hold.Status.values else queryset


@admin.register(Hold)
class HoldAdmin(MatchSearchAdmin, ReadOnlyAdmin):
    list_display = ["member", "book", "status", "copy", "placed", "pick_up"]
    list_filter = [StatusFilter]
    search_fields = ["user", "book", "copy"]
    search_help_text = gettext_lazy("Search by member, title, author, ISBN or barcode.")
    list_select_related = ["user", "book", "copy"]
    ordering = ["-id"]
    actions = ["cancel"]

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

    @admin.action(description=gettext_lazy("Cancel hold"), permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Hold]) -> None:
        now = clock.now()
        self.apply_to_each(
            request,
            queryset,
            lambda hold: holds.cancel_hold(hold=hold, at=now),
            count_message=lambda done: (
                ngettext("Cancelled %(done)d hold.", "Cancelled %(done)d holds.", done) % {"done": done}
            ),
        )

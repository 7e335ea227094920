"""Shows the shop's figures on the administration's front page, with links to the lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from lori_assignment import clock
from lori_assignment.money import format_money
from lori_assignment.templatetags.shop import number
from rentals.admin.base import format_short_time
from rentals.dashboard import DashboardCounts, dashboard_counts
from rentals.models import Hold, Rental


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    # None: not counted yet.
    figure: str | None
    # The URL of the list that is counted, if there is one.
    address: str = ""
    is_bad: bool = False


def _tiles(counted: DashboardCounts) -> list[Tile]:
    rentals, holds, copies = (
        reverse(f"admin:{name}_changelist") for name in ("rentals_rental", "rentals_hold", "books_copy")
    )
    return [
        Tile(_("On loan"), _format_count(counted.out), f"{rentals}?state=out"),
        Tile(
            _("Overdue"),
            _format_count(counted.overdue),
            f"{rentals}?state=overdue",
            is_bad=bool(counted.overdue),
        ),
        Tile(_("Holds waiting"), _format_count(counted.waiting), f"{holds}?status={Hold.Status.WAITING}"),
        Tile(_("Ready to collect"), _format_count(counted.ready), f"{holds}?status={Hold.Status.READY}"),
        Tile(_("Copies in service"), _format_count(counted.in_service), f"{copies}?status__exact=in_service"),
        Tile(
            _("Owed, excluding books on loan"), None if counted.owed is None else format_money(counted.owed)
        ),
    ]


def _format_count(count: int | None) -> str | None:
    return None if count is None else number(count)


def front_page_context(site: AdminSite, request: HttpRequest) -> dict[str, Any]:
    if not site.get_model_admin(Rental).has_view_permission(request):
        return {}
    counted = dashboard_counts(at=clock.now())
    if counted is None:
        return {"shows_figures": True}
    return {"shows_figures": True, "tiles": _tiles(counted), "counted_at": format_short_time(counted.at)}

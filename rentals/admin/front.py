"""The administration's front page: the shop at a glance, and from there to the lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from lori_assignment.money import shown
from lori_assignment.templatetags.shop import number
from rentals.admin.readonly import short_time
from rentals.figures import Figures, figures
from rentals.models import Hold, Rental


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    # None: not counted yet.
    figure: str | None
    # The list of what is counted, where there is one.
    address: str = ""
    is_bad: bool = False


def _tiles(counted: Figures) -> list[Tile]:
    rentals, holds, copies = (
        reverse(f"admin:{name}_changelist") for name in ("rentals_rental", "rentals_hold", "books_copy")
    )
    return [
        Tile(_("Books out"), _said(counted.out), f"{rentals}?state=out"),
        Tile(_("Overdue"), _said(counted.overdue), f"{rentals}?state=overdue", is_bad=bool(counted.overdue)),
        Tile(_("Waiting for a book"), _said(counted.waiting), f"{holds}?status={Hold.Status.WAITING}"),
        Tile(_("Ready to be picked up"), _said(counted.ready), f"{holds}?status={Hold.Status.READY}"),
        Tile(_("Copies in service"), _said(counted.in_service), f"{copies}?status__exact=in_service"),
        Tile(_("Owed, without what is out"), None if counted.owed is None else shown(counted.owed)),
    ]


def _said(count: int | None) -> str | None:
    return None if count is None else number(count)


_index = admin.site.index


def _front(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    facts: dict[str, Any] = {}
    if admin.site.get_model_admin(Rental).has_view_permission(request):
        counted = figures(at=timezone.now())
        facts = {"shows_figures": True}
        if counted:
            facts |= {"tiles": _tiles(counted), "counted_at": short_time(counted.at)}
    return _index(request, facts | (extra_context or {}))


admin.site.index = _front  # type: ignore[method-assign,assignment]  # as the sign-in is put in
admin.site.index_template = "rentals/administration.html"

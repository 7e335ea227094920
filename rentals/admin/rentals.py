"""Lists rentals in the administration and lets staff return, renew and void them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from lori_assignment import clock
from lori_assignment.admin import is_narrowed_by
from lori_assignment.money import format_money
from rentals import ledger, services
from rentals.admin.base import ReadOnlyAdmin, format_short_time
from rentals.admin.search import MatchSearchAdmin, SearchMatches
from rentals.models import Rental


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("out", gettext_lazy("on loan")),
            ("overdue", gettext_lazy("overdue")),
            ("returned", gettext_lazy("returned")),
            ("void", gettext_lazy("void")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        state = self.value()
        if state == "out":
            return queryset.open()
        if state == "overdue":
            return queryset.overdue(clock.now())
        if state == "returned":
            return queryset.returned()
        return queryset.exclude(voided_at=None) if state == "void" else queryset


@admin.register(Rental)
class RentalAdmin(MatchSearchAdmin, ReadOnlyAdmin):
    list_display = ["number", "user", "book_name", "rented", "due", "state", "charge"]
    list_filter = [StateFilter, "rented_at"]
    search_fields = ["ref", "user", "copy"]
    search_help_text = gettext_lazy("Search by reference number, member, barcode, title, author or ISBN.")
    list_select_related = ["user", "copy__book", "rent_entry"]
    sortable_by = ("number", "rented")
    actions = ["return_now", "renew", "make_void"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Sort open rentals by due date, the longest overdue first, and all others newest first."""
        if request.GET.get(StateFilter.parameter_name) in ("out", "overdue"):
            return ("due_at", "ref")
        return ("-rented_at", "-ref") if is_narrowed_by(request, "rented_at") else ("-ref",)

    def matching_rows(self, matches: SearchMatches) -> Q:
        return matches.of_rentals

    @admin.display(description=gettext_lazy("no."), ordering="ref")
    def number(self, rental: Rental) -> int:
        return rental.ref

    @admin.display(description=gettext_lazy("book"))
    def book_name(self, rental: Rental) -> str:
        return rental.book.name

    @admin.display(description=gettext_lazy("rented"), ordering="rented_at")
    def rented(self, rental: Rental) -> str:
        return format_short_time(rental.rented_at)

    @admin.display(description=gettext_lazy("due"))
    def due(self, rental: Rental) -> str:
        return format_short_time(rental.due_at)

    @admin.display(description=gettext_lazy("status"))
    def state(self, rental: Rental) -> str:
        if rental.voided_at:
            return _("void")
        if rental.returned_at:
            return _("returned %(at)s") % {"at": format_short_time(rental.returned_at)}
        return _("overdue") if rental.is_overdue(clock.now()) else _("on loan")

    @admin.action(description=gettext_lazy("Return now"), permissions=["view"])
    def return_now(self, request: HttpRequest, rentals: QuerySet[Rental]) -> None:
        now = clock.now()
        self.apply_to_each(
            request,
            rentals,
            lambda rental: services.return_rental(rental=rental, at=now, actor=self.caller(request), now=now),
            row_message=lambda rental: _returned_message(rental, at=now),
            count_message=lambda done: (
                ngettext("Returned %(done)d rental.", "Returned %(done)d rentals.", done) % {"done": done}
            ),
        )

    @admin.action(description=gettext_lazy("Renew"), permissions=["view"])
    def renew(self, request: HttpRequest, rentals: QuerySet[Rental]) -> None:
        now = clock.now()
        self.apply_to_each(
            request,
            rentals,
            lambda rental: services.renew_rental(rental=rental, at=now),
            count_message=lambda done: (
                ngettext("Renewed %(done)d rental.", "Renewed %(done)d rentals.", done) % {"done": done}
            ),
        )

    @admin.action(description=gettext_lazy("Void (entered by mistake)"), permissions=["view"])
    def make_void(self, request: HttpRequest, rentals: QuerySet[Rental]) -> None:
        now = clock.now()
        self.apply_to_each(
            request,
            rentals,
            lambda rental: services.void_rental(rental=rental, at=now, actor=self.caller(request)),
            count_message=lambda done: (
                ngettext("Voided %(done)d rental.", "Voided %(done)d rentals.", done) % {"done": done}
            ),
        )


def _returned_message(rental: Rental, *, at: datetime) -> str:
    charge, owed = rental.charge, ledger.balance(rental.user, at=at).total
    assert charge is not None  # noqa: S101  # for the type checker: it has just been returned
    if owed > 0:
        message = _("Returned “%(book)s”. Charged %(charge)s; %(member)s now owes %(owed)s.")
    else:
        message = _("Returned “%(book)s”. Charged %(charge)s; %(member)s owes nothing.")
    return message % {
        "book": rental.book.name,
        "charge": format_money(charge),
        "member": rental.user.get_short_name(),
        "owed": format_money(owed),
    }

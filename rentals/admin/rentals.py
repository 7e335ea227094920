"""Lists rentals in the administration and lets staff return, renew and void them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from books.models import Copy
from lori_assignment import clock
from lori_assignment.admin import is_narrowed_by
from lori_assignment.money import format_money
from rentals import ledger, services
from rentals.admin.base import format_short_time
from rentals.admin.holds import next_for_copy
from rentals.admin.row_actions import RowAction, RowActionsAdmin, balance_after
from rentals.admin.search import MatchSearchAdmin, SearchMatches
from rentals.errors import CopySetAside, DebtLimit, RentalLimit
from rentals.models import Rental

# In `Rental.limits_broken`.
LIMITS = {
    RentalLimit.code: gettext_lazy("books on loan per member"),
    DebtLimit.code: gettext_lazy("debt limit"),
    CopySetAside.code: gettext_lazy("set aside for another member"),
}


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


class Return(RowAction):
    name = "return"
    label = gettext_lazy("Return")
    question = gettext_lazy("Return this book?")
    reason_required = False

    def applies_to(self, row: Rental) -> bool:
        return row.is_open or row.is_void_and_out

    def lock(self, row: Rental) -> Rental:
        return services.lock_rental(row)

    def preview(self, row: Rental, *, at: datetime) -> list[str]:
        if services.can_take_back(row):
            return [
                _("“%(book)s” is back from %(member)s. Nothing is charged, because the rental is void.")
                % _names(row),
                next_for_copy(row.copy, found=True),
            ]
        services.refuse_unless_open(row)
        cost = row.running_price(at)
        charge = ngettext(
            "The charge is %(charge)s for %(days)d day.",
            "The charge is %(charge)s for %(days)d days.",
            cost.days,
        )
        lines = [
            _("“%(book)s” is back from %(member)s, and the rental ends.") % _names(row),
            charge % {"charge": format_money(cost.total), "days": cost.days},
        ]
        if cost.late_days:
            late = ngettext("%(days)d day is late.", "%(days)d days are late.", cost.late_days)
            lines.append(late % {"days": cost.late_days})
        # The running cost becomes the charge, so the balance stays the same.
        return [
            *lines,
            balance_after(row.user, ledger.balance(row.user, at=at).total),
            next_for_copy(row.copy),
        ]

    def perform(self, row: Rental, *, actor: User, at: datetime, reason: str) -> str:
        returned = services.return_rental(rental=row, at=at, actor=actor, now=at, reason=reason)
        if returned.returned_at is None:
            return _("Took back “%(book)s”. Its rental stays void.") % _names(returned)
        return _returned_message(returned, at=at)


class Renew(RowAction):
    name = "renew"
    label = gettext_lazy("Renew")
    question = gettext_lazy("Renew this rental?")

    def applies_to(self, row: Rental) -> bool:
        return row.is_open

    def lock(self, row: Rental) -> Rental:
        return services.lock_rental(row)

    def preview(self, row: Rental, *, at: datetime) -> list[str]:
        dates = {"before": _date(row.due_at), "after": _date(services.renewed_due_at(row, at=at))}
        return [
            _("“%(book)s” stays with %(member)s.") % _names(row),
            _("It is due on %(after)s instead of %(before)s.") % dates,
        ]

    def perform(self, row: Rental, *, actor: User, at: datetime, reason: str) -> str:
        renewed = services.renew_rental(rental=row, at=at)
        return _("Renewed “%(book)s”. It is due on %(due)s.") % {
            "book": renewed.book.name,
            "due": _date(renewed.due_at),
        }


class Void(RowAction):
    name = "void"
    label = gettext_lazy("Void")
    question = gettext_lazy("Void this rental, because it was entered by mistake?")
    reason_required = True

    def applies_to(self, row: Rental) -> bool:
        return row.voided_at is None

    def lock(self, row: Rental) -> Rental:
        return services.lock_rental(row)

    def preview(self, row: Rental, *, at: datetime) -> list[str]:
        services.refuse_if_void(row)
        lines = [_("The rental of “%(book)s” by %(member)s no longer counts.") % _names(row)]
        if row.charge is None:
            dropped = row.running_price(at).total
            lines.append(_("Its cost so far, %(cost)s, is dropped.") % {"cost": format_money(dropped)})
        else:
            dropped = row.charge
            lines.append(_("Its charge of %(cost)s is reversed.") % {"cost": format_money(dropped)})
        lines.append(balance_after(row.user, ledger.balance(row.user, at=at).total - dropped))
        if row.is_open:
            lines.append(
                _("Copy %(copy)s is missing until it is returned or put back in service.")
                % {"copy": row.copy.barcode}
            )
        return lines

    def perform(self, row: Rental, *, actor: User, at: datetime, reason: str) -> str:
        voided = services.void_rental(rental=row, at=at, actor=actor, reason=reason)
        if voided.copy.status == Copy.Status.MISSING:
            message = _("Voided the rental of “%(book)s” by %(member)s. Copy %(copy)s is missing.")
        else:
            message = _("Voided the rental of “%(book)s” by %(member)s.")
        return message % {**_names(row), "copy": voided.copy.barcode}


@admin.register(Rental)
class RentalAdmin(MatchSearchAdmin, RowActionsAdmin):
    list_display = ["number", "user", "book_name", "rented", "due", "state", "charge", "links"]
    list_filter = [StateFilter, "rented_at"]
    search_fields = ["ref", "user", "copy"]
    search_help_text = gettext_lazy("Search by reference number, member, barcode, title, author or ISBN.")
    list_select_related = ["user", "copy__book", "rent_entry"]
    sortable_by = ("number", "rented")
    row_actions = (Return(), Renew(), Void())
    fields = (
        *("user", "book_name", "copy", "state", "rented_at", "reason", "limits_not_kept"),
        *("due_at", "renewals", "due_dates_before", "returned_at", "return_reason"),
        *("rate", "replacement_price", "rent_entry", "voided_at", "voided_by", "void_reason"),
    )
    readonly_fields = ("book_name", "state", "limits_not_kept", "due_dates_before")

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

    @admin.display(description=gettext_lazy("charge"))
    def charge(self, rental: Rental) -> str | None:
        return None if rental.charge is None else format_money(rental.charge)

    @admin.display(description=gettext_lazy("limits not kept"))
    def limits_not_kept(self, rental: Rental) -> str | None:
        return ", ".join(str(LIMITS[code]) for code in rental.limits_broken or []) or None

    @admin.display(description=gettext_lazy("due dates before renewals"))
    def due_dates_before(self, rental: Rental) -> str | None:
        due_dates = (datetime.fromisoformat(due) for _at, due in rental.due_before)
        return ", ".join(map(format_short_time, due_dates)) or None

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


def _names(rental: Rental) -> dict[str, str]:
    return {"book": rental.book.name, "member": rental.user.get_short_name()}


def _date(at: datetime) -> str:
    return date_format(timezone.localtime(at), "DATE_FORMAT")

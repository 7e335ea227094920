"""Lists the ledger in the administration and lets staff add payments, waivers, refunds and reversals."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from lori_assignment import clock
from lori_assignment.admin import is_narrowed_by
from lori_assignment.db.transactions import lock
from lori_assignment.errors import Refusal
from lori_assignment.money import format_money, smallest_amount
from rentals import ledger
from rentals.admin.base import format_short_time
from rentals.admin.row_actions import RowAction, RowActionsAdmin, balance_after
from rentals.admin.search import MatchSearchAdmin, SearchMatches
from rentals.models import LedgerEntry
from rentals.statements.wording import title_of


class MemberField(forms.CharField):
    """An account, entered as its username or e-mail address instead of chosen from a list of all."""

    def clean(self, value: Any) -> User | None:
        text = super().clean(value)
        found = User.objects.filter(Q(username__iexact=text) | Q(email__iexact=text)).first()
        if found is None:
            raise ValidationError(_("No account has this username or e-mail address. Check the spelling."))
        return found


class CreditForm(forms.ModelForm):
    """A payment, a refund or a waiver."""

    user = MemberField(
        label=gettext_lazy("Member"),
        max_length=254,
        help_text=gettext_lazy("The member's username or e-mail address."),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Type"),
        choices=[
            (LedgerEntry.Kind.PAYMENT, gettext_lazy("payment")),
            (LedgerEntry.Kind.WAIVER, gettext_lazy("waiver")),
            (LedgerEntry.Kind.REFUND, gettext_lazy("refund")),
        ],
    )

    class Meta:
        model = LedgerEntry
        fields: ClassVar[list[str]] = ["user", "kind", "amount", "method", "note"]
        help_texts: ClassVar[dict[str, Any]] = {
            "amount": gettext_lazy(
                "At most what the member owes, including books on loan. For a refund, at most the member's "
                "credit."
            ),
            "method": gettext_lazy("How it was paid. Required for payments and refunds."),
            "note": gettext_lazy("Give a reason for a waiver or refund. Optional for payments."),
        }

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        kind = given.get("kind")
        if kind in (LedgerEntry.Kind.PAYMENT, LedgerEntry.Kind.REFUND) and not given.get("method"):
            self.add_error("method", _("Choose how it was paid."))
        if kind in (LedgerEntry.Kind.WAIVER, LedgerEntry.Kind.REFUND) and not given.get("note"):
            self.add_error("note", _("Give a reason for the waiver or refund."))
        if {"user", "kind", "amount"} <= given.keys():
            paid_out = kind == LedgerEntry.Kind.REFUND
            check = ledger.refuse_refund_above_credit if paid_out else ledger.refuse_overpayment
            try:
                check(given["user"], given["amount"], at=clock.now())
            except Refusal as refusal:
                self.add_error("amount", str(refusal))
        return given

    def _post_clean(self) -> None:
        """Do nothing: `rentals.ledger` creates and checks the entry, not the form's instance."""


class MethodFilter(admin.SimpleListFilter):
    """Applies to payments, refunds and reversals only.

    No other kind has a method, and filtering another kind by one would read all of its entries.
    """

    title = gettext_lazy("method")
    parameter_name = "method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        kinds = (*LedgerEntry.RECEIPT_KINDS, LedgerEntry.Kind.REVERSAL)
        moves_money = request.GET.get("kind__exact") in kinds
        return LedgerEntry.Method.choices if moves_money else []

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(method=self.value()) if self.value() else queryset


class Reverse(RowAction):
    name = "reverse"
    label = gettext_lazy("Reverse")
    question = gettext_lazy("Reverse this entry, because it was made by mistake?")
    reason_required = True

    def applies_to(self, row: LedgerEntry) -> bool:
        return row.is_reversible and getattr(row, "reversed_by", None) is None

    def lock(self, row: LedgerEntry) -> LedgerEntry:
        lock(row.user)
        return row

    def preview(self, row: LedgerEntry, *, at: datetime) -> list[str]:
        ledger.refuse_unless_reversible(row)
        facts = {
            "title": title_of(row),
            "amount": format_money(abs(row.amount)),
            "number": row.number,
            "member": row.user.get_short_name(),
        }
        balance = ledger.balance(row.user, at=at).total - row.amount
        return [
            _("An opposite entry cancels “%(title)s” of %(amount)s, entry no. %(number)d of %(member)s.")
            % facts,
            _("Both entries stay on record."),
            balance_after(row.user, balance),
        ]

    def perform(self, row: LedgerEntry, *, actor: User, at: datetime, reason: str) -> str:
        ledger.reverse(entry=row, actor=actor, at=at, reason=reason)
        return _("Reversed %(entry)s.") % {"entry": row}


@admin.register(LedgerEntry)
class LedgerEntryAdmin(MatchSearchAdmin, RowActionsAdmin):
    list_display = ["posted", "user", "kind", "amount", "posted_balance", "actor", "note", "links"]
    list_filter = ["kind", MethodFilter, "posted_at"]
    search_fields = ["user", "rental"]
    search_help_text = gettext_lazy("Search by member or rental number.")
    list_select_related = ["user", "actor", "reversed_by"]
    sortable_by = ("posted",)
    form = CreditForm
    row_actions = (Reverse(),)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-posted_at", "-id") if is_narrowed_by(request, "posted_at") else ("-id",)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        # In the ledger a credit is negative; people enter what was paid.
        if db_field.name == "amount":
            options["min_value"] = smallest_amount()
        return super().formfield_for_dbfield(db_field, request, **options)

    def matching_rows(self, matches: SearchMatches) -> Q:
        return matches.of_entries

    @admin.display(description=gettext_lazy("posted"), ordering="posted_at")
    def posted(self, entry: LedgerEntry) -> str:
        return format_short_time(entry.posted_at)

    @admin.display(description=gettext_lazy("posted balance"))
    def posted_balance(self, entry: LedgerEntry) -> Any:
        """The sum of the ledger up to this entry, without the running cost."""
        return entry.balance

    @admin.display(description=gettext_lazy("reversed by"))
    def reversed_by(self, entry: LedgerEntry) -> LedgerEntry | None:
        return getattr(entry, "reversed_by", None)

    def get_readonly_fields(self, request: HttpRequest, obj: LedgerEntry | None = None) -> list[str]:
        return ["posted_balance", "reversed_by"] if obj else []

    def get_fields(self, request: HttpRequest, obj: LedgerEntry | None = None) -> list[Any]:
        if obj is None:
            return CreditForm.Meta.fields
        facts = [
            "number",
            "kind",
            "amount",
            "posted_balance",
            "method",
            "note",
            "rental",
            "working",
            "reverses",
            "reversed_by",
        ]
        return ["user", *facts, "actor", "posted_at"]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = {"title": _("Take a payment, waive a charge or pay out a refund")}
        return super().add_view(request, form_url, title | (extra_context or {}))

    def save_model(self, request: HttpRequest, obj: LedgerEntry, form: Any, change: bool) -> None:
        given = form.cleaned_data
        facts = {
            "member": given["user"],
            "amount": given["amount"],
            "actor": self.caller(request),
            "at": clock.now(),
        }
        if given["kind"] == LedgerEntry.Kind.PAYMENT:
            entry = ledger.take_payment(method=given["method"], note=given["note"], **facts)
        elif given["kind"] == LedgerEntry.Kind.REFUND:
            entry = ledger.refund(method=given["method"], reason=given["note"], **facts)
        else:
            entry = ledger.waive(reason=given["note"], **facts)
        obj.pk = entry.pk
        # The success message shows the entry.
        obj.refresh_from_db()

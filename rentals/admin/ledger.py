"""Lists the ledger in the administration and lets staff add payments, waivers, refunds and reversals."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from lori_assignment import clock
from lori_assignment.admin import is_narrowed_by
from lori_assignment.errors import Refusal
from lori_assignment.money import smallest_amount
from rentals import ledger
from rentals.admin.base import ReadOnlyAdmin, format_short_time
from rentals.admin.search import MatchSearchAdmin, SearchMatches
from rentals.models import LedgerEntry


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


@admin.register(LedgerEntry)
class LedgerEntryAdmin(MatchSearchAdmin, ReadOnlyAdmin):
    list_display = ["posted", "user", "kind", "amount", "balance", "actor", "note"]
    list_filter = ["kind", MethodFilter, "posted_at"]
    search_fields = ["user", "rental"]
    search_help_text = gettext_lazy("Search by member or rental number.")
    list_select_related = ["user", "actor"]
    sortable_by = ("posted",)
    form = CreditForm
    actions = ["reverse"]

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-posted_at", "-id") if is_narrowed_by(request, "posted_at") else ("-id",)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest | None, **options: Any) -> Any:
        # In the ledger a credit is negative; people enter what was paid.
        if db_field.name == "amount":
            options["min_value"] = smallest_amount()
        return super().formfield_for_dbfield(db_field, request, **options)

    def matching_rows(self, matches: SearchMatches) -> Q:
        return matches.of_entries

    @admin.display(description=gettext_lazy("posted"), ordering="posted_at")
    def posted(self, entry: LedgerEntry) -> str:
        return format_short_time(entry.posted_at)

    def get_fields(self, request: HttpRequest, obj: LedgerEntry | None = None) -> list[Any]:
        if obj is None:
            return CreditForm.Meta.fields
        facts = ["number", "kind", "amount", "balance", "method", "note", "rental", "working", "reverses"]
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

    @admin.action(description=gettext_lazy("Reverse (entered by mistake)"), permissions=["view"])
    def reverse(self, request: HttpRequest, entries: QuerySet[LedgerEntry]) -> None:
        self.apply_to_each(
            request,
            entries,
            lambda entry: ledger.reverse(entry=entry, actor=self.caller(request), at=clock.now()),
            count_message=lambda done: (
                ngettext("Reversed %(done)d entry.", "Reversed %(done)d entries.", done) % {"done": done}
            ),
        )

"""Rentals, prices, money and the policy, for staff in the administration.

What changes a rental or the ledger goes through the domain functions, so the rules are those of the
API. A refusal becomes a message.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from books.models import Kind
from lori_assignment.errors import Refusal
from rentals import ledger, services
from rentals.models import LedgerEntry, Policy, PriceList, Rate, Rental


class RefusalsAsMessages(admin.ModelAdmin):
    """A rule that says no between the check of a form and its saving is told, not a crash."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Refusal as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def caller(self, request: HttpRequest) -> Any:
        """Who is signed in: the administration lets nobody else in."""
        return request.user

    def try_each(self, request: HttpRequest, rows: QuerySet[Any], call: Any) -> None:
        """Do `call` with each row; tell how many went well, and each refusal."""
        done = 0
        for row in rows:
            try:
                call(row)
                done += 1
            except Refusal as refusal:
                self.message_user(request, f"{row}: {refusal}", messages.ERROR)
        if done:
            self.message_user(request, _("%(done)d done.") % {"done": done}, messages.SUCCESS)


class ReadOnly(RefusalsAsMessages):
    """Rows that are made and changed by domain functions only."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Policy)
class PolicyAdmin(admin.ModelAdmin):
    list_display = ["__str__", "rental_days", "max_renewals", "max_open_rentals", "debt_limit"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        return False


class OneRateForEachKind(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        kinds = [form.cleaned_data.get("kind") for form in self.forms if not form.cleaned_data.get("DELETE")]
        if sorted(kind for kind in kinds if kind) != sorted(Kind.values):
            raise ValidationError(_("There must be one rate for each kind."))


def is_used(price_list: PriceList | None) -> bool:
    return price_list is not None and PriceList.objects.used().filter(pk=price_list.pk).exists()


class RateInline(admin.TabularInline):
    model = Rate
    formset = OneRateForEachKind
    max_num = 3

    def get_extra(self, request: HttpRequest, obj: PriceList | None = None, **kwargs: Any) -> int:
        return 0 if obj else 3

    def has_add_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return super().has_add_permission(request, obj) and not is_used(obj)

    def has_change_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return super().has_change_permission(request, obj) and not is_used(obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not is_used(obj)


@admin.register(PriceList)
class PriceListAdmin(admin.ModelAdmin):
    list_display = ["name", "in_force_from"]
    inlines = [RateInline]

    def has_change_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return super().has_change_permission(request, obj) and not is_used(obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not is_used(obj)


@admin.register(Rental)
class RentalAdmin(ReadOnly):
    list_display = ["ref", "user", "book_name", "rented_at", "due_at", "returned_at", "charge", "voided_at"]
    list_filter = ["rented_at", "returned_at", "voided_at"]
    search_fields = ["=ref", "user__username", "user__name", "copy__barcode", "copy__book__name"]
    list_select_related = ["user", "copy__book", "rent_entry"]
    date_hierarchy = "rented_at"
    actions = ["return_now", "renew", "make_void"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description=gettext_lazy("book"))
    def book_name(self, rental: Rental) -> str:
        return rental.book.name

    @admin.action(description=gettext_lazy("Bring back, as of now"), permissions=["view"])
    def return_now(self, request: HttpRequest, rentals: QuerySet[Rental]) -> None:
        now = timezone.now()
        self.try_each(
            request,
            rentals,
            lambda rental: services.return_rental(rental=rental, at=now, actor=self.caller(request), now=now),
        )

    @admin.action(description=gettext_lazy("Renew"), permissions=["view"])
    def renew(self, request: HttpRequest, rentals: QuerySet[Rental]) -> None:
        now = timezone.now()
        self.try_each(request, rentals, lambda rental: services.renew_rental(rental=rental, at=now))

    @admin.action(description=gettext_lazy("Make void: it was a mistake"), permissions=["view"])
    def make_void(self, request: HttpRequest, rentals: QuerySet[Rental]) -> None:
        now = timezone.now()
        self.try_each(
            request,
            rentals,
            lambda rental: services.void_rental(
                rental=rental, at=now, actor=self.caller(request), reason=_("The rental is void.")
            ),
        )


class CreditForm(forms.ModelForm):
    """Money that a member pays, or that the shop lets the member off."""

    kind = forms.ChoiceField(
        choices=[
            (LedgerEntry.Kind.PAYMENT, gettext_lazy("payment")),
            (LedgerEntry.Kind.WAIVER, gettext_lazy("waiver")),
        ]
    )
    amount = forms.DecimalField(min_value=Decimal("0.01"), max_digits=8, decimal_places=2)

    class Meta:
        model = LedgerEntry
        fields: ClassVar[list[str]] = ["user", "kind", "amount", "method", "note"]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("kind") == LedgerEntry.Kind.PAYMENT and not given.get("method"):
            self.add_error("method", _("A payment says how it was paid."))
        if given.get("kind") == LedgerEntry.Kind.WAIVER and not given.get("note"):
            self.add_error("note", _("A waiver says why."))
        if "user" in given and "amount" in given:
            try:
                ledger.refuse_more_than_owed(given["user"], given["amount"], at=timezone.now())
            except Refusal as refusal:
                self.add_error("amount", str(refusal))
        return given

    def _post_clean(self) -> None:
        """The entry is made by the ledger, not out of this form's instance."""


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly):
    list_display = ["user", "number", "kind", "amount", "balance", "posted_at", "actor", "note"]
    list_filter = ["kind", "method", "posted_at"]
    search_fields = ["user__username", "user__name", "note"]
    list_select_related = ["user", "actor"]
    ordering = ["-id"]
    form = CreditForm
    autocomplete_fields = ["user"]
    actions = ["reverse"]

    def save_model(self, request: HttpRequest, obj: LedgerEntry, form: Any, change: bool) -> None:
        given = form.cleaned_data
        facts = {
            "member": given["user"],
            "amount": given["amount"],
            "actor": self.caller(request),
            "at": timezone.now(),
        }
        if given["kind"] == LedgerEntry.Kind.PAYMENT:
            entry = ledger.take_payment(method=given["method"], note=given["note"], **facts)
        else:
            entry = ledger.waive(reason=given["note"], **facts)
        obj.pk = entry.pk

    @admin.action(description=gettext_lazy("Reverse: it was a mistake"), permissions=["view"])
    def reverse(self, request: HttpRequest, entries: QuerySet[LedgerEntry]) -> None:
        self.try_each(
            request,
            entries,
            lambda entry: ledger.reverse(
                entry=entry, reason=_("Corrected."), actor=self.caller(request), at=timezone.now()
            ),
        )

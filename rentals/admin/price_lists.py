"""Lets staff change the policy, and price lists while no rental uses them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminIntegerFieldWidget
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from books.models import Kind
from lori_assignment.admin import ShopAdmin, StaffAccessMixin
from rentals import price_lists
from rentals.models import Policy, PriceList, Rate


@admin.register(Policy)
class PolicyAdmin(ShopAdmin):
    list_display = [
        "__str__",
        "rental_days",
        "max_renewals",
        "max_open_rentals",
        "debt_limit",
        "pick_up_days",
        "max_holds",
    ]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        return False


class RateForm(forms.ModelForm):
    """A rate whose kind is fixed by its row."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A used list is read-only and has no fields.
        if "kind" in self.fields:
            self.fields["kind"].disabled = True


class OneRateForEachKind(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        if {form.cleaned_data.get("kind") for form in self.forms} != set(Kind.values):
            raise ValidationError(_("Enter one rate for each category."))


def is_used(price_list: PriceList | None) -> bool:
    return price_list is not None and PriceList.objects.used().filter(pk=price_list.pk).exists()


class RateInline(StaffAccessMixin, admin.TabularInline):
    model = Rate
    form = RateForm
    formset = OneRateForEachKind
    extra = 0
    min_num = max_num = len(Kind)
    # Six columns leave room for narrow fields only.
    formfield_overrides = {models.DecimalField: {"widget": AdminIntegerFieldWidget}}

    def has_add_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return not is_used(obj)

    def has_change_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return not is_used(obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        # A list always has one rate for each kind.
        return False


@admin.register(PriceList)
class PriceListAdmin(ShopAdmin):
    list_display = ["name", "in_force_from", "state"]
    ordering = ["-in_force_from"]
    inlines = [RateInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PriceList]:
        return super().get_queryset(request).annotate(is_used=Q(pk__in=PriceList.objects.used().values("pk")))

    @admin.display(description=gettext_lazy("status"))
    def state(self, price_list: Any) -> str:
        return _("in use, can't be changed") if price_list.is_used else _("not used yet, can be changed")

    def get_formset_kwargs(self, request: HttpRequest, obj: PriceList, inline: Any, prefix: str) -> Any:
        options = super().get_formset_kwargs(request, obj, inline, prefix)
        return options if obj.pk else options | {"initial": [{"kind": kind} for kind in Kind]}

    def has_change_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return not is_used(obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceList | None = None) -> bool:
        return not is_used(obj)

    def save_model(self, request: HttpRequest, obj: PriceList, form: Any, change: bool) -> None:
        """Save the list without its rates; it stays locked until they are saved in the same transaction."""
        given = form.cleaned_data
        if change:
            changes = {field: given[field] for field in form.changed_data}
            price_lists.change_price_list(price_list=obj, **changes)
        else:
            obj.pk = price_lists.make_price_list(**given, rates=[]).pk

    def delete_model(self, request: HttpRequest, obj: PriceList) -> None:
        price_lists.delete_price_list(price_list=obj)

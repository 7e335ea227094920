"""Filters the lists of rentals, holds and payments by query parameters."""

from __future__ import annotations

import django_filters as filters

from lori_assignment.rest.filters import KeyFilter, OneOfFilter, StrictBooleanFilter
from rentals.api.fields import Status
from rentals.models import Hold, HoldQuerySet, LedgerEntry, Rental, RentalQuerySet


class RentalFilter(filters.FilterSet):
    status = OneOfFilter(
        method="narrow_by_status", choices=Status.choices, help_text="1: returned, 2: not returned."
    )
    overdue = StrictBooleanFilter(
        method="narrow_by_overdue", help_text="true: on loan and past the due date, longest overdue first."
    )
    user = KeyFilter(field_name="user")
    book = KeyFilter(field_name="copy__book")

    class Meta:
        model = Rental
        fields: list[str] = []

    def narrow_by_status(self, rentals: RentalQuerySet, name: str, status: str) -> RentalQuerySet:
        return rentals.filter(returned_at__isnull=int(status) == Status.NOT_RETURNED)

    def narrow_by_overdue(self, rentals: RentalQuerySet, name: str, wanted: bool) -> RentalQuerySet:
        overdue = rentals.overdue(self.request.parser_context["view"].now)
        if wanted:
            # Reads only the overdue rentals, by the index on the due dates of open ones.
            return overdue.order_by("due_at", "ref")
        return rentals.exclude(pk__in=overdue.order_by().values("pk"))


class RentalV3Filter(RentalFilter):
    void = StrictBooleanFilter(
        method="narrow_by_void", help_text="Staff only. true: only void rentals. Default: false."
    )

    def narrow_by_void(self, rentals: RentalQuerySet, name: str, wanted: bool) -> RentalQuerySet:
        return rentals.filter(voided_at__isnull=not wanted)


class HoldFilter(filters.FilterSet):
    status = OneOfFilter(
        method="narrow_by_status", choices=[(status.value, status.value) for status in Hold.Status]
    )
    user = KeyFilter(field_name="user")
    book = KeyFilter(field_name="book")

    class Meta:
        model = Hold
        fields: list[str] = []

    def narrow_by_status(self, holds: HoldQuerySet, name: str, status: str) -> HoldQuerySet:
        return holds.in_state(Hold.Status(status))


class PaymentFilter(filters.FilterSet):
    user = KeyFilter(field_name="user")

    class Meta:
        model = LedgerEntry
        fields: list[str] = []

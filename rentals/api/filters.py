"""Filters the lists of rentals, holds and payments by query parameters."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters as filters

from lori_assignment.rest.filters import InstantFilter, KeyFilter, OneOfFilter, StrictBooleanFilter
from rentals.api.fields import Status
from rentals.models import Hold, HoldQuerySet, LedgerEntry, LedgerEntryQuerySet, Rental, RentalQuerySet


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
    method = OneOfFilter(field_name="method", choices=LedgerEntry.Method.choices)
    taken_by = KeyFilter(field_name="actor", help_text="The ID of the member of staff.")
    until = InstantFilter(
        method="narrow_until", help_text="Payments before this time or date; newest first by time."
    )

    class Meta:
        model = LedgerEntry
        fields: list[str] = []

    @classmethod
    def get_filters(cls) -> dict[str, Any]:
        """Add `from`, which cannot be the name of an attribute."""
        since = InstantFilter(
            method="narrow_from", help_text="Payments at or after this time or date; newest first by time."
        )
        return super().get_filters() | {"from": since}

    # By time, so that a narrow range reads only its own entries.
    def narrow_from(self, payments: LedgerEntryQuerySet, name: str, at: datetime) -> LedgerEntryQuerySet:
        return payments.filter(posted_at__gte=at).order_by("-posted_at", "-id")

    def narrow_until(self, payments: LedgerEntryQuerySet, name: str, at: datetime) -> LedgerEntryQuerySet:
        return payments.filter(posted_at__lt=at).order_by("-posted_at", "-id")

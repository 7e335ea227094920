"""Tests holds in the administration, and the effect of its stock pages on the queue."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.urls import reverse
from django.utils import timezone

from books.models import Copy
from books.stock import change_copy
from rentals import services
from rentals.holds import place_hold
from rentals.models import Hold, Policy
from rentals.tests.test_admin import ShopAdminTestCase

Status = Hold.Status


class HoldAdminTest(ShopAdminTestCase):
    """One of two copies is in repair, Bob has rented the other, and Alice and Dan wait."""

    def setUp(self) -> None:
        super().setUp()
        self.broken = self.novel.copies.order_by("pk")[1]
        change_copy(copy=self.broken, status=Copy.Status.IN_REPAIR)
        self.out = self.rent(self.bob)
        self.mine, self.other = (
            place_hold(member=member, book=self.novel, at=timezone.now()) for member in (self.alice, self.dan)
        )

    def give_back(self) -> None:
        now = timezone.now()
        services.return_rental(rental=self.out, at=now, actor=self.carol, now=now)

    def listed(self, **query: Any) -> list[Hold]:
        return list(self.counter.get(self.page("hold_changelist"), query).context["cl"].result_list)

    def statuses(self) -> list[str]:
        return [hold.status for hold in Hold.objects.all()]

    def test_holds_are_searched_and_filtered(self) -> None:
        self.give_back()
        for query, found in (
            ({"q": "moss"}, [self.mine]),
            ({"q": "emma"}, [self.other, self.mine]),
            ({"q": self.out.copy.barcode}, [self.mine]),
            ({"status": "ready"}, [self.mine]),
            ({"status": "waiting"}, [self.other]),
            ({"status": "expired"}, []),
            ({"status": "nonsense"}, [self.other, self.mine]),
        ):
            self.assertEqual(self.listed(**query), found)
        page = self.counter.get(self.page("hold_changelist"))
        self.assertContains(page, '<td class="field-status">ready</td>', html=True)

    def test_changelist_query_count_is_constant(self) -> None:
        for found in ([self.other, self.mine], [self.mine]):
            Hold.objects.exclude(pk__in=[hold.pk for hold in found]).delete()
            # On PostgreSQL one more query estimates how many books the search finds.
            with self.assertNumQueries(11 + (connection.vendor == "postgresql")):
                # All holds are for this book.
                self.assertEqual(self.listed(q="emma"), found)

    def test_cancel_page_passes_the_copy_on(self) -> None:
        self.give_back()
        page = self.counter.get(self.page("hold_cancel", self.mine))
        self.assertEqual(
            page.context["lines"],
            [
                "Alice Moss no longer waits for “Emma” and loses the place in the queue.",
                f"Copy {self.out.copy.barcode} is set aside for dan, who is next in line.",
            ],
        )
        self.assertNotContains(page, 'name="reason"')
        self.assertEqual(self.act("hold", "cancel", self.mine), ["Cancelled Alice Moss’s hold."])
        self.assertEqual(self.statuses(), [Status.CANCELLED, Status.READY])
        [told] = self.act("hold", "cancel", self.mine)
        self.assertIn("has already ended", told)

    def test_cancelling_a_waiting_hold_names_no_copy(self) -> None:
        page = self.counter.get(self.page("hold_cancel", self.mine))
        self.assertEqual(len(page.context["lines"]), 1)
        self.act("hold", "cancel", self.mine)
        self.assertEqual(self.statuses(), [Status.CANCELLED, Status.WAITING])

    def test_hold_is_read_only(self) -> None:
        self.counter = self.signed_in(self.dan)
        self.assertContains(self.counter.get(self.page("hold_change", self.mine)), "Emma")
        self.assertEqual(self.send("hold_change", self.mine, outcome="expired").status_code, 403)
        self.assertEqual(self.send("hold_delete", self.mine, post="yes").status_code, 403)
        self.assertEqual(self.send("hold_add").status_code, 403)

    def test_new_deadline_applies_to_next_allocation(self) -> None:
        fields = {"rental_days": 14, "max_renewals": 2, "max_open_rentals": 10, "debt_limit": "50.00"}
        self.send("policy_change", Policy.current(), **fields, pick_up_days=7, max_holds=10)
        self.give_back()
        self.mine.refresh_from_db()
        self.assertEqual((self.mine.pick_up_by - self.mine.ready_at).days, 7)

    def stock(self, what: str, row: Any = None, **fields: Any) -> Any:
        address = reverse(f"admin:books_{what}", args=[row.pk] if row else [])
        return self.counter.post(address, fields)

    def test_repaired_and_new_copies_are_allocated(self) -> None:
        fields = {"condition": "good", "status": "in_service", "replacement_price": ""}
        self.stock("copy_change", self.broken, **fields, barcode=self.broken.barcode)
        self.assertEqual(self.statuses(), [Status.READY, Status.WAITING])
        self.stock("copy_add", **fields, book=self.novel.pk, barcode="")
        self.assertEqual(self.statuses(), [Status.READY, Status.READY])

    def test_allocated_copy_in_repair_is_released(self) -> None:
        self.give_back()
        copy = self.out.copy
        fields = {"condition": "damaged", "status": "in_repair", "replacement_price": ""}
        self.stock("copy_change", copy, **fields, barcode=copy.barcode)
        self.assertEqual(self.statuses(), [Status.WAITING, Status.WAITING])

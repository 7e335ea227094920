"""Tests that every view changes a book's copies and updates its queue in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from unittest import TestCase, mock

from django.core import mail
from django.test import Client
from django.urls import reverse

from books.models import Copy
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from lori_assignment.tests.test_import_rule import imported, modules
from rentals import errors, holds, services, stock
from rentals.models import Hold, Rental
from rentals.tests.test_holds import DAY, MONDAY, QueueTestCase, Status

# Only these may use `books.stock` directly: `rentals.stock` and `rentals.services` update the queue
# themselves, and the import adds copies only to new books, which have no queue.
KNOW_NO_QUEUE = {"books.stock", "books.importing.importer", "rentals.services", "rentals.stock"}
CHANGES = ("add_copy", "change_copy")


class ProcessEnds(BaseException):
    """Simulates a killed process; not an Exception, so no code catches it."""


class StockTest(QueueTestCase):
    def setUp(self) -> None:
        self.spare = stock.add_copy(book=self.book, at=MONDAY, status=Copy.Status.IN_REPAIR)
        self.hold = self.place(self.alice)

    def test_new_copy_goes_to_first_in_line(self) -> None:
        copy = stock.add_copy(book=self.book, at=MONDAY + DAY, barcode="N-1", condition="new")
        self.hold.refresh_from_db()
        self.assertEqual((self.hold.copy, self.hold.ready_at), (copy, MONDAY + DAY))
        self.assertEqual((copy.barcode, copy.condition), ("N-1", "new"))

    def test_copy_back_in_service_goes_to_first_in_line(self) -> None:
        stock.change_copy(copy=self.spare, at=MONDAY + DAY, actor=self.carol, status=Copy.Status.IN_SERVICE)
        self.assertEqual(self.states(self.hold), [Status.READY])
        stock.change_copy(copy=self.spare, at=MONDAY + DAY, actor=self.carol, status=Copy.Status.LOST)
        self.assertEqual(self.states(self.hold), [Status.WAITING])

    def by_api(self) -> Any:
        return self.api(self.carol).patch(f"/api/v3/copies/{self.spare.pk}/", {"status": "in_service"})

    def by_api_new(self) -> Any:
        return self.api(self.carol).post("/api/v3/copies/", {"book": self.book.pk})

    def by_admin(self) -> Any:
        return self.admin("change", self.spare.pk, barcode="S-1", condition="good", status="in_service")

    def by_admin_new(self) -> Any:
        return self.admin("add", book=self.book.pk, condition="good", status="in_service")

    def admin(self, page: str, *args: Any, **fields: Any) -> Any:
        client = Client()
        client.force_login(self.carol)
        return client.post(reverse(f"admin:books_copy_{page}", args=args), fields)

    def doors(self) -> list[Callable[[], Any]]:
        return [self.by_api, self.by_api_new, self.by_admin, self.by_admin_new]

    def copies(self) -> list[Any]:
        return list(Copy.objects.order_by("pk").values())

    def test_every_entry_point_serves_the_queue(self) -> None:
        for door in self.doors():
            with self.subTest(door=door.__name__):
                Hold.objects.update(copy=None, ready_at=None, pick_up_by=None)
                Copy.objects.exclude(pk=self.copy.pk).update(status=Copy.Status.IN_REPAIR)
                self.assertIn(door().status_code, (200, 201, 302))
                self.assertEqual(self.states(self.hold), [Status.READY])

    def test_ended_process_leaves_stock_and_queue_alone(self) -> None:
        before = self.copies()
        for door in self.doors():
            with self.subTest(door=door.__name__):
                ends = mock.patch.object(holds, "allocate_copies", side_effect=ProcessEnds)
                with ends as allocation, self.assertRaises(ProcessEnds):
                    door()
                allocation.assert_called_once()
                self.assertEqual(self.copies(), before)
        self.assertEqual(self.states(self.hold), [Status.WAITING])

    def test_book_without_queue_is_not_allocated(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        copy = stock.add_copy(book=other, at=MONDAY)
        rental = services.rent_book(member=self.alice, book=other, at=MONDAY, now=MONDAY, copy=copy)
        stock.change_copy(copy=copy, at=MONDAY, actor=self.carol, condition=Copy.Condition.WORN)
        rental.copy.refresh_from_db()
        self.assertEqual(rental.copy.condition, Copy.Condition.WORN)


class DoorTest(TestCase):
    def bypasses(self, source: str) -> bool:
        names = imported(source)
        if "books.stock" not in names:
            return False
        return any(f"books.stock.{change}" in names or f"stock.{change}(" in source for change in CHANGES)

    def test_stock_changes_always_serve_the_queue(self) -> None:
        found = {module for module, path in modules() if self.bypasses(path.read_text())}
        self.assertLessEqual(found, KNOW_NO_QUEUE)
        self.assertIn("rentals.stock", found)

    def test_both_ways_to_call_are_seen(self) -> None:
        self.assertTrue(self.bypasses("from books.stock import add_book, change_copy"))
        self.assertTrue(self.bypasses("from books import stock\nstock.add_copy(book=book)"))
        self.assertFalse(self.bypasses("from rentals import stock\nstock.add_copy(book=book, at=now)"))


class CopyOnLoanTest(CastTestCase):
    def setUp(self) -> None:
        self.copy = add_book(name="Persuasion", kind=3).copies.get()
        self.rental = services.rent_book(member=self.alice, book=self.copy.book, at=MONDAY, now=MONDAY)

    def change(self, at: datetime = MONDAY + DAY, **changes: Any) -> Copy:
        return stock.change_copy(copy=self.copy, at=at, actor=self.carol, **changes)

    def test_its_status_does_not_change(self) -> None:
        for status in (Copy.Status.IN_REPAIR, Copy.Status.WITHDRAWN, Copy.Status.MISSING):
            with self.assertRaises(errors.CopyIsOut):
                self.change(status=status, condition="damaged")
        self.copy.refresh_from_db()
        self.assertEqual((self.copy.status, self.copy.condition), ("in_service", "good"))
        self.change(status=Copy.Status.IN_SERVICE, condition="damaged")
        services.return_rental(rental=self.rental, at=MONDAY + DAY, actor=self.carol, now=MONDAY + DAY)
        self.assertEqual(self.change(status=Copy.Status.IN_REPAIR).status, "in_repair")

    def test_marking_it_lost_ends_its_rental(self) -> None:
        hold = holds.place_hold(member=self.bob, book=self.copy.book, at=MONDAY)
        self.change(MONDAY + 3 * DAY, status=Copy.Status.LOST)
        self.rental.refresh_from_db()
        self.assertEqual((self.rental.returned_at, str(self.rental.charge)), (MONDAY + 3 * DAY, "4.50"))
        self.assertEqual(self.rental.rent_entry.actor, self.carol)
        hold.refresh_from_db()
        self.assertEqual((hold.status, mail.outbox), (Status.WAITING, []))
        # Found.
        self.change(MONDAY + 4 * DAY, status=Copy.Status.IN_SERVICE)
        hold.refresh_from_db()
        self.assertEqual(hold.copy, self.copy)

    def test_the_api_refuses_with_a_code(self) -> None:
        path = f"/api/v3/copies/{self.copy.pk}/"
        refused = self.api(self.carol).patch(path, {"status": "in_repair"})
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "copy_is_out"))
        self.assertEqual(self.api(self.carol).patch(path, {"status": "lost"}).status_code, 200)
        self.assertFalse(Rental.objects.open().exists())

"""Tests rentals that staff record after they began: two of one copy never overlap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest import skipUnless

from django.apps import apps
from django.core import mail
from django.core.management import CommandError
from django.db import IntegrityError, connection, transaction

from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import errors, holds, ledger, services, stock
from rentals.consistency import find_errors
from rentals.models import Hold, LedgerEntry, Policy, Rental

MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = MONDAY + 20 * DAY
SECOND = timedelta(seconds=1)


class PastRentalTestCase(CastTestCase):
    book: Book
    copy: Copy

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Emma", kind=3)
        cls.copy = cls.book.copies.get()

    def record(self, member: Any, since: datetime, until: datetime | None = None, **facts: Any) -> Rental:
        given = {"book": self.book, "now": NOW, "actor": self.carol}
        return services.rent_book(member=member, at=since, returned_at=until, **given | facts)

    def rent_now(self, member: Any, **facts: Any) -> Rental:
        return services.rent_book(**{"member": member, "book": self.book, "at": NOW, "now": NOW} | facts)

    def assert_refused(self, code: str, member: Any, *period: Any, **facts: Any) -> None:
        before = (Rental.objects.count(), LedgerEntry.objects.count())
        with self.assertRaises(errors.Refusal) as caught:
            self.record(member, *period, **facts)
        self.assertIn(code, [reason.code for reason in caught.exception.reasons])
        self.assertEqual((Rental.objects.count(), LedgerEntry.objects.count()), before)


class OverlapTest(PastRentalTestCase):
    def setUp(self) -> None:
        self.first = self.record(self.alice, MONDAY + 2 * DAY, MONDAY + 4 * DAY)

    def test_rentals_of_a_copy_never_overlap(self) -> None:
        for since, until in ((0, 3), (3, 5), (1, 9), (2, 4), (3, None), (0, None), (3, 3)):
            period = (MONDAY + since * DAY, None if until is None else MONDAY + until * DAY)
            with self.subTest(since=since, until=until):
                self.assert_refused("copy_unavailable", self.bob, *period, copy=self.copy)
                self.assert_refused("book_unavailable", self.bob, *period)

    def test_refusal_says_when_the_book_was_out(self) -> None:
        with self.assertRaisesMessage(errors.BookUnavailable, "Every copy of this book was on loan then, or"):
            self.record(self.bob, MONDAY + 3 * DAY)
        with self.assertRaisesMessage(errors.CopyUnavailable, "This copy was on loan then"):
            self.record(self.bob, MONDAY + 3 * DAY, copy=self.copy)
        self.rent_now(self.alice)
        with self.assertRaisesMessage(errors.BookUnavailable, "No copy of this book is available right now."):
            self.rent_now(self.bob)

    def test_rentals_may_follow_each_other_at_once(self) -> None:
        self.record(self.bob, MONDAY + 4 * DAY, MONDAY + 6 * DAY)
        self.record(self.bob, MONDAY, MONDAY + 2 * DAY)
        self.record(self.bob, MONDAY + 6 * DAY)

    def test_another_copy_is_taken_if_one_was_out(self) -> None:
        other = Copy.objects.create(book=self.book, barcode="other")
        rental = self.record(self.bob, MONDAY + 3 * DAY, MONDAY + 5 * DAY)
        self.assertEqual(rental.copy, other)

    def test_void_rentals_do_not_count(self) -> None:
        services.void_rental(rental=self.first, at=NOW, actor=self.carol)
        self.record(self.bob, MONDAY + 3 * DAY, MONDAY + 5 * DAY)

    def test_rental_recorded_twice_is_charged_once(self) -> None:
        Copy.objects.create(book=self.book, barcode="other")
        period = (MONDAY + 2 * DAY, MONDAY + 4 * DAY)
        self.assert_refused("already_rented", self.alice, *period)
        self.assert_refused("already_rented", self.alice, *period, copy=self.copy)
        self.assert_refused("already_rented", self.alice, MONDAY + 2 * DAY)
        self.record(self.alice, MONDAY)
        self.assert_refused("already_rented", self.alice, MONDAY)

    def test_two_rentals_never_begin_and_end_at_one_moment(self) -> None:
        at = MONDAY + 5 * DAY
        self.record(self.alice, at, at)
        rental = self.record(self.bob, at)
        with self.assertRaisesMessage(errors.CopyUnavailable, "Enter a later time."):
            services.return_rental(rental=rental, at=at, actor=self.carol, now=NOW)
        services.return_rental(rental=rental, at=at + SECOND, actor=self.carol, now=NOW)

    def test_past_rental_is_accepted_while_the_copy_is_out(self) -> None:
        out = self.rent_now(self.alice)
        before = self.record(self.bob, MONDAY + 5 * DAY, MONDAY + 6 * DAY, copy=self.copy)
        self.assertEqual((out.copy, before.copy), (self.copy, self.copy))
        # Alice may have had the same book before, too.
        self.record(self.alice, MONDAY + 7 * DAY, MONDAY + 8 * DAY)

    def test_copy_found_by_itself_may_have_any_status_today(self) -> None:
        for status in (Copy.Status.MISSING, Copy.Status.LOST, Copy.Status.WITHDRAWN, Copy.Status.IN_REPAIR):
            Copy.objects.update(status=status)
            day = MONDAY + 5 * DAY + timedelta(hours=len(Rental.objects.all()))
            self.assertEqual(self.record(self.bob, day, day + timedelta(minutes=9)).copy, self.copy)
        other = stock.add_copy(book=self.book, at=MONDAY)
        self.assertEqual(self.record(self.bob, MONDAY + 8 * DAY, MONDAY + 9 * DAY).copy, other)

    def test_copy_that_came_back_may_have_any_status_today(self) -> None:
        Copy.objects.update(status=Copy.Status.WITHDRAWN)
        self.assert_refused("copy_unavailable", self.bob, MONDAY + 5 * DAY, copy=self.copy)
        self.record(self.bob, MONDAY + 5 * DAY, MONDAY + 6 * DAY, copy=self.copy)

    def test_renting_begins_after_the_copy_came_back(self) -> None:
        """A request reads the clock, waits for its locks, and gets the copy that came back meanwhile."""
        rental = self.rent_now(self.bob)
        services.return_rental(rental=rental, at=NOW + SECOND, actor=self.carol, now=NOW + SECOND)
        rented = self.rent_now(self.alice)
        self.assertEqual((rented.rented_at, rented.due_at), (NOW + SECOND, NOW + SECOND + 14 * DAY))


@skipUnless(connection.vendor == "postgresql", "SQLite has no exclusion constraints.")
class ExclusionConstraintTest(PastRentalTestCase):
    def test_constraint_refuses_overlaps(self) -> None:
        first = self.record(self.alice, MONDAY + 2 * DAY, MONDAY + 4 * DAY)
        other = self.record(self.bob, MONDAY + 6 * DAY, MONDAY + 8 * DAY)

        def move(since: datetime, until: datetime) -> None:
            Rental.objects.filter(pk=other.pk).update(rented_at=since, returned_at=until)

        for since, until in ((0, 3), (3, 5), (1, 9), (2, 4), (3, 3)):
            with (
                self.subTest(since=since, until=until),
                self.assertRaisesMessage(IntegrityError, "rental_copy_is_with_one_member"),
                transaction.atomic(),
            ):
                move(MONDAY + since * DAY, MONDAY + until * DAY)
        for since, until in ((0, 2), (4, 5), (2, 2), (4, 4)):
            move(MONDAY + since * DAY, MONDAY + until * DAY)
        Rental.objects.filter(pk=first.pk).update(voided_at=NOW, voided_by=self.carol)
        move(MONDAY + 3 * DAY, MONDAY + 5 * DAY)


class ClosedRentalTest(PastRentalTestCase):
    def test_closed_rental_is_charged_at_once(self) -> None:
        rental = self.record(self.alice, MONDAY, MONDAY + 4 * DAY)
        rental.refresh_from_db()
        self.assertEqual((rental.rented_at, rental.due_at), (MONDAY, MONDAY + 14 * DAY))
        self.assertEqual((rental.returned_at, rental.voided_at), (MONDAY + 4 * DAY, None))
        entry = LedgerEntry.objects.get()
        self.assertEqual((rental.rent_entry, str(entry.amount)), (entry, "6.00"))
        self.assertEqual((entry.actor, entry.posted_at), (self.carol, NOW))

    def test_rental_of_a_moment_costs_one_day(self) -> None:
        rental = self.record(self.alice, MONDAY, MONDAY)
        self.assertEqual((rental.returned_at, str(rental.charge)), (MONDAY, "4.50"))

    def test_return_before_the_rental_is_refused(self) -> None:
        self.assert_refused("return_before_rental", self.alice, MONDAY, MONDAY - SECOND)

    def test_earlier_hold_is_fulfilled_and_a_later_one_is_not(self) -> None:
        for day, placed_at, outcome in (
            (0, MONDAY - DAY, "picked_up"),
            (1, MONDAY + DAY, "picked_up"),
            (2, MONDAY + 3 * DAY, ""),
        ):
            hold = Hold.objects.create(user=self.alice, book=self.book, placed_at=placed_at)
            rental = self.record(self.alice, MONDAY + day * DAY, MONDAY + (day + 1) * DAY)
            hold.refresh_from_db()
            self.assertEqual((hold.outcome, hold.rental), (outcome, rental if outcome else None))


class LimitTest(PastRentalTestCase):
    def test_limits_of_that_time_are_recorded(self) -> None:
        Policy.objects.update(max_open_rentals=1, debt_limit="5.00")
        self.record(self.alice, MONDAY + DAY, book=add_book(name="Persuasion", kind=3))
        early = self.record(self.alice, MONDAY, MONDAY + DAY)
        self.assertEqual(early.limits_broken, None)
        late = self.record(self.alice, MONDAY + 6 * DAY, MONDAY + 7 * DAY)
        self.assertEqual(late.limits_broken, ["rental_limit", "debt_limit"])
        now = services.rent_book(member=self.bob, book=self.book, at=NOW, now=NOW)
        self.assertEqual(now.limits_broken, None)
        self.assert_same_refused_now()

    def assert_same_refused_now(self) -> None:
        emma = add_book(name="Middlemarch", kind=3)
        with self.assertRaises(errors.Refusal) as caught:
            self.rent_now(self.alice, book=emma)
        codes = [reason.code for reason in caught.exception.reasons]
        self.assertEqual(codes, ["rental_limit", "debt_limit"])

    def test_charges_count_from_the_return(self) -> None:
        Policy.objects.update(debt_limit="5.00")
        first = self.record(self.alice, MONDAY, MONDAY + 10 * DAY)
        rental = self.record(self.alice, MONDAY + 11 * DAY, MONDAY + 12 * DAY)
        self.assertEqual(rental.limits_broken, ["debt_limit"])
        before = self.record(self.alice, MONDAY - 2 * DAY, MONDAY - DAY)
        self.assertEqual(before.limits_broken, None)
        services.void_rental(rental=first, at=NOW, actor=self.carol)
        rental = self.record(self.alice, MONDAY + 10 * DAY, MONDAY + 11 * DAY)
        self.assertEqual(rental.limits_broken, None)

    def test_payments_count_from_their_time(self) -> None:
        Policy.objects.update(debt_limit="5.00")
        self.record(self.alice, MONDAY, MONDAY + 10 * DAY)
        ledger.take_payment(
            member=self.alice, amount=Decimal("11.00"), method="cash", actor=self.carol, at=MONDAY + 15 * DAY
        )
        rental = self.record(self.alice, MONDAY + 14 * DAY, MONDAY + 15 * DAY)
        self.assertEqual(rental.limits_broken, ["debt_limit"])
        rental = self.record(self.alice, MONDAY + 15 * DAY, MONDAY + 16 * DAY)
        self.assertEqual(rental.limits_broken, ["debt_limit"])


class HoldOfAnotherTest(PastRentalTestCase):
    """Bob and Dan wait for the only copy, and it is set aside for Bob."""

    def setUp(self) -> None:
        rental = self.record(self.carol, MONDAY)
        self.first = holds.place_hold(member=self.bob, book=self.book, at=MONDAY)
        self.second = holds.place_hold(member=self.dan, book=self.book, at=MONDAY)
        at = MONDAY + 10 * DAY
        services.return_rental(rental=rental, at=at, actor=self.carol, now=at)

    def assert_copies(self, first: Copy | None, second: Copy | None) -> None:
        self.first.refresh_from_db()
        self.second.refresh_from_db()
        self.assertEqual((self.first.copy, self.second.copy), (first, second))

    def test_hold_goes_back_to_its_place(self) -> None:
        self.assert_copies(self.copy, None)
        with self.captureOnCommitCallbacks(execute=True):
            rental = self.record(self.alice, MONDAY + 11 * DAY)
        self.assertEqual((rental.copy, rental.limits_broken), (self.copy, ["copy_set_aside"]))
        self.assert_copies(None, None)
        self.assertEqual(self.first.status, "waiting")
        (sent,) = mail.outbox
        self.assertEqual(sent.to, ["bob@example.org"])
        services.return_rental(rental=rental, at=NOW, actor=self.carol, now=NOW)
        self.assert_copies(self.copy, None)
        self.assertEqual(list(find_errors()), [])

    def test_copy_of_the_last_in_the_queue_is_taken_first(self) -> None:
        other = stock.add_copy(book=self.book, at=MONDAY + 10 * DAY)
        self.assert_copies(self.copy, other)
        self.record(self.alice, MONDAY + 11 * DAY)
        self.assert_copies(self.copy, None)

    def test_free_copy_replaces_the_one_taken(self) -> None:
        other = stock.add_copy(book=self.book, at=MONDAY + 10 * DAY)
        holds.cancel_hold(hold=self.second, at=MONDAY + 10 * DAY)
        self.record(self.alice, MONDAY + 11 * DAY, copy=self.copy)
        self.first.refresh_from_db()
        self.assertEqual((self.first.copy, self.first.pick_up_by), (other, MONDAY + 13 * DAY))

    def test_free_copy_is_taken_before_one_set_aside(self) -> None:
        holds.cancel_hold(hold=self.second, at=MONDAY + 10 * DAY)
        other = stock.add_copy(book=self.book, at=MONDAY + 10 * DAY)
        rental = self.record(self.alice, MONDAY + 11 * DAY)
        self.assertEqual((rental.copy, rental.limits_broken), (other, None))

    def test_copy_set_aside_later_may_have_been_out(self) -> None:
        Hold.objects.filter(pk=self.first.pk).update(ready_at=MONDAY + 13 * DAY)
        closed = self.record(self.alice, MONDAY + 11 * DAY, MONDAY + 12 * DAY)
        self.assertEqual(closed.limits_broken, None)
        still_out = self.record(self.alice, MONDAY + 12 * DAY)
        self.assertEqual(still_out.limits_broken, ["copy_set_aside"])

    def test_copy_that_came_back_stays_set_aside(self) -> None:
        rental = self.record(self.alice, MONDAY + 11 * DAY, MONDAY + 12 * DAY)
        self.assertEqual(rental.limits_broken, ["copy_set_aside"])
        self.assert_copies(self.copy, None)

    def test_own_hold_ends_with_a_past_rental(self) -> None:
        for member, hold in ((self.dan, self.second), (self.bob, self.first)):
            with transaction.atomic():
                rental = self.record(member, MONDAY + 11 * DAY)
                hold.refresh_from_db()
                self.assertEqual((hold.outcome, hold.rental), ("picked_up", rental))
                self.assertEqual(rental.limits_broken, ["copy_set_aside"] if member == self.dan else None)
                self.assertEqual(list(find_errors()), [])
                transaction.set_rollback(True)

    def test_new_rental_is_still_refused(self) -> None:
        with self.assertRaises(errors.CopyUnavailable):
            self.rent_now(self.alice, copy=self.copy)


class PastRentalApiTest(PastRentalTestCase):
    def post(self, version: str = "v3", **sent: Any) -> Any:
        given = {"book": self.book.pk, "user": self.alice.pk}
        return self.api(self.carol).post(f"/api/{version}/book_rentals/", given | sent)

    def test_closed_rental_is_created_in_one_request(self) -> None:
        answer = self.post(date_rented=MONDAY.isoformat(), date_returned=(MONDAY + 4 * DAY).isoformat())
        self.assertEqual(answer.status_code, 201)
        told = {name: answer.json()[name] for name in ("status", "date_returned", "charge", "running_cost")}
        expected = {"date_returned": "2026-11-06T09:00:00Z", "charge": "6.00", "running_cost": None}
        self.assertEqual(told, {"status": 1, **expected})

    def test_wrong_times_are_field_errors(self) -> None:
        early, late = MONDAY.isoformat(), (MONDAY + DAY).isoformat()
        for sent, field in (
            ({"date_returned": late}, "date_rented"),
            ({"date_rented": late, "date_returned": early}, "date_returned"),
            ({"date_rented": early, "date_returned": "2199-01-01T00:00:00Z"}, "date_returned"),
        ):
            answer = self.post(**sent)
            self.assertEqual((answer.status_code, list(answer.json())), (400, [field]))
        self.assertFalse(Rental.objects.exists())

    def test_reasons_are_kept_and_shown(self) -> None:
        Policy.objects.update(debt_limit="0.00")
        self.record(self.alice, MONDAY, book=add_book(name="Persuasion", kind=3))
        rented = self.post(date_rented=(MONDAY + DAY).isoformat(), reason=" The network was down. ").json()
        self.assertEqual(rented["reason"], "The network was down.")
        self.assertEqual((rented["return_reason"], rented["limits_broken"]), (None, ["debt_limit"]))
        sent = {"date_returned": (MONDAY + 2 * DAY).isoformat(), "reason": "Found in the box."}
        path = f"/api/v3/book_rentals/{rented['ref']}"
        returned = self.api(self.carol).post(f"{path}/return", sent).json()
        self.assertEqual(
            (returned["reason"], returned["return_reason"]), ("The network was down.", "Found in the box.")
        )
        [listed] = self.api(self.alice).get("/api/v3/book_rentals/?status=1").json()["results"]
        self.assertEqual(listed, returned)
        # What was read can be sent back.
        self.assertEqual(self.api(self.carol).put(path, rented).json()["code"], "already_returned")

    def test_reason_needs_a_past_time(self) -> None:
        refused = self.post(reason="Offline")
        self.assertEqual((refused.status_code, list(refused.json())), (400, ["reason"]))
        too_long = self.post(date_rented=MONDAY.isoformat(), reason="x" * 501)
        self.assertEqual((too_long.status_code, list(too_long.json())), (400, ["reason"]))
        rental = self.post(date_rented=MONDAY.isoformat(), reason="").json()
        self.assertEqual(rental["reason"], None)
        self.assertTrue(Rental.objects.get().is_open)

    def test_every_return_keeps_its_reason(self) -> None:
        for member, method, path, sent in (
            (self.alice, "post", "/return", {}),
            (self.bob, "patch", "", {"status": 1}),
            (self.dan, "put", "", {"status": 1, "date_returned": NOW.isoformat()}),
        ):
            with self.subTest(method):
                copy = stock.add_copy(book=self.book, at=NOW)
                ref = self.post(user=member.pk, date_rented=MONDAY.isoformat(), copy=copy.pk).json()["ref"]
                call = getattr(self.api(self.carol), method)
                answer = call(f"/api/v3/book_rentals/{ref}{path}", {**sent, "reason": "Drop box"})
                self.assertEqual((answer.status_code, answer.json()["return_reason"]), (200, "Drop box"))

    def test_older_versions_ignore_the_return(self) -> None:
        answer = self.post("v2", date_rented=MONDAY.isoformat(), date_returned=(MONDAY + DAY).isoformat())
        self.assertEqual((answer.status_code, answer.json()["status"]), (201, 2))


class MigrationTest(PastRentalTestCase):
    """Takes the constraint away and runs the migration's check; the rollback brings it back."""

    def setUp(self) -> None:
        self.migration = import_module("rentals.migrations.0012_copy_is_with_one_member")
        self.rentals = [
            self.record(self.alice, MONDAY, MONDAY + DAY),
            self.record(self.bob, MONDAY + DAY, MONDAY + 3 * DAY),
            self.record(self.alice, MONDAY + 3 * DAY),
        ]

    def check(self) -> None:
        self.migration.stop_at_overlaps(apps, SimpleNamespace(connection=connection))

    def test_migration_names_overlaps_and_stops(self) -> None:
        self.check()
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute("ALTER TABLE rentals_rental DROP CONSTRAINT rental_copy_is_with_one_member")
        first, second, last = self.rentals
        Rental.objects.filter(pk=second.pk).update(rented_at=MONDAY)
        with self.assertRaisesMessage(CommandError, f"{second.pk} and {first.pk} (copy {self.copy.barcode})"):
            self.check()
        Rental.objects.filter(pk=second.pk).update(rented_at=MONDAY + DAY, returned_at=MONDAY + 4 * DAY)
        with self.assertRaisesMessage(CommandError, f"overlap: {last.pk} and {second.pk} (copy"):
            self.check()

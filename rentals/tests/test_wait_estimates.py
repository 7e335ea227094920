"""Tests the wait estimates: places in the queue and expected dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from books.models import Copy
from books.stock import add_book, add_copy, change_copy
from rentals import services
from rentals.models import Hold, Rental
from rentals.tests.test_holds import DAY, MONDAY, QueueTestCase
from rentals.wait_estimates import (
    QueueEstimate,
    WaitEstimate,
    annotate_others_wait,
    estimate_queue,
    wait_estimates,
)

# Bob's copy is due at MONDAY + 14 * DAY.
PERIOD = 14 * DAY


class WaitEstimateTest(QueueTestCase):
    def looks(self, *holds: Hold, days: int = 1) -> list[WaitEstimate | None]:
        found = wait_estimates(holds, at=MONDAY + days * DAY)
        return [found.get(hold.pk) for hold in holds]

    def test_estimates_are_one_period_apart(self) -> None:
        holds = self.line(self.alice, self.erin, self.fred)
        self.assertEqual(
            self.looks(*holds), [WaitEstimate(place, MONDAY + place * PERIOD) for place in (1, 2, 3)]
        )

    def test_overdue_copy_is_expected_now(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.assertEqual(
            self.looks(first, second, days=20),
            [WaitEstimate(1, MONDAY + 20 * DAY), WaitEstimate(2, MONDAY + 20 * DAY + PERIOD)],
        )

    def test_only_copies_in_service_count(self) -> None:
        second = add_copy(book=self.book)
        services.rent_book(member=self.carol, book=self.book, at=MONDAY + DAY, now=MONDAY + DAY)
        add_copy(book=self.book, status=Copy.Status.IN_REPAIR)
        holds = self.line(self.alice, self.erin, self.fred)
        self.assertEqual(
            [look.expected_at - MONDAY for look in self.looks(*holds) if look and look.expected_at],
            [14 * DAY, 15 * DAY, 28 * DAY],
        )
        change_copy(copy=second, status=Copy.Status.LOST)
        self.assertEqual(self.looks(holds[1]), [WaitEstimate(2, MONDAY + 28 * DAY)])

    def test_ready_hold_has_no_place(self) -> None:
        ready, waiting = self.line(self.alice, self.erin)
        self.give_back()
        ready.refresh_from_db()
        self.assertEqual(
            self.looks(ready, waiting, days=2), [None, WaitEstimate(1, MONDAY + 2 * DAY + PERIOD)]
        )

    def test_new_copy_is_expected_now(self) -> None:
        (hold,) = self.line(self.alice)
        add_copy(book=self.book)
        self.assertEqual(self.looks(hold), [WaitEstimate(1, MONDAY + DAY)])

    def test_no_copy_in_service_gives_no_date(self) -> None:
        (hold,) = self.line(self.alice)
        change_copy(copy=self.copy, status=Copy.Status.LOST)
        self.assertEqual(self.looks(hold), [WaitEstimate(1, None)])
        self.assertEqual(estimate_queue(self.book, at=MONDAY), QueueEstimate(1, None, None))

    def test_date_out_of_range_is_none(self) -> None:
        at = datetime(9999, 12, 10, tzinfo=UTC)
        (hold,) = self.line(self.alice)
        self.assertEqual(wait_estimates([hold], at=at), {hold.pk: WaitEstimate(1, at)})
        self.assertIsNone(estimate_queue(self.book, at=at).expected_at)

    def test_query_count_is_constant(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.bob, book=other, at=MONDAY, now=MONDAY)
        holds = [*self.line(self.alice, self.erin), self.place(self.alice, other)]
        for some in (holds[:1], holds):
            with self.assertNumQueries(3):
                self.assertEqual(len(wait_estimates(some, at=MONDAY)), len(some))
        with self.assertNumQueries(0):
            wait_estimates([], at=MONDAY)


class BookEstimateTest(QueueTestCase):
    def test_estimate_covers_next_copy_and_newcomer(self) -> None:
        at = MONDAY + DAY
        due = MONDAY + PERIOD
        self.assertEqual(estimate_queue(self.book, at=at), QueueEstimate(0, due, due))
        self.line(self.alice, self.erin)
        with self.assertNumQueries(3):
            self.assertEqual(estimate_queue(self.book, at=at), QueueEstimate(2, due, due + 2 * PERIOD))

    def test_a_free_copy_is_expected_now(self) -> None:
        add_copy(book=self.book)
        at = MONDAY + timedelta(hours=2)
        self.assertEqual(estimate_queue(self.book, at=at), QueueEstimate(0, at, at))

    def test_rentals_are_annotated_with_waiting_holds(self) -> None:
        def waited_for() -> list[bool]:
            rentals: Any = annotate_others_wait(Rental.objects.order_by("ref"))
            return [rental.others_wait for rental in rentals]

        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.alice, book=other, at=MONDAY, now=MONDAY)
        self.assertEqual(waited_for(), [False, False])
        self.place(self.alice)
        self.assertEqual(waited_for(), [True, False])
        spare = add_copy(book=self.book)
        self.assertEqual(waited_for(), [False, False])
        change_copy(copy=spare, status=Copy.Status.LOST)
        self.give_back()
        self.assertEqual(waited_for(), [False, False])

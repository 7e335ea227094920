"""Tests the summaries of open rentals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import TestCase
from zoneinfo import ZoneInfo

from django.utils import timezone

from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import services
from rentals.models import Policy, Rate, Rental
from rentals.rental_summaries import due_in_words, summarize

# A Tuesday.
NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class DueInWordsTest(TestCase):
    def test_due_date_is_described_by_calendar_day(self) -> None:
        for ahead, words in (
            (timedelta(minutes=1), "due today at 1:01 p.m."),
            (timedelta(), "due today at 1 p.m."),
            (11 * HOUR, "due tomorrow at midnight"),
            (DAY, "due tomorrow at 1 p.m."),
            (3 * DAY, "due Friday, in 3 days"),
            (6 * DAY, "due Monday, in 6 days"),
            (7 * DAY, "due December 1, in 7 days"),
            (14 * DAY, "due December 8, in 14 days"),
            (-HOUR, "overdue since noon today"),
            (-14 * HOUR, "1 day overdue"),
            (-2 * DAY, "2 days overdue"),
        ):
            with self.subTest(ahead=ahead):
                self.assertEqual(due_in_words(NOW + ahead, now=NOW), words)

    def test_days_follow_the_shops_time_zone(self) -> None:
        late_evening = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
        with timezone.override(ZoneInfo("Europe/Rome")):
            self.assertEqual(due_in_words(late_evening, now=NOW), "due tomorrow at 12:30 a.m.")
        self.assertEqual(due_in_words(late_evening, now=NOW), "due today at 11:30 p.m.")


class OpenRentalSummaryTest(CastTestCase):
    def look(self, *, rented: datetime, at: datetime = NOW) -> None:
        self.rental = services.rent_book(
            member=self.alice, book=add_book(name="Cosmos", kind=1), at=rented, now=rented
        )
        self.seen = summarize(self.rental, at=at, policy=Policy.current())

    def totals(self) -> list[str | None]:
        seen = self.seen
        return [price and str(price.total) for price in (seen.now, seen.tomorrow, seen.at_due)]

    def test_summary_has_cost_now_tomorrow_and_at_due(self) -> None:
        self.look(rented=NOW - 3 * DAY)
        self.assertEqual(self.totals(), ["3.50", "6.50", "20.00"])
        self.assertEqual((self.seen.is_overdue, self.seen.due), (False, "due December 5, in 11 days"))

    def test_tomorrow_ends_at_midnight_of_the_shop(self) -> None:
        now = datetime(2026, 11, 26, 13, 0, tzinfo=UTC)
        for rented, zone, cost in (
            ("2026-11-24T10:00:00+01:00", "Europe/Berlin", "5.00"),
            ("2026-11-24T23:00:00+01:00", "Europe/Berlin", "5.00"),
            ("2026-11-24T00:00:00+01:00", "Europe/Berlin", "5.00"),
            # Tomorrow ends at 11:00 UTC in Auckland, where the 27th has begun.
            ("2026-11-24T10:00:00+00:00", "Pacific/Auckland", "6.50"),
            ("2026-11-24T11:00:00+00:00", "Pacific/Auckland", "5.00"),
        ):
            with self.subTest(rented), timezone.override(zone):
                self.look(rented=datetime.fromisoformat(rented), at=now)
                self.assertEqual(str(self.seen.tomorrow.total), cost)

    def test_tomorrow_has_as_many_hours_as_the_day(self) -> None:
        """The day after 24 October has 25 hours in Berlin."""
        with timezone.override("Europe/Berlin"):
            rented = datetime.fromisoformat("2026-10-23T00:00:00+02:00")
            self.look(rented=rented, at=datetime.fromisoformat("2026-10-24T12:00:00+02:00"))
            # Three days and one hour.
            self.assertEqual(self.seen.tomorrow.days, 4)

    def test_tomorrow_never_costs_more_than_a_later_due_date(self) -> None:
        rate = Rate.objects.get(price_list__name="Tiered", kind=1)
        rate.late_fee = Decimal("0.50")
        for hours in range(0, 15 * 24, 5):
            at, zone = (
                NOW + hours * HOUR,
                ("Europe/Berlin", "Pacific/Auckland", "America/New_York")[hours % 3],
            )
            rental = Rental(rate=rate, rented_at=NOW, due_at=NOW + 14 * DAY)
            with self.subTest(hours=hours), timezone.override(zone):
                seen = summarize(rental, at=at, policy=Policy())
                due, tomorrow = timezone.localdate(rental.due_at), timezone.localdate(at) + DAY
                self.assertEqual(seen.tomorrow is None, due == tomorrow)
                if seen.tomorrow is not None:
                    self.assertLessEqual(seen.now.total, seen.tomorrow.total)
                    if due > tomorrow and seen.at_due:
                        self.assertLessEqual(seen.tomorrow.total, seen.at_due.total)

    def test_overdue_rental_has_no_cost_at_due_date(self) -> None:
        self.look(rented=NOW - 16 * DAY)
        self.assertEqual(self.totals(), ["23.00", "26.00", None])
        self.assertEqual((self.seen.is_overdue, self.seen.due), (True, "2 days overdue"))

    def test_renewals_count_down_to_the_refusal(self) -> None:
        self.look(rented=NOW)
        self.assertEqual((self.seen.renewals_left, self.seen.renewal_obstacles), (2, ()))
        for _ in range(2):
            self.rental = services.renew_rental(rental=self.rental, at=NOW)
        seen = summarize(self.rental, at=NOW, policy=Policy.current())
        self.assertEqual(seen.renewals_left, 0)
        self.assertEqual([reason.code for reason in seen.renewal_obstacles], ["renewal_limit"])

    def test_stricter_policy_leaves_no_renewals(self) -> None:
        self.look(rented=NOW)
        self.rental.renewals = 2
        seen = summarize(self.rental, at=NOW, policy=Policy(max_renewals=1))
        self.assertEqual(seen.renewals_left, 0)

"""Tests the guarantees of `rentals.pricing`, each with generated examples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from unittest import TestCase
from zoneinfo import ZoneInfo, available_timezones

from django.test import TestCase as DatabaseTestCase
from hypothesis import given
from hypothesis import strategies as st

from books.models import Kind
from rentals.models import PriceList
from rentals.pricing import NOTHING, Renewal, price, price_of_days, started_days

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Terms(NamedTuple):
    first_days: int = 0
    first_days_rate: Decimal = NOTHING
    daily_rate: Decimal = Decimal("1.00")
    minimum: Decimal = NOTHING
    late_fee: Decimal = NOTHING


TIERED_REGULAR = Terms(2, Decimal("1.00"), Decimal("1.50"), Decimal("2.00"))
NOVEL = Terms(daily_rate=Decimal("1.50"), minimum=Decimal("4.50"))

amounts = st.integers(0, 10_000).map(lambda cents: Decimal(cents) / 100)
terms = st.builds(Terms, st.integers(0, 30), amounts, amounts, amounts, amounts)
instants = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds UTC
lengths = st.timedeltas(timedelta(0), timedelta(days=400))
zones = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)


class StartedDaysTest(TestCase):
    def test_day_boundary_is_exactly_24_hours(self) -> None:
        self.assertEqual(started_days(MONDAY, MONDAY + DAY), 1)
        self.assertEqual(started_days(MONDAY, MONDAY + DAY + MICROSECOND), 2)

    def test_no_day_has_started_at_or_before_start(self) -> None:
        self.assertEqual(started_days(MONDAY, MONDAY), 0)
        self.assertEqual(started_days(MONDAY, MONDAY - DAY), 0)

    @given(instants, st.integers(0, 400), st.timedeltas(MICROSECOND, DAY))
    def test_days_increase_only_after_a_full_day(self, start: datetime, days: int, more: timedelta) -> None:
        self.assertEqual(started_days(start, start + days * DAY), days)
        self.assertEqual(started_days(start, start + days * DAY + more), days + 1)

    def test_days_are_24_hours_across_clock_changes(self) -> None:
        rome = ZoneInfo("Europe/Rome")
        for year, month, day in [(2026, 3, 28), (2026, 10, 24)]:  # The evening before each change.
            start = datetime(year, month, day, 20, 0, tzinfo=rome)
            day_later = (start.astimezone(UTC) + DAY).astimezone(rome)
            self.assertNotEqual(day_later.hour, 20)  # The wall clock shows another hour,
            self.assertEqual(started_days(start, day_later), 1)  # but it is one day.
            self.assertEqual(started_days(start, day_later + MICROSECOND), 2)


class PriceTest(TestCase):
    @given(terms, instants, lengths, lengths, lengths)
    def test_a_longer_rental_never_costs_less(
        self, terms: Terms, start: datetime, period: timedelta, length: timedelta, more: timedelta
    ) -> None:
        def cost(until: datetime) -> Decimal:
            return price(terms, rented_at=start, due_at=start + period, until=until).total

        self.assertLessEqual(cost(start + length), cost(start + length + more))

    @given(terms, instants, lengths, zones, zones)
    def test_price_is_independent_of_the_time_zone(
        self, terms: Terms, start: datetime, length: timedelta, here: ZoneInfo, there: ZoneInfo
    ) -> None:
        end = start + length
        due = start + 14 * DAY
        in_utc = price(terms, rented_at=start, due_at=due, until=end)
        elsewhere = price(
            terms,
            rented_at=start.astimezone(here),
            due_at=due.astimezone(there),
            until=end.astimezone(here),
        )
        self.assertEqual(elsewhere, in_utc)

    @given(terms, st.integers(1, 400), st.integers(0, 400), st.none() | amounts.filter(bool))
    def test_price_equals_an_independent_model(
        self, terms: Terms, days: int, late_days: int, cap: Decimal | None
    ) -> None:
        cents = 0
        for day in range(days):
            cents += int((terms.first_days_rate if day < terms.first_days else terms.daily_rate) * 100)
        cents = max(cents, int(terms.minimum * 100)) + late_days * int(terms.late_fee * 100)
        if cap is not None:
            cents = min(cents, int(cap * 100))
        self.assertEqual(price_of_days(terms, days, late_days=late_days, cap=cap).total * 100, cents)

    @given(terms, st.integers(1, 400), st.integers(0, 400), st.none() | amounts.filter(bool))
    def test_line_amount_is_days_times_rate(
        self, terms: Terms, days: int, late_days: int, cap: Decimal | None
    ) -> None:
        worked = price_of_days(terms, days, late_days=late_days, cap=cap)
        for line in worked.lines:
            if line.days is not None:
                assert line.rate is not None
                self.assertEqual(line.amount, line.days * line.rate)
        self.assertEqual(
            sum(line.days or 0 for line in worked.lines if line.what in ("first_days", "daily")), days
        )

    def test_immediate_return_costs_one_day(self) -> None:
        self.assertEqual(price(TIERED_REGULAR, rented_at=MONDAY, due_at=MONDAY, until=MONDAY).days, 1)

    def test_minimum_is_a_separate_line(self) -> None:
        lines = price_of_days(NOVEL, 1).lines
        self.assertEqual([line.what for line in lines], ["daily", "minimum"])
        self.assertEqual([line.amount for line in lines], [Decimal("1.50"), Decimal("3.00")])

    def test_json_has_days_and_rate_where_they_apply(self) -> None:
        self.assertEqual(
            price_of_days(NOVEL, 1, late_days=2).as_json(),
            {
                "days": 1,
                "late_days": 2,
                "lines": [
                    {"what": "daily", "days": 1, "rate": "1.50", "amount": "1.50"},
                    {"what": "minimum", "amount": "3.00"},
                ],
            },
        )

    def test_lines_without_an_amount_are_left_out(self) -> None:
        due = MONDAY + 14 * DAY
        no_fee = price(Terms(), rented_at=MONDAY, due_at=due, until=due + 2 * DAY)
        not_late = price(Terms(late_fee=Decimal("0.50")), rented_at=MONDAY, due_at=due, until=due - DAY)
        exact = price_of_days(Terms(minimum=Decimal("3.00")), 3, cap=Decimal("3.00"))
        for worked in (no_fee, not_late, exact):
            self.assertEqual([line.what for line in worked.lines], ["daily"])
        self.assertEqual([worked.late_days for worked in (no_fee, not_late, exact)], [2, 0, 0])

    def test_each_late_day_costs_the_late_fee(self) -> None:
        terms = Terms(late_fee=Decimal("0.50"))
        due = MONDAY + 14 * DAY

        def total(until: datetime) -> Decimal:
            return price(terms, rented_at=MONDAY, due_at=due, until=until).total

        self.assertEqual(total(due), Decimal("14.00"))
        self.assertEqual(total(due + MICROSECOND), Decimal("15.50"))
        self.assertEqual(total(due + 2 * DAY), Decimal("17.00"))

    @given(instants, st.lists(st.timedeltas(DAY, 60 * DAY), max_size=3), lengths, lengths)
    def test_renewal_never_lowers_the_price(
        self, start: datetime, waits: list[timedelta], length: timedelta, more: timedelta
    ) -> None:
        terms = Terms(late_fee=Decimal("0.50"))
        due, now = start + 14 * DAY, start
        renewals: list[Renewal] = []

        def cost(until: datetime) -> Decimal:
            return price(terms, rented_at=start, due_at=due, until=until, renewals=renewals).total

        for wait in waits:
            now += wait
            before = cost(now)
            renewals.append(Renewal(at=now, due_before=due))
            due = max(due, now) + 14 * DAY
            self.assertEqual(cost(now), before)
        self.assertLessEqual(cost(start + length), cost(start + length + more))

    def test_later_renewals_do_not_affect_late_days(self) -> None:
        terms = Terms(late_fee=Decimal("0.50"))
        due = MONDAY + 14 * DAY
        renewed = [Renewal(at=MONDAY + 20 * DAY, due_before=due)]
        facts = {"rented_at": MONDAY, "due_at": MONDAY + 34 * DAY, "renewals": renewed}
        late = [
            price(terms, until=MONDAY + days * DAY, **facts).late_days  # type: ignore[arg-type]  # mixed values
            for days in (10, 14, 16, 20, 30, 34, 35)
        ]
        self.assertEqual(late, [0, 0, 2, 6, 6, 6, 7])

    def test_replacement_price_caps_the_total(self) -> None:
        worked = price_of_days(Terms(late_fee=Decimal("0.50")), 30, late_days=16, cap=Decimal("24.90"))
        self.assertEqual(worked.total, Decimal("24.90"))
        self.assertEqual(worked.lines[-1].what, "cap")
        self.assertEqual(worked.lines[-1].amount, Decimal("-13.10"))


# For 1, 2, 3, 4, 5 and 10 days, as in the table of README.md.
WORKED = {
    ("Flat", Kind.REGULAR): ["1.00", "2.00", "3.00", "4.00", "5.00", "10.00"],
    ("Flat", Kind.FICTION): ["1.00", "2.00", "3.00", "4.00", "5.00", "10.00"],
    ("Flat", Kind.NOVEL): ["1.00", "2.00", "3.00", "4.00", "5.00", "10.00"],
    ("By kind", Kind.REGULAR): ["1.50", "3.00", "4.50", "6.00", "7.50", "15.00"],
    ("By kind", Kind.FICTION): ["3.00", "6.00", "9.00", "12.00", "15.00", "30.00"],
    ("By kind", Kind.NOVEL): ["1.50", "3.00", "4.50", "6.00", "7.50", "15.00"],
    ("Tiered", Kind.REGULAR): ["2.00", "2.00", "3.50", "5.00", "6.50", "14.00"],
    ("Tiered", Kind.FICTION): ["3.00", "6.00", "9.00", "12.00", "15.00", "30.00"],
    ("Tiered", Kind.NOVEL): ["4.50", "4.50", "4.50", "6.00", "7.50", "15.00"],
}
WORKED_DAYS = [1, 2, 3, 4, 5, 10]


class WorkedTableTest(DatabaseTestCase):
    def test_default_price_lists_match_worked_table(self) -> None:
        for (name, kind), totals in WORKED.items():
            rate = PriceList.objects.get(name=name).rates.get(kind=kind)
            with self.subTest(price_list=name, kind=kind.label):
                self.assertEqual([str(price_of_days(rate, days).total) for days in WORKED_DAYS], totals)

    def test_tiered_is_in_force(self) -> None:
        self.assertEqual(PriceList.objects.in_force(MONDAY).get().name, "Tiered")

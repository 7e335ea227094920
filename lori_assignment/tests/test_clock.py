"""Only `clock` reads the current date and time, and adds days to a time."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from unittest import TestCase
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from lori_assignment import clock
from lori_assignment.tests.test_import_rule import modules

# Functions that read the clock; those in the second set do so only without an argument.
READS = {"now", "utcnow", "today", "time"}
READS_WITHOUT_ARGUMENT = {"localtime", "localdate"}
OWNERS = {"timezone", "datetime", "date", "time"}
CLOCK = "lori_assignment.clock"
# Counts calendar days, not time.
ADDS_TO_DATES = "rentals.demo.history"
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.timezones())  # noqa: DTZ001  # hypothesis adds the zones


def clock_reads(source: str) -> list[int]:
    """Return the lines of `source` that read a clock without `clock.now`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id in OWNERS and node.attr in READS:
            found.append(node.lineno)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and not node.args and not node.keywords:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in READS_WITHOUT_ARGUMENT:
                found.append(node.lineno)
    return found


def variable_periods(source: str) -> list[int]:
    """Return the lines of `source` that compute a timedelta of a variable number of days."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "timedelta"
        and not all(
            isinstance(value, ast.Constant)
            for value in (*node.args, *(keyword.value for keyword in node.keywords))
        )
    ]


class AddDaysTest(TestCase):
    def test_days_are_elapsed_time_across_clock_changes(self) -> None:
        for start, due in (
            ("2026-03-28T12:00:00+01:00", "2026-04-11T13:00:00+02:00"),
            ("2026-10-24T12:00:00+02:00", "2026-11-07T11:00:00+01:00"),
        ):
            with self.subTest(start):
                there = datetime.fromisoformat(start).astimezone(ZoneInfo("Europe/Berlin"))
                self.assertEqual(clock.add_days(there, 14), datetime.fromisoformat(due))

    @given(TIMES, st.integers(-400, 400))
    def test_a_day_has_24_hours_in_every_zone(self, at: datetime, days: int) -> None:
        later = clock.add_days(at, days)
        self.assertEqual(later - at.astimezone(UTC), timedelta(hours=24 * days))
        self.assertEqual(later.tzinfo, UTC)

    def test_no_other_module_adds_days_to_a_time(self) -> None:
        found = {name: variable_periods(path.read_text()) for name, path in modules()}
        self.assertEqual({name for name, lines in found.items() if lines}, {CLOCK, ADDS_TO_DATES})


class ClockTest(TestCase):
    def test_no_other_module_reads_a_clock(self) -> None:
        found = {name: clock_reads(path.read_text()) for name, path in modules() if name != CLOCK}
        self.assertEqual({name: lines for name, lines in found.items() if lines}, {})
        self.assertGreater(len(found), 40)

    def test_every_way_to_read_it_is_seen(self) -> None:
        for source in (
            "timezone.now()",
            "default=timezone.now",
            "datetime.now(UTC)",
            "date.today()",
            "time.time()",
            "timezone.localdate()",
            "localtime()",
        ):
            with self.subTest(source):
                self.assertNotEqual(clock_reads(source.replace("default=", "f = ")), [])
        for source in ("clock.now()", "timezone.localdate(at)", "time.monotonic()", "timezone.localtime(at)"):
            with self.subTest(source):
                self.assertEqual(clock_reads(source), [])

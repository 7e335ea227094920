"""Only `clock.now` reads the current date and time."""

from __future__ import annotations

import ast
from unittest import TestCase

from lori_assignment.tests.test_import_rule import modules

# Functions that read the clock; those in the second set do so only without an argument.
READS = {"now", "utcnow", "today", "time"}
READS_WITHOUT_ARGUMENT = {"localtime", "localdate"}
OWNERS = {"timezone", "datetime", "date", "time"}
CLOCK = "lori_assignment.clock"


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

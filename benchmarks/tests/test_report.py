"""Tests that missed targets are reported, and that ratios cancel out changes in machine load."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from benchmarks.compare import comparison
from benchmarks.report import failures, measured_table, ratio, verdict, verdict_table, verdicts
from benchmarks.targets import TARGETS, Faster, Slower, Within

FASTER = Faster("ours", "theirs", at_least=2, floor=0.5)
SLOWER = Slower("large", "small", at_most=1.5, ceiling=3)


def case(*rates: float, **figures: float) -> dict[str, Any]:
    return {**figures, "rate": rates[0], "rounds": [{"rate": rate} for rate in rates]}


def results(*, quick: bool = False, ours: float = 300) -> dict[str, Any]:
    """Return results with every case that a target names, equally fast but for `ours`."""
    names = {name for target in TARGETS for name in (target.case, getattr(target, "than", target.case))}
    cases = {name: case(100, p99_ms=1, database_ms=1, server_us=10, database_us=5) for name in names}
    cases["catalogue, token"] = case(ours, server_us=3, database_us=1)
    return {"quick": quick, "cases": cases, "machine": {}}


class VerdictTest(TestCase):
    def test_ratio_compares_paired_rounds(self) -> None:
        # The machine was three times slower in the second round, for both.
        cases = {"ours": case(300, 100, 290), "theirs": case(150, 50, 145)}
        self.assertEqual(ratio(cases, "ours", "theirs"), 2)

    def test_at_least_is_inclusive(self) -> None:
        for rate, met in ((199, False), (200, True)):
            found = verdict(FASTER, {"ours": case(rate), "theirs": case(100)}, quick=False)
            self.assertEqual(found and found.met, met)

    def test_at_most_compares_times(self) -> None:
        for rate, met in ((66, False), (67, True)):
            found = verdict(SLOWER, {"large": case(rate), "small": case(100)}, quick=False)
            self.assertEqual(found and found.met, met)

    def test_quick_run_checks_the_floor(self) -> None:
        for rate, met in ((49, False), (50, True)):
            found = verdict(FASTER, {"ours": case(rate), "theirs": case(100)}, quick=True)
            self.assertEqual(found and found.met, met)

    def test_quick_run_fails_if_every_round_misses(self) -> None:
        for rates, met in (((60, 10), True), ((40, 30), False)):
            cases = {"ours": case(*rates), "theirs": case(100, 100)}
            cases |= {"small": cases["theirs"], "large": case(*(rate * 2 / 3 for rate in rates))}
            for target in (FASTER, SLOWER):
                found = verdict(target, cases, quick=True)
                self.assertEqual(found and found.met, met, target)

    def test_quick_run_ignores_absolute_limits(self) -> None:
        limit = Within("ours", "p99_ms", below=500)
        cases = {"ours": case(1, p99_ms=501)}
        self.assertIsNone(verdict(limit, cases, quick=True))
        found = verdict(limit, cases, quick=False)
        self.assertIs(found and found.met, False)

    def test_unmeasured_target_is_not_met(self) -> None:
        for target in (FASTER, SLOWER, Within("ours", "p99_ms", below=500)):
            found = verdict(target, {}, quick=False)
            self.assertIsNone(found and found.met)
            self.assertIsNotNone(found)

    def test_failed_case_is_not_met_and_explained(self) -> None:
        cases = {"ours": {"failed": "GET /home: of 9 answers 9 refuse.", "rounds": []}, "theirs": case(100)}
        found = verdict(FASTER, cases, quick=False)
        self.assertIsNone(found and found.met)
        self.assertIn("9 refuse", failures({"cases": cases}))
        self.assertIn("failed", measured_table({"cases": cases}))

    def test_table_marks_missed_targets(self) -> None:
        self.assertIn("NO", verdict_table(results(ours=1)))
        missed = [
            {one.what for one in verdicts(results(quick=quick, ours=100)) if not one.met}
            for quick in (True, False)
        ]
        # Floors are lower than targets.
        self.assertLess(*missed)


class TargetsTest(TestCase):
    def test_floors_do_not_exceed_targets(self) -> None:
        for target in TARGETS:
            with self.subTest(target):
                if isinstance(target, Faster) and target.floor is not None:
                    self.assertLessEqual(target.floor, target.at_least)
                if isinstance(target, Slower) and target.ceiling is not None:
                    self.assertGreaterEqual(target.ceiling, target.at_most)

    def test_every_ratio_has_a_quick_floor(self) -> None:
        guarded = {
            (target.case, target.than)
            for target in TARGETS
            if (isinstance(target, Faster) and target.floor)
            or (isinstance(target, Slower) and target.ceiling)
        }
        asked = {(target.case, target.than) for target in TARGETS if not isinstance(target, Within)}
        self.assertEqual(guarded, asked)


class ComparisonTest(TestCase):
    def test_comparison_shows_both_and_their_ratio(self) -> None:
        told = comparison(results(ours=100), results(ours=300))
        row = next(
            row
            for row in told.splitlines()
            if row.startswith("| catalogue, token / catalogue, token: stock DRF")
        )
        self.assertEqual([cell.strip() for cell in row.split("|")[2:5]], ["1.00", "3.00", "3.00"])

    def test_different_machines_are_reported(self) -> None:
        one, other = results(), results()
        other["machine"] = {"cores": 4}
        self.assertNotIn("two machines", comparison(one, one))
        self.assertIn("two machines", comparison(one, other))

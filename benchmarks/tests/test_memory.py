"""Tests the verdict on memory: the maximum, and growth in the second half."""

from __future__ import annotations

from unittest import TestCase

from benchmarks.memory import GROWTH, LONG_ENOUGH, MAX_MB, verdict


class VerdictTest(TestCase):
    def test_memory_up_to_the_limit_passes(self) -> None:
        self.assertEqual(verdict([MAX_MB - 20.0, float(MAX_MB)]), "")
        self.assertIn("121 MB", verdict([100.0, MAX_MB + 1.0, 100.0]))

    def test_growth_in_the_second_half_is_found(self) -> None:
        steady = [90.0, *[100.0] * (LONG_ENOUGH - 1)]
        self.assertEqual(verdict(steady), "")
        self.assertEqual(verdict([*steady[:-1], 100.0 + GROWTH]), "")
        self.assertIn("from 100 MB to 104", verdict([*steady[:-1], 101.0 + GROWTH]))

    def test_growth_during_warm_up_is_ignored(self) -> None:
        warming_up = [60.0 + 2 * minute for minute in range(LONG_ENOUGH // 4)]
        self.assertEqual(verdict([*warming_up, *[70.0] * LONG_ENOUGH]), "")

    def test_short_run_is_not_judged_for_growth(self) -> None:
        self.assertEqual(verdict([80.0, 100.0]), "")

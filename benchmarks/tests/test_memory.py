"""What a worker holds is judged by its most, and by whether it still grows."""

from __future__ import annotations

from unittest import TestCase

from benchmarks.memory import GROWTH, LONG_ENOUGH, MOST, verdict


class VerdictTest(TestCase):
    def test_up_to_the_most_is_allowed_and_no_more(self) -> None:
        self.assertEqual(verdict([MOST - 20.0, float(MOST)]), "")
        self.assertIn("121 MB", verdict([100.0, MOST + 1.0, 100.0]))

    def test_who_grows_after_the_first_half_is_seen(self) -> None:
        steady = [90.0, *[100.0] * (LONG_ENOUGH - 1)]
        self.assertEqual(verdict(steady), "")
        self.assertEqual(verdict([*steady[:-1], 100.0 + GROWTH]), "")
        self.assertIn("from 100 MB to 104", verdict([*steady[:-1], 101.0 + GROWTH]))

    def test_growth_at_the_start_is_none(self) -> None:
        warming_up = [60.0 + 2 * minute for minute in range(LONG_ENOUGH // 4)]
        self.assertEqual(verdict([*warming_up, *[70.0] * LONG_ENOUGH]), "")

    def test_a_short_look_says_nothing_of_growth(self) -> None:
        self.assertEqual(verdict([80.0, 100.0]), "")

"""Tests the command `expire_holds`."""

from __future__ import annotations

from datetime import datetime
from io import StringIO
from unittest import mock

from django.core.management import call_command

from rentals.models import Hold
from rentals.tests.test_holds import DAY, MONDAY, QueueTestCase


class ExpireHoldsTest(QueueTestCase):
    def run_at(self, at: datetime) -> str:
        printed = StringIO()
        with mock.patch("lori_assignment.clock.now", return_value=at):
            call_command("expire_holds", stdout=printed)
        return printed.getvalue()

    def test_command_reports_counts_and_is_idempotent(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        late = MONDAY + 5 * DAY
        self.assertEqual(self.run_at(MONDAY + 2 * DAY), "Holds expired: 0. Copies set aside: 0.\n")
        self.assertEqual(self.run_at(late), "Holds expired: 1. Copies set aside: 1.\n")
        self.assertEqual(self.run_at(late), "Holds expired: 0. Copies set aside: 0.\n")
        self.assertEqual(self.states(first, second), [Hold.Status.EXPIRED, Hold.Status.READY])

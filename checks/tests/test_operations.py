"""Tests that the runbook covers every alarm and scheduled command, with the deployed thresholds."""

from __future__ import annotations

import re
from unittest import TestCase

from commands import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text()


class RunbookTest(TestCase):
    def test_alarms_and_scheduled_commands_are_explained(self) -> None:
        modules = ROOT / "terraform" / "modules"
        code = "\n".join(path.read_text() for path in modules.glob("*/*.tf"))
        named = set(re.findall(r'alarm_name += "\$\{var\.name\}-([\w-]+?)-?(?:\$\{.*)?"', code))
        self.assertGreaterEqual(named, {"5xx", "latency"})
        for name in named - {"database"}:
            with self.subTest(name):
                self.assertRegex(TEXT, rf"\| `{name}(-…)?` \|")
        jobs = re.findall(
            r"^  name: ([\w-]+)$", (ROOT / "kubernetes/base/commands.yaml").read_text(), re.MULTILINE
        )
        self.assertGreater(len(jobs), 2)
        for job in jobs:
            with self.subTest(job):
                self.assertIn(f"| `{job}` |", TEXT)

    def test_alarm_thresholds_are_those_of_terraform(self) -> None:
        for name, unit in (("connections_alarm", ""), ("memory_alarm_mib", "")):
            values = [
                re.search(
                    rf"{name} += (\d+)",
                    (ROOT / "terraform/environments" / environment / "main.tf").read_text(),
                )
                for environment in ("prod", "staging")
            ]
            prod, staging = (found[1] if found else "" for found in values)
            with self.subTest(name):
                self.assertRegex(TEXT, rf"{prod}{unit}[^|]*\(staging {staging}\)")

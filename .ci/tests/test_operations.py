"""docs/operations.md is true where that can be seen from here: its sums, its sizes, and what it points to."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from unittest import TestCase

from commands import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text()
OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def tables(text: str = TEXT) -> list[list[list[str]]]:
    """Every table, as rows of cells."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        for block in blocks
    ]


def worked_out(words: str) -> float:
    """What an arithmetic of numbers, +, × and / comes to."""

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.BinOp(left=left, op=op, right=right):
                return OPERATORS[type(op)](value(left), value(right))
        raise AssertionError(f"no arithmetic: {words}")

    return value(ast.parse(words.replace("×", "*").replace("730 h", "730"), mode="eval").body)


class CostTest(TestCase):
    def bills(self) -> dict[str, list[list[str]]]:
        return {table[0][0]: table[2:] for table in tables() if table[0][1:] == ["arithmetic", "USD"]}

    def test_every_line_is_worked_out_rightly_and_the_sum_is_that_of_the_lines(self) -> None:
        self.assertEqual(set(self.bills()), {"prod", "staging"})
        for environment, rows in self.bills().items():
            *lines, (_, _, total) = rows
            self.assertGreater(len(lines), 10)
            for what, arithmetic, printed in lines:
                with self.subTest(environment=environment, line=what):
                    self.assertAlmostEqual(worked_out(arithmetic), float(printed), delta=0.00501)
            cents = sum(round(float(printed) * 100) for _, _, printed in lines)
            self.assertEqual(f"**{cents / 100:.2f}**", total.strip())

    def test_the_sizes_are_those_of_terraform(self) -> None:
        for environment, rows in self.bills().items():
            code = (ROOT / "terraform" / "environments" / environment / "main.tf").read_text()
            bill = "\n".join(" ".join(row) for row in rows)
            found = dict(re.findall(r"^ +(\w+) += ([^#\n]+)$", code, re.MULTILINE))
            with self.subTest(environment):
                self.assertIn(found["instance_class"].strip('"'), bill)
                self.assertIn(f"its disk, {found['storage_gib']} GB", bill)
                self.assertEqual("Multi-AZ" in bill, found["multi_az"] == "true")
                for many, what in (
                    ("nat_per_zone", "NAT gateway in"),
                    ("endpoints_per_zone", "endpoints in"),
                ):
                    self.assertIn(f"{what} {3 if found[many] == 'true' else 1} zone", bill)

    def test_the_pods_are_those_of_kubernetes(self) -> None:
        base = (ROOT / "kubernetes" / "base" / "deployment.yaml").read_text()
        for environment, rows in self.bills().items():
            size = (ROOT / "kubernetes" / "overlays" / environment / "size.yaml").read_text()
            pods = re.search(r"minReplicas: (\d+)", size)
            asked = re.search(r"requests: \{cpu: (\d+)m, memory: (\d+)Mi\}", size) or re.search(
                r"requests: \{cpu: (\d+)m, memory: (\d+)Mi\}", base
            )
            assert pods
            assert asked
            cpu, memory = int(asked[1]) / 1000, (int(asked[2]) + 256) / 1024
            shop = next(row for row in rows if row[0].startswith("shop, "))
            with self.subTest(environment):
                self.assertEqual(
                    shop[:2],
                    [
                        f"shop, {pods[1]} pods of {cpu:g} vCPU and {memory:g} GB",
                        f"{pods[1]} × 730 × ({cpu:g} × 0.04048 + {memory:g} × 0.004445)",
                    ],
                )

    def test_the_commands_by_the_clock_are_counted(self) -> None:
        code = (ROOT / "kubernetes" / "base" / "commands.yaml").read_text()
        hours = re.findall(r"^  schedule: \d+ (\S+) \* \* \*$", code, re.MULTILINE)
        self.assertEqual(len(hours), code.count("kind: CronJob"))
        runs = sum(24 if hour == "*" else 1 for hour in hours)
        for environment, rows in self.bills().items():
            with self.subTest(environment):
                (arithmetic,) = (row[1] for row in rows if row[0].startswith("commands by the clock"))
                self.assertTrue(arithmetic.startswith(f"{runs} × "), arithmetic)


class TruthTest(TestCase):
    def test_what_it_points_to_is_there(self) -> None:
        tops = r"\.ci|\.github|accounts|books|docs|kubernetes|lori_assignment|rentals|terraform"
        paths = {
            path for path in re.findall(rf"`((?:{tops})/[\w./-]+)", TEXT) if not path.endswith(".tfvars")
        }
        self.assertGreater(len(paths), 15)
        for path in sorted(paths):
            with self.subTest(path):
                self.assertTrue((ROOT / path).exists())

    def test_its_own_links_lead_somewhere(self) -> None:
        titles = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        links = set(re.findall(r"\]\(#([^)]+)\)", TEXT.replace("\n", "")))
        self.assertGreater(len(links), 5)
        self.assertLessEqual(links, anchors)

    def test_every_alarm_and_every_command_by_the_clock_is_explained(self) -> None:
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

    def test_the_numbers_of_the_alarms_are_those_of_terraform(self) -> None:
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

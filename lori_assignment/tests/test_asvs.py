"""docs/security.md is true: it has all of ASVS 5.0's levels 1 and 2, and what it names is there."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from typing import NamedTuple
from unittest import TestCase

from django.conf import settings

DOCUMENT = (settings.BASE_DIR / "docs" / "security.md").read_text()
# Of each section the levels of its requirements, in their order: of 1.2 the first is level 1, the last 3.
LEVELS = {
    "1.1": "22",
    "1.2": "1111122223",
    "1.3": "112222222223",
    "1.4": "222",
    "1.5": "123",
    "2.1": "122",
    "2.2": "112",
    "2.3": "12223",
    "2.4": "23",
    "3.1": "3",
    "3.2": "113",
    "3.3": "12223",
    "3.4": "11222233",
    "3.5": "11122333",
    "3.6": "3",
    "3.7": "22333",
    "4.1": "12233",
    "4.2": "23333",
    "4.3": "22",
    "4.4": "1222",
    "5.1": "2",
    "5.2": "112333",
    "5.3": "113",
    "5.4": "222",
    "6.1": "122",
    "6.2": "111111112222",
    "6.3": "11223333",
    "6.4": "112233",
    "6.5": "22222333",
    "6.6": "2223",
    "6.7": "33",
    "6.8": "2222",
    "7.1": "222",
    "7.2": "1111",
    "7.3": "22",
    "7.4": "11222",
    "7.5": "223",
    "7.6": "22",
    "8.1": "1233",
    "8.2": "1123",
    "8.3": "133",
    "8.4": "23",
    "9.1": "111",
    "9.2": "1222",
    "10.1": "22",
    "10.2": "223",
    "10.3": "22223",
    "10.4": "1111122222233333",
    "10.5": "22222",
    "10.6": "22",
    "10.7": "222",
    "11.1": "2233",
    "11.2": "22233",
    "11.3": "11233",
    "11.4": "1222",
    "11.5": "23",
    "11.6": "23",
    "11.7": "33",
    "12.1": "12233",
    "12.2": "11",
    "12.3": "22223",
    "13.1": "2333",
    "13.2": "222223",
    "13.3": "2233",
    "13.4": "1222233",
    "14.1": "22",
    "14.2": "12223333",
    "14.3": "122",
    "15.1": "12233",
    "15.2": "12233",
    "15.3": "1222222",
    "15.4": "3333",
    "16.1": "2",
    "16.2": "22222",
    "16.3": "2222",
    "16.4": "222",
    "16.5": "2223",
    "17.1": "23",
    "17.2": "22223333",
    "17.3": "22",
}
WANTED = {
    f"{section}.{number}": int(level)
    for section, levels in LEVELS.items()
    for number, level in enumerate(levels, start=1)
    if level in "12"
}
MET, NOT_MET, NOT_APPLICABLE = "met", "not met", "not applicable"
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| (\d) \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)
# A test, or a whole class or module of them, by its name in Python.
DOTTED = re.compile(r"(?:accounts|books|rentals|lori_assignment)(?:\.\w+)+")
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+|[\w-]+\.(?:txt|toml|md|yaml)")


class Row(NamedTuple):
    number: str
    level: str
    asks: str
    verdict: str
    why: str


def rows_of(document: str) -> list[Row]:
    return [Row(*found) for found in ROW.findall(document)]


def faults_of(document: str) -> list[str]:
    """What is wrong with the map, a sentence each."""
    rows = rows_of(document)
    counted = Counter(row.number for row in rows)
    faults = [f"{number} is not there" for number in WANTED if number not in counted]
    faults += [f"{number} stands there {times} times" for number, times in counted.items() if times > 1]
    for row in rows:
        faults += [f"{row.number} {fault}" for fault in _faults_of_row(row, document)]
    return faults


def _faults_of_row(row: Row, document: str) -> list[str]:
    if row.number not in WANTED:
        return ["is none of level 1 or 2"]
    faults = [] if row.level == str(WANTED[row.number]) else ["has another level"]
    if not row.asks:
        faults.append("does not say what it asks")
    if row.verdict not in (MET, NOT_MET, NOT_APPLICABLE):
        return [*faults, f"has the verdict {row.verdict!r}"]
    shown = [
        name for name in re.findall("`([^`]+)`", row.why) if DOTTED.fullmatch(name) or PATH.fullmatch(name)
    ]
    sections = re.findall(r"\]\(#([\w-]+)\)", row.why)
    if row.verdict == MET and not shown and not sections:
        faults.append("is met by nothing")
    # A sentence, and not a name alone.
    said = re.sub(r"`[^`]*`", "", row.why)
    if row.verdict != MET and len(re.findall(r"[A-Za-z]{2,}", said)) < 4:
        faults.append("has no reason")
    faults += [f"names {name}, which is not there" for name in shown if not _is_there(name)]
    return faults + [
        f"leads to #{one}, which is not there" for one in sections if one not in _anchors(document)
    ]


def _anchors(document: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def _is_there(name: str) -> bool:
    if not DOTTED.fullmatch(name):
        return (settings.BASE_DIR / name).exists()
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


GOOD = f"`{__name__}.MapTest.test_it_is_true`"


class MapTest(TestCase):
    def test_it_is_true(self) -> None:
        self.assertEqual(faults_of(DOCUMENT), [])

    def test_the_numbers_are_those_of_asvs(self) -> None:
        """As ASVS 5.0.0 counts them itself."""
        self.assertEqual(Counter("".join(LEVELS.values())), {"1": 70, "2": 183, "3": 92})

    def test_the_document_counts_itself(self) -> None:
        counted = Counter(row.verdict for row in rows_of(DOCUMENT))
        said = f"{counted[MET]} met, {counted[NOT_APPLICABLE]} not applicable, {counted[NOT_MET]} not met"
        self.assertIn(said, DOCUMENT)

    def test_each_kind_of_fault_is_found(self) -> None:
        rest = "\n".join(f"| {number} | {level} | x | met | {GOOD} |" for number, level in WANTED.items())
        self.assertEqual(faults_of(rest), [])
        for row, fault in (
            ("", "1.1.1 is not there"),
            (f"| 1.1.1 | 2 | x | met | {GOOD} |\n" * 2, "1.1.1 stands there 2 times"),
            (f"| 1.1.1 | 1 | x | met | {GOOD} |", "1.1.1 has another level"),
            (f"| 1.1.1 | 2 |  | met | {GOOD} |", "1.1.1 does not say what it asks"),
            (f"| 1.1.1 | 2 | x |  | {GOOD} |", "1.1.1 has the verdict ''"),
            (f"| 1.1.1 | 2 | x | perhaps | {GOOD} |", "1.1.1 has the verdict 'perhaps'"),
            ("| 1.1.1 | 2 | x | met | by good will |", "1.1.1 is met by nothing"),
            ("| 1.1.1 | 2 | x | not applicable |  |", "1.1.1 has no reason"),
            (f"| 1.1.1 | 2 | x | not met | {GOOD} |", "1.1.1 has no reason"),
            (f"| 1.1.1 | 2 | x | met | {GOOD[:-1]}x` |", f"1.1.1 names {GOOD[1:-1]}x, which is not there"),
            ("| 1.1.1 | 2 | x | met | `accounts/x.py` |", "1.1.1 names accounts/x.py, which is not there"),
            ("| 1.1.1 | 2 | x | met | [x](#nowhere) |", "1.1.1 leads to #nowhere, which is not there"),
            (f"| 1.2.10 | 3 | x | met | {GOOD} |", "1.2.10 is none of level 1 or 2"),
        ):
            with self.subTest(row=row):
                others = [line for line in rest.splitlines() if not line.startswith("| 1.1.1 |")]
                self.assertIn(fault, faults_of("\n".join([row, *others])))

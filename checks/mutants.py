"""Tests the tests: changes the domain in one place at a time, and counts the changes that no test notices.

    .venv/mutants/bin/python checks/mutants.py [--sample N] [--seed N] [--minutes N] [--jobs N]

cosmic-ray makes the changed code, the mutants, in copies of the project. checks/mutants.toml names the files,
the tests to try first, and the mutants that no test can kill, as they behave like the original. Prints
those that survive all tests of rentals and books. Exits with 1 if fewer than 95 percent of the others are
killed, or if there was no time for the whole sample.
"""

# ruff: noqa: INP001, S603, T201  # A script, which prints and starts the tests.
from __future__ import annotations

import argparse
import ast
import hashlib
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
CONFIG = tomllib.loads((ROOT / "checks" / "mutants.toml").read_text())
ALL_TESTS = ["rentals", "books"]
BAR = 95


@dataclass(frozen=True)
class Mutant:
    """One change: the line `old` of `function` becomes `new`."""

    spec: MutationSpec
    function: str
    old: str
    new: str

    @property
    def place(self) -> str:
        return f"{self.spec.module_path}:{self.spec.start_pos[0]}"

    @property
    def reason_if_equivalent(self) -> str:
        facts = {
            "file": str(self.spec.module_path),
            "function": self.function,
            "old": self.old,
            "new": self.new,
        }
        for named in CONFIG["equivalent"]:
            if all(facts[name] == value for name, value in named.items() if name != "reason"):
                return named["reason"]
        return ""


class Unannotated(ast.NodeTransformer):
    def visit(self, node: ast.AST) -> ast.AST:
        for field in {"annotation", "returns"} & set(node._fields):
            setattr(node, field, None)
        return self.generic_visit(node)


def what_runs(code: str) -> str:
    """Return `code` without annotations, which are not evaluated; empty if it is not Python."""
    try:
        return ast.dump(Unannotated().visit(ast.parse(code)))
    except SyntaxError:
        return ""


def mutants(seed: int) -> Iterator[Mutant]:
    """Yield all mutants in an order that depends on `seed`."""
    codes = {Path(file): (ROOT / file).read_text() for file in CONFIG["first_tests"]}
    skipped = {file: ("", what_runs(code)) for file, code in codes.items()}
    with use_db(":memory:", WorkDB.Mode.create) as work:
        init(codes, work, {})
        specs = [item.mutations[0] for item in work.pending_work_items]
    ranked = []
    repeated: Counter[tuple[object, ...]] = Counter()
    is_used = re.compile("core/(" + "|".join(CONFIG["operators"]) + ")").fullmatch
    for spec in filter(lambda spec: is_used(spec.operator_name), specs):
        row, column = spec.start_pos
        lines = codes[spec.module_path].splitlines()
        line = lines[row - 1]
        if line.startswith("*,", column):  # Marks keyword arguments.
            continue
        function = spec.definition_name or ""
        if line.lstrip().startswith("@"):  # A decorator is outside its function.
            function = re.findall(r"(?:def|class) (\w+)", "\n".join(lines[row:]))[0]
        # Without the number of the line, so that a change elsewhere does not choose another sample.
        what = (str(spec.module_path), function, line.strip(), column - len(line), spec.operator_name)
        rank = hashlib.sha256(repr((seed, what, repeated[what])).encode()).digest()
        repeated[what] += 1
        ranked.append((rank, spec, function, line))
    for _, spec, function, line in sorted(ranked, key=lambda entry: entry[0]):
        code = mutate_code(codes[spec.module_path], get_operator(spec.operator_name)(), spec.occurrence)
        if what_runs(code) not in skipped[spec.module_path]:
            is_removed = spec.operator_name.endswith("RemoveDecorator")
            new = "" if is_removed else code.splitlines()[spec.start_pos[0] - 1].strip()
            yield Mutant(spec, function, line.strip(), new)


def test_command(tests: list[str]) -> list[str]:
    options = ["--keepdb", "--failfast", "--exclude-tag", "browser"]
    return [str(PYTHON), "manage.py", "test", *options, *tests]


def enter_copy(of: Path, folder: Path) -> None:
    """Copy the project `of` to `folder`, and go there."""
    shutil.copytree(of, folder, ignore=shutil.ignore_patterns(".*", "var", "__pycache__", "node_modules"))
    os.environ |= {"DEBUG": "on", "DATABASE_URL": "sqlite:///var/shop.sqlite3"}
    os.environ["SQLITE_TEST_FILE"] = str(folder / "var" / "test.sqlite3")
    os.chdir(folder)


def start_worker(original: Path) -> None:
    enter_copy(original, original.with_name(f"copy-{os.getpid()}"))


def make_template(folder: Path) -> Path:
    """Return the file of a migrated database."""
    for made in (["migrate", "--verbosity=0"], ["createcachetable", "--verbosity=0"]):
        subprocess.run([PYTHON, "manage.py", *made], check=True, stdout=subprocess.DEVNULL)
    return Path("var", "shop.sqlite3").rename(folder / "template.sqlite3")


def renew_database(template: Path) -> None:
    """Give the copy a database that no earlier test has changed."""
    shutil.rmtree("var", ignore_errors=True)
    Path("var").mkdir()
    shutil.copy(template, "var/test.sqlite3")


def try_mutant(mutant: Mutant, template: Path, timeout: float, deadline: float) -> tuple[str, str]:
    """Return killed, timed out, survived or untried, and the diff."""
    first_tests = CONFIG["first_tests"][str(mutant.spec.module_path)]
    diff = ""
    for tests, seconds in ((first_tests, timeout), (ALL_TESTS, 3 * timeout)):
        if time.time() > deadline:
            return "untried", diff
        renew_database(template)
        result = mutate_and_test([mutant.spec], shlex.join(test_command(tests)), seconds)
        diff = result.diff or ""
        if result.test_outcome == TestOutcome.KILLED:
            return "timed out" if result.output == "timeout" else "killed", diff
        if result.test_outcome != TestOutcome.SURVIVED:
            raise RuntimeError(result.output)
    return "survived", diff


def measure_tests(template: Path) -> float:
    """Return how many seconds all tests take on the unchanged code, on which they must pass."""
    renew_database(template)
    start = time.monotonic()
    tests = subprocess.run(test_command(ALL_TESTS), capture_output=True, text=True, check=False)
    if tests.returncode:
        sys.exit(f"mutants: the tests fail without a change.\n{tests.stderr}")
    return time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Count the changes of the domain's code that no test notices."
    )
    parser.add_argument("--sample", type=int, default=200, help="how many mutants to try (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample (default: 1)")
    parser.add_argument("--minutes", type=float, default=90, help="when to stop (default: after 90)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes (default: one for each core)"
    )
    given = parser.parse_args()
    deadline = time.time() + 60 * given.minutes
    os.chdir(ROOT)
    sample = list(islice(mutants(given.seed), given.sample))
    equivalent = [mutant for mutant in sample if mutant.reason_if_equivalent]
    to_try = [mutant for mutant in sample if not mutant.reason_if_equivalent]
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="lori-mutants-") as name:
        folder = Path(name)
        # So that a change of a file during the run does not matter.
        original = folder / "original"
        enter_copy(ROOT, original)
        template = make_template(folder)
        timeout = measure_tests(template)
        print(f"All tests take {timeout:.0f} seconds. Trying {len(to_try)} mutants …", flush=True)
        attempt = partial(try_mutant, template=template, timeout=timeout, deadline=deadline)
        with multiprocessing.Pool(given.jobs, start_worker, [original]) as pool:
            for mutant, (outcome, diff) in zip(to_try, pool.imap(attempt, to_try), strict=True):
                found[outcome] += 1
                print(f"{outcome}: {mutant.place}", flush=True)
                if outcome == "survived":
                    print(diff, flush=True)
        os.chdir(ROOT)
    for mutant in equivalent:
        print(f"equivalent: {mutant.place}: {mutant.old} → {mutant.new}\n    {mutant.reason_if_equivalent}")
    killed = found["killed"] + found["timed out"]
    score = 100 * killed / len(to_try)
    print(f"{killed} of {len(to_try)} mutants were killed, {score:.1f} percent; at least {BAR} must be.")
    print(f"Timed out: {found['timed out']}, survived: {found['survived']}, equivalent: {len(equivalent)}.")
    if found["untried"]:
        print(f"mutants: there was no time for {found['untried']} mutants.")
    return 0 if score >= BAR and not found["untried"] else 1


if __name__ == "__main__":
    sys.exit(main())

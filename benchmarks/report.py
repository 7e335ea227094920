"""Formats results as tables and compares them with their targets."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from benchmarks.targets import TARGETS, Faster, Target, Within

Results = Mapping[str, Any]


class Verdict(NamedTuple):
    """A target, the measured value, and whether it is met; None where nothing was measured."""

    what: str
    measured: float | None
    target: str
    met: bool | None


def ratio(cases: Mapping[str, Any], one: str, other: str, *, best: bool = False) -> float | None:
    """Divide the rate of one case by that of another; return the median of the rounds, or None without both.

    With `best`, return the highest ratio instead. This suits a few rounds: a regression shows in all of them,
    other load on the machine only in some.
    """
    sides = [cases.get(name, {}).get("rounds", []) for name in (one, other)]
    ratios = [this["rate"] / that["rate"] for this, that in zip(*sides, strict=False)]
    if not ratios:
        return None
    return max(ratios) if best else median(ratios)


def verdict(target: Target, cases: Mapping[str, Any], *, quick: bool) -> Verdict | None:
    """Compare a target with the results. Returns None if `make bench-quick` does not check it."""
    if isinstance(target, Within):
        measured = cases.get(target.case, {}).get(target.figure)
        what = f"{target.case}: {target.figure.replace('_', ' ')}"
        if quick:
            return None
        return Verdict(
            what, measured, f"< {target.below:g}", None if measured is None else measured < target.below
        )
    found = ratio(cases, target.case, target.than, best=quick)
    if isinstance(target, Faster):
        asked = target.floor if quick else target.at_least
        what, measured, sign = f"{target.case} / {target.than}", found, "≥"
    else:
        asked = target.ceiling if quick else target.at_most
        what, measured, sign = f"time of {target.case} / {target.than}", found and 1 / found, "≤"
    if asked is None:
        return None
    met = None if measured is None else (measured >= asked if sign == "≥" else measured <= asked)
    return Verdict(what, measured, f"{sign} {asked:.3g}", met)


def verdicts(results: Results) -> list[Verdict]:
    found = [verdict(target, results["cases"], quick=results["quick"]) for target in TARGETS]
    return [one for one in found if one]


def table(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(cells)} |"

    rule = f"| {' | '.join('-' * width for width in widths)} |"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def measured_table(results: Results) -> str:
    """Return a table with a row for each case."""
    rows = [
        [
            name,
            "failed" if "failed" in case else _number(case, "rate"),
            _number(case, "p50_ms", ".1f"),
            _number(case, "p99_ms", ".1f"),
            _number(case, "server_us"),
            _number(case, "database_us"),
            _number(case, "database_ms", ".2f"),
            _number(case, "statements", ".1f"),
        ]
        for name, case in results["cases"].items()
    ]
    head = ["case", "a second", "p50 ms", "p99 ms", "CPU µs server", "database", "ms in it", "statements"]
    return table(head, rows)


def _number(case: Mapping[str, Any], name: str, form: str = ",.0f") -> str:
    return "" if case.get(name) is None else format(case[name], form)


def servers_table(results: Results) -> str:
    rows = [
        [name, f"{server['ready_after']:.1f}", f"{server['largest']:.0f}", f"{server['all']:.0f}"]
        for name, server in results["servers"].items()
    ]
    return table(["server", "ready after s", "MB of the largest process", "MB of all"], rows)


def verdict_table(results: Results) -> str:
    """Return a table with a row for each target and the measured value."""
    words = {True: "yes", False: "NO", None: "not measured"}
    rows = [
        [one.what, "" if one.measured is None else f"{one.measured:.2f}", one.target, words[one.met]]
        for one in verdicts(results)
    ]
    return table(["case", "measured", "floor" if results["quick"] else "target", "met"], rows)


def failures(results: Results) -> str:
    """Return why cases failed."""
    found = [f"{name}: {case['failed']}" for name, case in results["cases"].items() if "failed" in case]
    return "\n".join(found) or "No case failed."


def whole(results: Results) -> str:
    machine = results["machine"]
    return "\n\n".join(
        [
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
            + ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
            f"small: {results['sizes']['small']}; large: {results['sizes']['large']}",
            measured_table(results),
            failures(results),
            servers_table(results),
            verdict_table(results),
        ]
    )

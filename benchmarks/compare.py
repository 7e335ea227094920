"""Compares two results: the ratios that have targets, and the CPU time per request.

    make bench-compare A=var/bench/before.json B=var/bench/after.json

Rates of two runs cannot be compared, only the ratios within each run. CPU time per request is shown as well,
because other load on the machine affects it least.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import Results, ratio, table
from benchmarks.targets import TARGETS, Slower, Within


def comparison(one: Results, other: Results) -> str:
    lines = []
    for target in TARGETS:
        if isinstance(target, Within):
            continue
        before, after = (ratio(results["cases"], target.case, target.than) for results in (one, other))
        if before and after:
            what = f"{target.case} / {target.than}"
            if isinstance(target, Slower):
                before, after, what = 1 / before, 1 / after, f"time of {what}"
            lines.append([what, f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f}"])
    cpu = []
    for name, case in other["cases"].items():
        was, now = _cpu(one["cases"].get(name, {})), _cpu(case)
        if was and now:
            cpu.append([name, f"{was:,.0f}", f"{now:,.0f}", f"{now / was:.2f}"])
    machines = [results["machine"] for results in (one, other)]
    note = (
        "" if machines[0] == machines[1] else "\n\nThe results are from two machines, or from two versions."
    )
    return (
        table(["ratio", "A", "B", "B / A"], lines)
        + "\n\n"
        + table(["CPU of server and database, µs per request", "A", "B", "B / A"], cpu)
        + note
    )


def _cpu(case: Any) -> float:
    return float((case.get("server_us") or 0) + (case.get("database_us") or 0))


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("Name two results: make bench-compare A=... B=...")
    one, other = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    print(comparison(one, other))


if __name__ == "__main__":
    main()

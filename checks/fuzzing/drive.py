"""Send a served demo shop what its document allows and, above all, what it does not, in every role.

    python drive.py SHOP [--log FILE] [--examples N] [--seed N] [--deep]

SHOP is the address of one that runs without limits on how often one may try. schemathesis makes the calls.
Fails on an answer of 500 and above, on one that the document does not have (by its status, its kind, its
headers or its body), on one that takes over a second twice, on a crash in the server's log, whatever was
answered; and where the run was blind: when an operation of the document was not called in each role, or
more than a few never answered with success.

The same seed makes the same calls, as far as these don't depend on what the shop answers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

from shop import ROLES, call
from words import configuration, ids_and_words

HERE = Path(__file__).resolve().parent
METHODS = {"get", "put", "post", "delete", "patch"}
# Every boundary of the document costs 40 calls an operation: the short form goes through them in one role.
OLDER = "/api/v[12]/"
WITHOUT_BOUNDARIES = {"superuser": f"^{OLDER}", "staff": f"^(?!{OLDER})", "member": "", "anonymous": ""}
# So many at once, on the two cores that the server wants too.
LANES = 2
SLOWEST = 1
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
]
# Success takes a key that only stands in a mail.
NEEDS_A_MAIL = {
    "POST /api/rest-auth/password/reset/confirm/",
    "POST /api/rest-auth/registration/verify-email/",
}
TOO_MANY = "429"
# What two lanes do crosses: another call may have taken what one would have succeeded with, and in a short
# run no other comes. So many of the operations may be missed by that, and not more.
BY_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """What one role was answered: by operation, each status and how often; and what schemathesis says."""

    role: str
    answers: dict[str, dict[str, int]]
    passed: bool
    log: str
    seconds: float


def operations_of(document: dict[str, Any]) -> list[str]:
    """As schemathesis calls them."""
    return [
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method in METHODS
    ]


def run(role: str, *, shop: str, document: dict[str, Any], place: Path, options: argparse.Namespace) -> Run:
    """All operations of the document as one of ROLES, by a schemathesis of its own."""
    began = time.monotonic()
    folder = place / role
    folder.mkdir()
    ids, words = ids_and_words(role, shop=shop, document=document)
    (folder / "ids.json").write_text(json.dumps(ids))
    without = None if options.deep else WITHOUT_BOUNDARIES[role]
    told = configuration(words, examples=options.examples, without_boundaries=without)
    (folder / "schemathesis.toml").write_text(told)
    phases = ["examples", "coverage", "fuzzing"] + (["stateful"] if options.deep else [])
    tally = folder / "tally.json"
    facts = {"FUZZ_SHOP": shop, "FUZZ_USER": ROLES[role], "FUZZ_FOLDER": str(folder), "PYTHONPATH": str(HERE)}
    command = [
        *(Path(sys.executable).parent / "schemathesis", "--config-file", "schemathesis.toml", "--no-color"),
        *("run", f"{shop}/swagger.json", "--checks", ",".join(CHECKS), "--max-response-time", str(SLOWEST)),
        *("--phases", ",".join(phases)),
        *("--seed", str(options.seed + list(ROLES).index(role))),
        *("--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off"),
        *("--request-timeout", "30", "--output-truncate", "true"),
    ]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | facts, stdout=PIPE, stderr=STDOUT, check=False
    )
    return Run(
        role=role,
        answers=json.loads(tally.read_text()) if tally.exists() else {},
        passed=done.returncode == 0,
        log=done.stdout.decode(errors="replace"),
        seconds=time.monotonic() - began,
    )


def find_blind_spots(operations: list[str], runs: list[Run]) -> Iterator[str]:
    """Why the runs would have seen nothing, if there was something to see."""
    if not operations:
        yield "the document has no operations"
    for done in runs:
        yield from (f"not called by {done.role}: {name}" for name in operations if not done.answers.get(name))
    total: dict[str, Counter[str]] = {
        name: sum((Counter(done.answers.get(name, {})) for done in runs), Counter()) for name in operations
    }
    missed = [
        name
        for name, given in total.items()
        if name not in NEEDS_A_MAIL and not any(status.startswith("2") for status in given)
    ]
    for name in missed if len(missed) > len(operations) * BY_CHANCE else ():
        told = ", ".join(f"{often} times {status}" for status, often in sorted(total[name].items()))
        yield f"never answered with success: {name} ({told})"
    for name, given in total.items():
        if given[TOO_MANY]:
            yield f"answered 429, so the shop runs with its limits: {name}"


def crashes(log: str) -> Iterator[str]:
    """What each traceback in the server's log ends with."""
    for text in log.split("Traceback (most recent call last):")[1:]:
        yield next((line for line in text.splitlines()[1:] if re.match(r" *[\w.]+(: |$)", line)), "?").strip()


def table(runs: list[Run]) -> Iterator[str]:
    for done in runs:
        given: Counter[str] = sum((Counter(answer) for answer in done.answers.values()), Counter())
        told = ", ".join(f"{status}: {often}" for status, often in sorted(given.items()))
        yield f"{done.role}: {given.total()} calls in {done.seconds:.0f} s ({told})"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shop")
    parser.add_argument("--log", type=Path, help="the server's")
    parser.add_argument("--examples", type=int, default=5, help="at most so many of each kind per operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deep", action="store_true", help="every boundary in every role; call after call")
    options = parser.parse_args(arguments)

    document = call(f"{options.shop}/swagger.json")
    operations = operations_of(document)
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(LANES) as lanes:

        def start(role: str) -> Run:
            return run(role, shop=options.shop, document=document, place=Path(place), options=options)

        runs = list(lanes.map(start, ROLES))
    for done in runs:
        if not done.passed:
            sys.stdout.write(f"\n== As {done.role}\n{done.log}\n")
    sys.stdout.writelines(f"fuzz: {line}\n" for line in table(runs))
    log = options.log.read_text(errors="replace") if options.log else ""
    complaints = [
        *find_blind_spots(operations, runs),
        *(f"in the server's log: {often} times {crash}" for crash, often in Counter(crashes(log)).items()),
        *(f"schemathesis is not content with the answers to {done.role}" for done in runs if not done.passed),
    ]
    sys.stderr.writelines(f"fuzz: {complaint}\n" for complaint in complaints)
    if not complaints:
        sys.stdout.write(f"fuzz: all {len(operations)} operations, seed {options.seed}: all is well.\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Fuzz a running demo shop with valid and, above all, invalid calls from its OpenAPI document, in every role.

    python drive.py SHOP [--log FILE] [--examples N] [--seed N] [--deep]

SHOP is the address of a shop without rate limits. schemathesis makes the calls. Fails on

- a response of 500 and above, or one that the document does not describe (status, content type, headers,
  body);
- a response that takes more than a second twice;
- a crash in the server's log, whatever the response was;
- a blind run: an operation of the document was not called in each role, or too many never succeeded.

The same seed makes the same calls, as far as they do not depend on the shop's responses.
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

from schemathesis_config import configuration, ids_and_words
from shop import ROLES, call

HERE = Path(__file__).resolve().parent
METHODS = {"get", "put", "post", "delete", "patch"}
# Testing every boundary value of the document takes 40 calls per operation. The short run does it for each
# operation in one role only.
OLDER = "/api/v[12]/"
WITHOUT_BOUNDARIES = {"superuser": f"^{OLDER}", "staff": f"^(?!{OLDER})", "member": "", "anonymous": ""}
# Roles tested at the same time, on two cores that the server needs too.
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
# Success needs a key that is only in an email.
NEEDS_A_MAIL = {
    "POST /api/rest-auth/password/reset/confirm/",
    "POST /api/rest-auth/registration/verify-email/",
}
TOO_MANY = "429"
# Concurrent roles interfere: a call may use up what another needed to succeed, and a short run does not try
# again. This share of the operations may fail for that reason.
BY_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one role: the count of each status by operation, and the verdict of schemathesis."""

    role: str
    answers: dict[str, dict[str, int]]
    passed: bool
    log: str
    seconds: float


def operations_of(document: dict[str, Any]) -> list[str]:
    """Return the operations of the document, labelled as in schemathesis."""
    return [
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method in METHODS
    ]


def run(role: str, *, shop: str, document: dict[str, Any], place: Path, options: argparse.Namespace) -> Run:
    """Call all operations of the document as `role`, in a separate schemathesis process."""
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
    """Yield the reasons why the runs could have missed faults."""
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
    """Yield the last line of each traceback in the server's log."""
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

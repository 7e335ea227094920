"""Checks that the Postman collection covers the whole API, from a report of newman.

    python postman/check_coverage.py REPORT.json

The report contains the Swagger document as the response to GET /swagger.json. Fails if an operation of the
document was never called, never succeeded, or returned a status that the document does not list.
"""
# ruff: noqa: INP001  # A script, not part of a package.

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

METHODS = {"GET", "PUT", "POST", "DELETE", "PATCH"}

# These succeed only with a key from an e-mail.
NEEDS_A_MAIL = {
    "POST /api/rest-auth/password/reset/confirm/",
    "POST /api/rest-auth/registration/verify-email/",
}


class Operation(NamedTuple):
    name: str
    method: str
    pattern: re.Pattern[str]
    statuses: frozenset[str]


class Call(NamedTuple):
    method: str
    path: str
    status: str
    body: bytes


def calls_in(report: dict[str, Any]) -> list[Call]:
    """Return the calls that got a response; newman itself fails on the others."""
    return [
        Call(
            method=execution["request"]["method"],
            path="/" + "/".join(execution["request"]["url"].get("path", [])),
            status=str(execution["response"]["code"]),
            body=bytes(execution["response"].get("stream", {}).get("data", [])),
        )
        for execution in report["run"]["executions"]
        if "response" in execution
    ]


def operations_of(calls: list[Call]) -> list[Operation]:
    document = next((call.body for call in calls if call.path == "/swagger.json"), None)
    if document is None:
        sys.exit("check_coverage: the report has no answer to GET /swagger.json")
    read = json.loads(document)
    base = read.get("basePath", "").rstrip("/")
    return [
        Operation(
            name=f"{method.upper()} {base}{path}",
            method=method.upper(),
            pattern=re.compile(base + re.sub(r"\{\w+\}", "[0-9]+", path.rstrip("/")) + "/?"),
            statuses=frozenset(operation["responses"]),
        )
        for path, methods in read["paths"].items()
        for method, operation in methods.items()
        if method.upper() in METHODS
    ]


def complaints(operations: list[Operation], calls: list[Call]) -> list[str]:
    answers: defaultdict[str, set[str]] = defaultdict(set)
    for call in calls:
        for operation in operations:
            if call.method == operation.method and operation.pattern.fullmatch(call.path):
                answers[operation.name].add(call.status)
    found = []
    for operation in operations:
        given = answers[operation.name]
        if not given:
            found.append(f"never called: {operation.name}")
        elif not any(status.startswith("2") for status in given) and operation.name not in NEEDS_A_MAIL:
            found.append(f"never answered with success: {operation.name}")
        found += [
            f"answered {status}, which the document does not name: {operation.name}"
            for status in sorted(given - operation.statuses)
        ]
    return found


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.exit("Usage: check_coverage.py REPORT.json")
    calls = calls_in(json.loads(Path(arguments[0]).read_bytes()))
    operations = operations_of(calls)
    found = complaints(operations, calls)

    api_paths = [call.path for call in calls if call.path.startswith("/api")]
    with_slash = sum(path.endswith("/") for path in api_paths)
    without = len(api_paths) - with_slash
    if not with_slash or not without:
        found.append("only one of the two spellings of a path was used")

    for complaint in found:
        sys.stderr.write(f"check_coverage: {complaint}\n")
    if not found:
        sys.stdout.write(
            f"All {len(operations)} operations of the document were called, "
            f"{with_slash} times with a trailing slash and {without} times without.\n"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

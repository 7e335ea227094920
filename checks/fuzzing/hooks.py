"""Hooks for schemathesis: authentication, valid ids, exceptions to checks, and a tally of the responses.

`drive` loads them into each run of schemathesis. FUZZ_USER names the user, or is empty for anonymous calls.
FUZZ_FOLDER has the existing ids, and receives the tally.
"""

from __future__ import annotations

import atexit
import json
import os
import re
from collections import Counter, defaultdict
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import schemathesis
from schemathesis.core.failures import ResponseTimeExceeded
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import MissingContentType
from shop import sign_in

USER, FOLDER = os.environ["FUZZ_USER"], Path(os.environ["FUZZ_FOLDER"])
IDS: dict[str, list[Any]] = json.loads((FOLDER / "ids.json").read_text())
# Fields that must match another field's value; with random ones nearly every rental is refused.
SELDOM = ("copy", "date_rented", "user")
# Access tokens are valid for five minutes; this leaves time to use them.
TOKEN_SECONDS = 120
# Responses without a body need no content type.
WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

answers: defaultdict[str, Counter[int]] = defaultdict(Counter)
# Calls that revoked the caller's tokens.
ended: list[str] = []

if USER:

    @schemathesis.auth(refresh_interval=TOKEN_SECONDS, cache_by_key=lambda case, context: len(ended))
    class SignIn:
        def get(self, case: Any, context: Any) -> str:
            return sign_in(os.environ["FUZZ_SHOP"], USER)["token"]

        def set(self, case: Any, token: str, context: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"JWT {token}"}


@schemathesis.hook
def before_call(context: Any, case: Any, facts: Any) -> None:
    """Make most calls plausible, so that they get past the first checks.

    schemathesis repeats a few idempotency keys and conditional headers, and invents ids. Almost every call
    would be refused for that, before its body is used. Values that are not ids stay as they are.
    """
    told = repr((case.method, case.path, case.path_parameters, case.query, case.body))
    digest = sha256(told.encode(errors="replace")).hexdigest()
    if digest[0] in "01" and case.meta.phase.name != TestPhase.EXAMPLES:
        return
    headers, places = case.headers or {}, case.path_parameters or {}
    if re.fullmatch("[ -~]{1,99}", headers.get("Idempotency-Key", "")):
        headers["Idempotency-Key"] = f"{case.path} {digest}"
    if "If-Match" in headers:
        headers["If-Match"] = "*"
    known = next((ids for part, ids in IDS.items() if part in case.path), [])
    for name, value in places.items():
        if known and re.fullmatch("[0-9]{1,18}", str(value)) and case.meta.phase.name != TestPhase.STATEFUL:
            places[name] = known[int(digest[:8], 16) % len(known)]
    if isinstance(case.body, dict) and digest[1] in "01234567":
        for name in SELDOM:
            case.body.pop(name, None)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    if case.method.upper() != case.operation.method.upper():
        # A method that the path does not support, which has a check of its own.
        return
    answers[case.operation.label][response.status_code] += 1
    if "password/change" in case.path and response.status_code == HTTPStatus.OK:
        ended.append(case.path)


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Return whether `failure` is a real failure."""
    if isinstance(failure, MissingContentType):
        return response.status_code not in WITHOUT_BODY
    if isinstance(failure, ResponseTimeExceeded):
        # Retried once, since a shared machine may stall.
        with requests.Session() as session:
            return session.send(response.request, timeout=30).elapsed.total_seconds() > failure.deadline
    return True


@atexit.register
def write_tally() -> None:
    (FOLDER / "tally.json").write_text(json.dumps(answers))

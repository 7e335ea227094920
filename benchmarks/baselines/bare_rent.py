"""The floor of renting in Python: the statements of the shop, sent one after the other, and no rule.

RENT_STATEMENTS is a file with `benchmarks.renting.Statements`, as JSON; a request says the numbers that
differ: `member`, `book`, `copy`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg2

TOLD = json.loads(Path(os.environ["RENT_STATEMENTS"]).read_text())
BODY = json.dumps(TOLD["answer"]).encode()
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]
kept = threading.local()


def connection() -> Any:
    if not hasattr(kept, "connection"):
        kept.connection = psycopg2.connect(os.environ["DATABASE_URL"])
        kept.connection.autocommit = True
        with kept.connection.cursor() as cursor:
            for statement in TOLD["prepared"]:
                cursor.execute(statement)
    return kept.connection


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "GET":  # Somebody asks whether it is there.
        start_response("204 No Content", [])
        return []
    numbers = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    with connection().cursor() as cursor:
        for number, statement in enumerate(TOLD["statements"]):
            cursor.execute(statement.format_map(numbers))
            if cursor.description:
                found = cursor.fetchall()
                if number == TOLD["makes"]:
                    numbers["ref"] = found[0][0]
    start_response("201 Created", HEADERS)
    return [BODY]

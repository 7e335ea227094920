"""Renting by many at once: different books, as fast as PostgreSQL takes the same statements; and one book."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, NamedTuple

from benchmarks.measure import Database, Failed, Round, drive, line, summed_up
from benchmarks.processes import Server, cpu_seconds
from benchmarks.shops import Renter, Shop

RENT = "/api/v3/book_rentals/"
# As many as the shop's threads.
CLIENTS = 8
AT_ONCE = 50


def different_books(
    shop: Shop,
    server: Server,
    database: Database,
    *,
    bare: Callable[[Statements], Server],
    rounds: int,
    seconds: int,
) -> dict[str, Any]:
    """Each member rents a book that nobody else wants; and the same statements by pgbench and by what `bare`
    starts, in turns."""
    renters = shop.renters
    tokens = shop.tokens(f"{renters[0].member}-{renters[-1].member}")
    lines = [
        line(RENT, method="POST", token=tokens[renter.member], body=json.dumps({"book": renter.book}))
        for renter in renters
    ]
    last = shop.last_ref()
    # So that connections are there, as they are for all but the first requests.
    drive(server, lines, database, seconds=1, connections=32)
    forget(shop, last)
    statements = _statements(server, database, renters[len(renters) // 2], tokens)
    script = statements.for_pgbench(shop)
    forget(shop, last)
    bare_server = bare(statements)
    bare_lines = [line("/", method="POST", body=json.dumps(renter._asdict())) for renter in renters]
    drive(bare_server, bare_lines, database, seconds=1, connections=32)
    forget(shop, last)
    found: dict[str, list[Round]] = {}
    for _ in range(rounds):
        for name, one, asked in (
            ("rent", server, lines),
            ("rent: the same statements by a bare WSGI application", bare_server, bare_lines),
        ):
            measured = drive(one, asked, database, seconds=seconds, connections=32)
            found.setdefault(name, []).append(measured)
            made, told = forget(shop, last), measured["requests"]
            # What was under way when the time was up is made and not told.
            if not told <= made <= told + 32:
                raise Failed(f"{name}: {told} rentals were answered and {made} made.")
        found.setdefault("rent: the same statements by pgbench", []).append(_pgbench(script, shop, database))
        shop.forget_since(last)
    return {name: {**summed_up(taken), "rounds": taken} for name, taken in found.items()}


def forget(shop: Shop, last: int) -> int:
    """Take away what was made since `last`, once nothing more comes; how many there were."""
    made = -1
    while made != (made := shop.open_rentals_since(last)):
        time.sleep(0.5)
    shop.forget_since(last)
    return made


class Statements(NamedTuple):
    """What the server asks of the database for one rental; `{member}`, `{book}`, `{copy}` and `{ref}` are
    those of another renter each time. What the shop's connections have prepared, each client has to, once."""

    prepared: list[str]
    statements: list[str]
    # Which of them makes the rental.
    makes: int
    answer: dict[str, Any]

    def for_pgbench(self, shop: Shop) -> str:
        first = shop.renters[0]
        names = {name: f":{name}" for name in ("member", "book", "copy", "ref")}
        lines = [
            # Each client takes every so many of the renters, one after the other.
            "\\set n :n + 1",
            "\\if :n = 1",
            *(f"{text};" for text in self.prepared),
            "\\endif",
            f"\\set place :n * {CLIENTS} + :client_id",
            f"\\set member {first.member} + :place",
            f"\\set book {first.book} + :place",
            f"\\set copy {first.copy} + :place",
        ]
        for number, statement in enumerate(self.statements):
            # What the database numbers is known by its answer, and used further on.
            end = " \\gset" if number == self.makes else ";"
            lines.append(statement.format_map(names) + end)
        return "\n".join(lines) + "\n"


def _makes_a_rental(statement: str) -> bool:
    return 'INSERT INTO "rentals_rental"' in statement and "RETURNING" in statement


def _statements(server: Server, database: Database, renter: Renter, tokens: dict[int, str]) -> Statements:
    answers: list[dict[str, Any]] = []

    def rent() -> None:
        status, answer = _post(server, tokens[renter.member], renter.book)
        if status != 201:
            raise Failed(f"Renting answers {status}: {answer}")
        answers.append(answer)

    statements, prepared = database.statements_of(rent)
    names = {str(renter.member): "{member}", str(renter.book): "{book}", str(renter.copy): "{copy}"}
    names[str(answers[0]["ref"])] = "{ref}"
    number = re.compile(r"(?<![\w.:])(?:" + "|".join(names) + r")(?![\w.:])")
    written = []
    for statement in statements:
        plain = statement.strip().rstrip(";").replace("{", "{{").replace("}", "}}")
        written.append(number.sub(lambda found: names[found[0]], plain))
    text = "\n".join(written)
    if not all(name in text for name in ("{member}", "{book}", "{copy}")) or not any(
        map(_makes_a_rental, written)
    ):
        raise Failed(f"These are not the statements of a rental:\n{text}")
    makes = next(number for number, one in enumerate(written) if _makes_a_rental(one))
    return Statements([one.rstrip("; ") for one in prepared], written, makes, answers[0])


def _pgbench(script: str, shop: Shop, database: Database) -> Round:
    turns = len(shop.renters) // CLIENTS - 2
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        before = cpu_seconds(database.pid)
        words = [
            f"--client={CLIENTS}",
            "--jobs=1",
            f"--transactions={turns}",
            "--define=n=0",
            "--no-vacuum",
            "--log",
        ]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["pgbench", *words, f"--log-prefix={folder}/log", f"--file={file.name}", shop.address],
                capture_output=True,
                text=True,
                check=False,
            )
            took = sorted(
                int(row.split()[2])
                for log in Path(folder).glob("log*")
                for row in log.read_text().splitlines()
            )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or found is None or len(took) != turns * CLIENTS:
        raise Failed(f"pgbench: {done.stdout}{done.stderr}\n{script}")
    return {
        "rate": float(found[1]),
        "p50_ms": took[len(took) // 2] / 1000,
        "p99_ms": took[len(took) * 99 // 100] / 1000,
        "database_us": (cpu_seconds(database.pid) - before) / len(took) * 1e6,
    }


def _post(server: Server, token: str, book: int) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    return _ask(connection, token, book)


def _ask(connection: HTTPConnection, token: str, book: int) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"JWT {token}", "Content-Type": "application/json"}
    connection.request("POST", RENT, json.dumps({"book": book}), headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def one_book(shop: Shop, server: Server, *, trials: int) -> dict[str, Any]:
    """Fifty members want one book at the same moment: as many get it as there are copies, and all an answer.

    Raises Failed where a copy was lent twice or not at all, or the database had to end a deadlock.
    """
    book = shop.crowded_book()
    [[copies]] = shop.ask("SELECT count(*) FROM books_copy WHERE book_id = %s", book)
    members = [renter.member for renter in shop.renters[:AT_ONCE]]
    tokens = shop.tokens(*members)
    last = shop.last_ref()
    deadlocks = _deadlocks(shop)
    took: list[float] = []
    begun, spent = 0.0, 0.0
    for _ in range(trials):
        begun = time.monotonic()
        answers = _all_at_once(server, [tokens[member] for member in members], book)
        spent += time.monotonic() - begun
        statuses = Counter(status for status, _ in answers)
        if statuses != {201: copies, 409: AT_ONCE - copies} or shop.open_rentals_since(last) != copies:
            raise Failed(f"Of {copies} copies and {AT_ONCE} members: {dict(statuses)}.")
        took += [seconds for _, seconds in answers]
        shop.forget_since(last)
    if _deadlocks(shop) != deadlocks:
        raise Failed("There was a deadlock.")
    took.sort()
    result = {
        "rate": len(took) / spent,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[len(took) * 99 // 100] * 1000,
    }
    return {"rent one book, 50 at once": {**result, "rounds": [result]}}


def _deadlocks(shop: Shop) -> int:
    [[number]] = shop.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(number)


def _all_at_once(server: Server, tokens: Sequence[str], book: int) -> list[tuple[int, float]]:
    """The status that each was told, and after how many seconds."""
    answers: list[tuple[int, float]] = []
    barrier = Barrier(len(tokens))

    def one(token: str) -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.connect()
        barrier.wait()
        begun = time.monotonic()
        status, _ = _ask(connection, token, book)
        answers.append((status, time.monotonic() - begun))
        connection.close()

    threads = [Thread(target=one, args=[token]) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers

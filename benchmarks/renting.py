"""Renting by many at once: different books, as fast as PostgreSQL takes the same statements; and one book."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

from benchmarks.measure import Database, Failed, Round, drive, line, summed_up
from benchmarks.processes import Server, cpu_seconds
from benchmarks.shops import Renter, Shop

RENT = "/api/v3/book_rentals/"
# As many as the shop's threads.
CLIENTS = 8
AT_ONCE = 50


def different_books(
    shop: Shop, server: Server, database: Database, *, rounds: int, seconds: int
) -> dict[str, Any]:
    """Each member rents a book that nobody else wants; and the same statements by pgbench, in turns."""
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
    script = _script(shop, server, database, renters[len(renters) // 2], tokens)
    forget(shop, last)
    ours: list[Round] = []
    theirs: list[Round] = []
    for _ in range(rounds):
        ours.append(drive(server, lines, database, seconds=seconds, connections=32))
        made, told = forget(shop, last), ours[-1]["requests"]
        # What was under way when the time was up is made and not told.
        if not told <= made <= told + 32:
            raise Failed(f"{told} rentals were answered and {made} made.")
        theirs.append(_pgbench(script, shop, database))
        shop.forget_since(last)
    return {
        "rent": {**summed_up(ours), "rounds": ours},
        "rent: the same statements by pgbench": {**summed_up(theirs), "rounds": theirs},
    }


def forget(shop: Shop, last: int) -> int:
    """Take away what was made since `last`, once nothing more comes; how many there were."""
    made = -1
    while made != (made := shop.open_rentals_since(last)):
        time.sleep(0.5)
    shop.forget_since(last)
    return made


def _script(shop: Shop, server: Server, database: Database, renter: Renter, tokens: dict[int, str]) -> str:
    """What the server asks of the database for one rental, for pgbench, each time for another renter."""
    answers: list[dict[str, Any]] = []

    def rent() -> None:
        status, answer = _post(server, tokens[renter.member], renter.book)
        if status != 201:
            raise Failed(f"Renting answers {status}: {answer}")
        answers.append(answer)

    statements, prepared = database.statements_of(rent)
    first = shop.renters[0]
    names = {str(renter.member): ":member", str(renter.book): ":book", str(renter.copy): ":copy"}
    names[str(answers[0]["ref"])] = ":ref"
    lines = [
        # Each client takes every so many of the renters, one after the other.
        "\\set n :n + 1",
        # What the shop's connections have prepared, each client has to prepare too, once.
        "\\if :n = 1",
        *(f"{text.rstrip('; ')};" for text in prepared),
        "\\endif",
        f"\\set place :n * {CLIENTS} + :client_id",
        f"\\set member {first.member} + :place",
        f"\\set book {first.book} + :place",
        f"\\set copy {first.copy} + :place",
    ]
    number = re.compile(r"(?<![\w.:])(?:" + "|".join(names) + r")(?![\w.:])")
    for statement in statements:
        written = number.sub(lambda found: names[found[0]], statement.strip().rstrip(";"))
        # What the database numbers is known by its answer, and used further on.
        makes = 'INSERT INTO "rentals_rental"' in written and "RETURNING" in written
        lines.append(f"{written} \\gset" if makes else f"{written};")
    text = "\n".join(lines) + "\n"
    if not all(name in text for name in (":member", ":book", ":copy", "\\gset")):
        raise Failed(f"These are not the statements of a rental:\n{text}")
    return text


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

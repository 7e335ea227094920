"""Sends requests with wrk over persistent connections and measures the CPU time of server and database."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import psycopg2

from benchmarks.processes import cpu_seconds

LUA = Path(__file__).with_name("load.lua")
Round = dict[str, Any]


class Measured(Protocol):
    """A server that listens on `port`, or several behind a load balancer."""

    port: int

    def cpu_seconds(self) -> float: ...


class Failed(Exception):
    """A request was refused or got no response."""


# Seconds to wait for a response.
TIMEOUT = 20


def line(path: str, *, method: str = "GET", token: str = "", cookie: str = "", body: str = "") -> str:
    """Format a request for load.lua."""
    return "\t".join([method, path, token and f"JWT {token}", cookie, body])


class Database:
    """The PostgreSQL server of the run."""

    def __init__(self, address: str) -> None:
        self.connection = psycopg2.connect(address)
        self.connection.autocommit = True
        [[folder]] = self.ask("SHOW data_directory")
        self.folder = Path(folder)
        self.pid = int((self.folder / "postmaster.pid").read_text().split()[0])
        self.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def statements(self, name: str) -> tuple[float, int]:
        """Return the milliseconds that statements took in the database `name`, and their number."""
        [[taken, number]] = self.ask(
            "SELECT coalesce(sum(total_exec_time + total_plan_time), 0), coalesce(sum(calls), 0)::bigint"
            " FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid WHERE datname = %s",
            name,
        )
        return float(taken), int(number)

    def wait_until_idle(self) -> None:
        """Wait for statements whose clients have disconnected."""
        for _ in range(10 * TIMEOUT):
            [[busy]] = self.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            if not busy:
                return
            time.sleep(0.1)
        raise SystemExit("The database is still busy.")


@dataclass
class Probe:
    """Requests to one server, measured in several rounds as the case `name` of the results."""

    name: str
    server: Measured
    lines: Sequence[str]
    connections: int = 32
    database: str = ""
    rounds: list[Round] = field(default_factory=list)
    alone: Round = field(default_factory=dict)
    failed: str = ""

    def result(self) -> dict[str, Any]:
        if self.failed:
            return {"failed": self.failed, "rounds": []}
        return {**median_of_rounds(self.rounds), **self.alone, "rounds": self.rounds}

    def turn(self, database: Database, *, seconds: int) -> None:
        """Run one round, unless an earlier one has failed."""
        if self.failed:
            return
        try:
            found = drive(self.server, self.lines, database, seconds=seconds, connections=self.connections)
        except Failed as failure:
            self.failed = str(failure)
        else:
            self.rounds.append(found)


def median_of_rounds(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the median of each figure."""
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def drive(
    server: Measured, lines: Sequence[str], database: Database, *, seconds: int, connections: int = 32
) -> Round:
    """Send `lines` again and again for `seconds`, or longer if there is no response by then.

    Raises Failed if a request is refused or gets no response.
    """
    database.wait_until_idle()
    before = server.cpu_seconds(), cpu_seconds(database.pid)
    told = run_wrk(server, lines, seconds=seconds, connections=connections)
    if not told["requests"] and seconds < TIMEOUT:
        return drive(server, lines, database, seconds=seconds * 4, connections=connections)
    used = server.cpu_seconds() - before[0], cpu_seconds(database.pid) - before[1]
    if told["refused"] or told["broken"] or not told["requests"]:
        # Method and path; the rest of the line may be secret.
        asked = " ".join(lines[0].split("\t")[:2])
        raise Failed(
            f"{asked}: of {told['requests']} answers {told['refused']} refuse, {told['broken']} broke."
        )
    return {
        "requests": told["requests"],
        "rate": told["requests"] / told["microseconds"] * 1e6,
        "p50_ms": told["p50"] / 1000,
        "p99_ms": told["p99"] / 1000,
        "server_us": used[0] / told["requests"] * 1e6,
        "database_us": used[1] / told["requests"] * 1e6,
        "bytes": told["bytes"] / told["requests"],
    }


def run_wrk(server: Measured, lines: Sequence[str], *, seconds: int, connections: int) -> dict[str, int]:
    with tempfile.NamedTemporaryFile("w", suffix=".requests") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        done = subprocess.run(
            wrk(server, file.name, seconds=seconds, connections=connections),
            check=True,
            capture_output=True,
            text=True,
        )
    told: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def wrk(server: Measured, file: str, *, seconds: int, connections: int) -> list[str]:
    address = f"http://127.0.0.1:{server.port}"
    words = [
        f"-c{connections}",
        "-t1",
        f"-d{seconds}s",
        f"--timeout={TIMEOUT}s",
        "-s",
        str(LUA),
        address,
        "--",
        file,
    ]
    return ["wrk", *words]


def alone(probe: Probe, database: Database) -> Round:
    """Measure the database while one request is sent at a time."""
    before = database.statements(probe.database)
    told = run_wrk(probe.server, probe.lines, seconds=1, connections=1)
    after = database.statements(probe.database)
    if not told["requests"]:
        return {}
    return {
        "database_ms": (after[0] - before[0]) / told["requests"],
        "statements": (after[1] - before[1]) / told["requests"],
    }


def take_turns(
    probes: Sequence[Probe], database: Database, *, rounds: int, seconds: int, quick: bool
) -> None:
    """Measure each probe once a round, so that changes in machine load affect all of them."""
    for probe in probes:
        if quick:
            break
        # Warm-up: the first requests of each thread and connection are slower.
        probe.turn(database, seconds=1)
        probe.rounds.clear()
        if probe.database and not probe.failed:
            probe.alone = alone(probe, database)
    for _ in range(rounds):
        for probe in probes:
            probe.turn(database, seconds=seconds)

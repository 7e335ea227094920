"""Measures the catalogue during a storm of sign-ins."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from typing import Any

from benchmarks.measure import Database, Failed, Round, drive, line, median_of_rounds, wrk
from benchmarks.processes import Server
from benchmarks.shops import Shop
from benchmarks.size import FEW, PASSWORD

SIGN_IN = "/api-token-auth/"


def storm(shop: Shop, server: Server, database: Database, *, rounds: int, seconds: int) -> dict[str, Any]:
    """Measure the catalogue by token, alternately without and with 32 connections that only sign in."""
    page = [line("/api/v3/books/", token=shop.tokens(FEW)[FEW])]
    members = [f"member{renter.member}" for renter in shop.renters[:200]]
    bodies = [json.dumps({"username": member, "password": PASSWORD}) for member in members]
    calm: list[Round] = []
    stormy: list[Round] = []
    signed_in: list[Round] = []
    for _ in range(rounds):
        calm.append(drive(server, page, database, seconds=seconds))
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("\n".join(line(SIGN_IN, method="POST", body=body) for body in bodies) + "\n")
            file.flush()
            words = wrk(server, file.name, seconds=seconds + 1, connections=32)
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as signing_in:
                time.sleep(0.5)
                # CPU time is left out: it includes the sign-ins.
                found = drive(server, page, database, seconds=seconds)
                stormy.append({name: found[name] for name in ("rate", "p50_ms", "p99_ms")})
                said, _ = signing_in.communicate()
        told = json.loads(said.strip().splitlines()[-1])
        # Some sign-ins may be refused for now, but at least one must succeed.
        let_in = told["requests"] - told["refused"]
        if not let_in:
            raise Failed(f"None of {told['requests']} sign-ins succeeded.")
        signed_in.append(
            {
                "rate": let_in / told["microseconds"] * 1e6,
                "p50_ms": told["p50"] / 1000,
                "p99_ms": told["p99"] / 1000,
            }
        )
    return {
        "catalogue, token: before the storm": {**median_of_rounds(calm), "rounds": calm},
        "catalogue, token: in a storm of sign-ins": {**median_of_rounds(stormy), "rounds": stormy},
        "signing in, meanwhile": {**median_of_rounds(signed_in), "rounds": signed_in},
    }

"""The shop on several machines: its instances, nginx before them, and who asks which of them."""

# ruff: noqa: INP001  # A script beside others, not a package.
from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torture_clients import Answer, Client

from benchmarks.processes import Server, free_port

ROOT = Path(__file__).resolve().parent.parent
# What nginx writes while it works, in its own folder and not in Debian's.
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

NGINX = """
daemon off;
{user}
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    {temporary}
    client_max_body_size 8m;
    upstream shop {{
        # In turn. One that is not there is asked again a second later.
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            # What reads is asked of the next one where one gives no answer; what writes only where it was not
            # sent yet.
            proxy_pass http://shop;
            proxy_set_header Host $http_host;
            # Behind what the client says itself, as a load balancer writes it.
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            add_header X-Answered-By $upstream_addr always;
        }}
    }}
}}
"""


class Failed(Exception):
    """Something is not as it should be."""


def expect(what: str, expected: object, came: object) -> None:
    if came != expected:
        raise Failed(f"{what}\n    expected: {expected}\n    came:     {came}")


class Site:
    """So many instances of the shop, each with a master process and a port of its own, behind nginx.

    All are there when this returns, and gone after `stop`.
    """

    def __init__(self, count: int, *, place: Path) -> None:
        self.place = place
        self.ports = [free_port() for _ in range(count)]
        self.door = free_port()
        self.servers: dict[int, Server] = {}
        self.nginx: Server | None = None
        with ThreadPoolExecutor(count) as starting:
            list(starting.map(self.start, range(count)))
        self.nginx = self._serve(
            [nginx_command(), "-p", str(place), "-c", str(self._configured())], self.door, "nginx"
        )

    def start(self, number: int) -> None:
        port = self.ports[number]
        facts = {"PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(self.place / f"metrics-{port}")}
        self.servers[number] = self._serve(["./entrypoint.sh", "serve"], port, f"instance-{port}", facts)

    def _serve(
        self, command: list[str], port: int, name: str, facts: Mapping[str, str] | None = None
    ) -> Server:
        log = self.place / f"{name}.log"
        return Server(command, port=port, path="/readyz", environ=facts or {}, folder=ROOT, log=log)

    def _configured(self) -> Path:
        file = self.place / "nginx.conf"
        text = NGINX.format(
            place=self.place,
            port=self.door,
            # Else its workers would be somebody who may not write here.
            user="user root;" if os.getuid() == 0 else "",
            temporary="\n    ".join(f"{name}_temp_path {self.place}/{name};" for name in TEMPORARY),
            servers="\n        ".join(f"server 127.0.0.1:{port} fail_timeout=1s;" for port in self.ports),
        )
        file.write_text(text)
        return file

    @property
    def doors(self) -> list[int]:
        """All ways in: nginx, and each instance by itself."""
        return [self.door, *self.ports]

    def in_turn(self) -> Iterator[int]:
        return itertools.cycle(self.doors)

    def lose(self, number: int) -> None:
        """Without a word, as when the machine is gone."""
        os.killpg(self.servers[number].pid, signal.SIGKILL)
        self.servers.pop(number).process.wait()

    def end(self, number: int) -> int:
        """Told to, it finishes what it has begun; its exit code."""
        server = self.servers.pop(number)
        server.process.terminate()
        return int(server.process.wait(timeout=40))

    def stop(self) -> None:
        for server in [*self.servers.values(), *([self.nginx] if self.nginx else [])]:
            server.stop()

    def troubles(self) -> list[str]:
        """What the instances have said that is neither a refusal nor of a stop."""
        lines = [line for log in self.place.glob("instance-*.log") for line in log.read_text().splitlines()]
        return [line for line in lines if not re.search(r" WARNING (django|security)|\[INFO\]|^$", line)]


def nginx_command() -> str:
    """Debian has it where only root looks for commands."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit("machines: needs nginx; install Debian's package nginx.")
    return found


def call(
    port: int, method: str, path: str, body: Any = None, *, token: str = "", address: str = "", **said: str
) -> Answer:
    """One request on a connection of its own."""
    client = Client(port, token, address=address)
    try:
        return client.call(method, path, body, **said)
    finally:
        client.close()


def status(port: int, method: str, path: str, body: Any = None, **said: Any) -> int:
    return call(port, method, path, body, **said)[0]


_addresses = (f"127.0.{one}.{other}" for one in range(1, 256) for other in range(1, 255))


def new_address() -> str:
    """One of this machine's own that nobody has asked from yet."""
    return next(_addresses)

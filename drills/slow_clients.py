"""Runs the drill of drills/slow-clients, which describes it."""

# ruff: noqa: INP001, T201  # A script, not part of a package; prints its results.
from __future__ import annotations

import http.client
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
django.setup()

from accounts.models import User  # noqa: E402  # After django.setup(), like those below.
from accounts.tokens import issue_tokens  # noqa: E402
from benchmarks.nginx import TEMPLATE, balance  # noqa: E402
from benchmarks.processes import Server, all_stopped, family, free_port  # noqa: E402

HALF_SENT, READERS, UPLOADS = 200, 200, 50
UPLOAD_BYTES = 6 * 1024 * 1024
REQUESTS_A_SECOND, SECONDS = 30, 8
ROUNDS = int(os.environ.get("ROUNDS", "3"))
# Limits of the 99th percentile: seconds, or a multiple of that without slow clients.
GOOD, TIMES = 0.2, 3
# Seconds after which other clients give up.
PATIENCE = 10.0

HEAD = b"POST /api-token-auth/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
READ = b"GET /home HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n"
UPLOAD = (
    b"POST /api/v3/books/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: %d\r\n\r\n" % UPLOAD_BYTES
)


class Failed(Exception):
    """A check failed."""


@dataclass
class Site:
    shop: Server
    nginx: Server
    place: Path

    @property
    def processes(self) -> set[int]:
        """The process ids of gunicorn, nginx and their workers."""
        return {*family(self.shop.pid), *family(self.nginx.pid)}

    def temporary_bytes(self, server: Server) -> int:
        """Return the size of the deleted temporary files that the server still has open."""
        found = 0
        for process in family(server.pid):
            with suppress(OSError):
                for file in (Path("/proc") / str(process) / "fd").iterdir():
                    with suppress(OSError):
                        target = str(file.readlink())
                        if target.startswith(str(self.place)) and "metrics" not in target:
                            found += file.stat().st_size
        return found


def address(number: int) -> str:
    return f"127.0.{number // 250}.{2 + number % 250}"


def connect(port: int, number: int, *, buffer: int = 0) -> socket.socket:
    client = socket.socket()
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(PATIENCE)
    client.bind((address(number), 0))
    client.connect(("127.0.0.1", port))
    return client


@contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """Connect all slow clients; when the block begins, each reader has the start of its response."""
    with ThreadPoolExecutor(16) as pool:

        def half_sent(number: int) -> socket.socket:
            client = connect(port, number)
            # Half of them send complete headers but not the body.
            client.sendall(HEAD if number % 2 else HEAD + b'Content-Length: 40\r\n\r\n{"username": ')
            return client

        def reader(number: int) -> socket.socket:
            client = connect(port, number, buffer=2048)
            client.sendall(READ)
            return client

        def upload(number: int) -> socket.socket:
            client = connect(port, number)
            # A server that stops reading is part of the drill.
            with suppress(TimeoutError):
                client.sendall(UPLOAD + b"x" * (UPLOAD_BYTES - 100))
            return client

        # Readers first, as they keep the shop busy; nginx times out the half-sent requests first.
        readers = list(pool.map(reader, range(READERS)))
        wait_for_answers(readers)
        senders = [*pool.map(upload, range(UPLOADS)), *pool.map(half_sent, range(HALF_SENT))]
    over = threading.Event()
    going_on = threading.Thread(target=go_on, args=(senders, readers, over))
    going_on.start()
    try:
        yield
    finally:
        over.set()
        going_on.join()
        for client in senders + readers:
            client.close()


def wait_for_answers(readers: list[socket.socket]) -> None:
    with selectors.DefaultSelector() as waiting:
        for client in readers:
            waiting.register(client, selectors.EVENT_READ)
        until = time.monotonic() + 60
        while waiting.get_map() and time.monotonic() < until:
            for key, _ in waiting.select(1):
                waiting.unregister(key.fileobj)


def go_on(senders: list[socket.socket], readers: list[socket.socket], over: threading.Event) -> None:
    """Send and read a byte now and then, so that no timeout between two bytes applies."""
    while not over.wait(4):
        for client in senders:
            with suppress(OSError):
                client.send(b"x")
        for client in readers:
            with suppress(OSError):
                client.recv(1)


def ask(port: int, number: int, path: str, token: str, due: float) -> float:
    """Send a request when it is due; return the seconds from then until the response."""
    time.sleep(max(0.0, due - time.monotonic()))
    client = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=PATIENCE, source_address=(address(1000 + number % 100), 0)
    )
    try:
        client.request("GET", path, headers={"Host": "localhost", "Authorization": f"JWT {token}"})
        answer = client.getresponse()
        answer.read()
    except OSError:
        return PATIENCE
    finally:
        client.close()
    if answer.status != 200:
        raise Failed(f"{path} was answered {answer.status}")
    return time.monotonic() - due


def percentile_of_others(port: int, token: str) -> float:
    """Return the 99th percentile of the response times of other clients, at a fixed rate of requests."""
    paths = ("/api/v3/books/?page_size=5", "/home", "/api/v3/book_rentals/", "/")
    count = REQUESTS_A_SECOND * SECONDS
    began = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        asked = [
            pool.submit(
                ask, port, number, paths[number % len(paths)], token, began + number / REQUESTS_A_SECOND
            )
            for number in range(count)
        ]
        waited = sorted(one.result() for one in asked)
    return waited[int(len(waited) * 0.99)]


def compare(site: Site, token: str) -> bool:
    """Run one round; return whether other clients stayed within the limits."""
    alone = percentile_of_others(site.nginx.port, token)
    before = site.processes
    with slow_clients(site.nginx.port):
        at_first = site.temporary_bytes(site.nginx), site.temporary_bytes(site.shop)
        beside = percentile_of_others(site.nginx.port, token)
        of_nginx = max(at_first[0], site.temporary_bytes(site.nginx))
        of_shop = max(at_first[1], site.temporary_bytes(site.shop))
    print(
        f"slow-clients: p99 of others {1000 * alone:.0f} ms, with slow clients {1000 * beside:.0f} ms; "
        f"temporary files of nginx {of_nginx / 1e6:.0f} MB, of the shop {of_shop / 1e6:.0f} MB",
        flush=True,
    )
    if site.processes != before:
        raise Failed("a worker has ended")
    if of_nginx > UPLOADS * UPLOAD_BYTES + READERS * 1024 * 1024:
        raise Failed("nginx buffers more than the uploads and responses")
    if of_shop > UPLOAD_BYTES:
        raise Failed("the shop buffers what nginx should buffer")
    until = time.monotonic() + 10
    while site.temporary_bytes(site.nginx):
        if time.monotonic() > until:
            raise Failed("nginx keeps files of disconnected clients")
        time.sleep(0.1)
    # A request that times out is too slow, however slow the machine is.
    return beside <= max(GOOD, TIMES * alone) and beside < PATIENCE


def main() -> int:
    place = Path(os.environ["SLOW_CLIENTS"])
    template = TEMPLATE.read_text()
    if directive := os.environ.get("WITHOUT"):
        if f"{directive} on;" not in template:
            raise SystemExit(f"slow-clients: deploy/nginx.conf does not turn {directive} on")
        template = template.replace(f"{directive} on;", f"{directive} off;")
    token = issue_tokens(User.objects.filter(is_staff=False)[0]).access
    folders = place / "shop", place / "nginx"
    for folder in folders:
        folder.mkdir(exist_ok=True)
    with all_stopped() as servers:
        port = free_port()
        environ = {"PORT": str(port), "TMPDIR": str(folders[0])}
        command, log = ["./entrypoint.sh", "serve"], place / "shop.log"
        shop = Server(command, port=port, path="/readyz", environ=environ, folder=ROOT, log=log)
        servers.append(shop)
        nginx = balance([port], folder=folders[1], path="/readyz", template=template)
        servers.append(nginx)
        site = Site(shop, nginx, place)
        try:
            # Warm-up: the first requests of each thread are slower.
            percentile_of_others(nginx.port, token)
            if not any(compare(site, token) for _ in range(ROUNDS)):
                raise Failed(f"slow clients delay others in each of {ROUNDS} rounds")
        except Failed as problem:
            print(f"slow-clients: {problem}", file=sys.stderr)
            print(*log.read_text().splitlines()[-20:], sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

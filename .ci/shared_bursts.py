"""Connect to a server many times at the same moment, and see how its workers share the connections.

    python .ci/shared_bursts.py http://127.0.0.1:8000 MASTER

MASTER is the process of gunicorn, with two workers. Kept connections stay with the worker that has let them
in, so one that lets in few has little to do for as long as they are there. Prints how many the worker with
fewer let in of each burst. Exit 1 when the median of that is too little.
"""

# ruff: noqa: INP001, T201  # A script beside others, not a package; it prints what it found.
from __future__ import annotations

import selectors
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

BURSTS = 20
CONNECTIONS = 32
# Half would be 16. Where the machine has other things to do it has been 12, and 4 to 6 where workers do not
# step aside for each other.
LEAST = 10


def workers(master: str) -> list[Path]:
    return [Path("/proc", pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def sockets(worker: Path) -> int:
    found = 0
    for each in (worker / "fd").iterdir():
        with suppress(FileNotFoundError):  # Closed since it was listed.
            found += str(each.readlink()).startswith("socket:")
    return found


def burst(host: str, port: int) -> list[socket.socket]:
    """Connections that have all been asked for at once, and that have all been let in and answered."""
    clients = [socket.socket() for _ in range(CONNECTIONS)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex((host, port))
    with selectors.DefaultSelector() as ready:
        for client in clients:
            ready.register(client, selectors.EVENT_WRITE, client)
        waiting, ends_at = set(clients), time.monotonic() + 30
        while waiting:
            if time.monotonic() > ends_at:
                raise SystemExit(f"{len(waiting)} of {CONNECTIONS} were not answered within 30 s.")
            for key, event in ready.select(1):
                client: socket.socket = key.data
                if event & selectors.EVENT_WRITE:
                    client.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    ready.modify(client, selectors.EVENT_READ, client)
                elif client.recv(65536):
                    waiting.discard(client)
                else:
                    raise SystemExit("A connection was closed instead of kept.")
    return clients


def main() -> None:
    address, master = urlsplit(sys.argv[1]), sys.argv[2]
    found = []
    for _ in range(BURSTS):
        before = {worker: sockets(worker) for worker in workers(master)}
        clients = burst(address.hostname or "", address.port or 80)
        found.append(min(sockets(worker) - number for worker, number in before.items()))
        for client in clients:
            client.close()
        ends_at = time.monotonic() + 10
        while any(sockets(worker) > number for worker, number in before.items()):
            if time.monotonic() > ends_at:
                raise SystemExit("A worker keeps connections that are closed.")
            time.sleep(0.02)
    print(f"of {CONNECTIONS} the worker with fewer let in {', '.join(map(str, sorted(found)))}")
    if median(found) < LEAST:
        raise SystemExit(f"That is {median(found)} in the middle, and {LEAST} are asked.")


if __name__ == "__main__":
    main()

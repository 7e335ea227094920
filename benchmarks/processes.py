"""Starts and stops servers, and reads their CPU time and memory from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.error import HTTPError

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on; empty if the process has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def family(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))):
            children.setdefault(int(stat[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the process and its descendants so far, including ended children."""
    ticks = 0
    for one in family(pid):
        stat = _stat(one)
        # utime and stime, then those of ended children that were waited for.
        ticks += sum(int(number) for number in stat[11:15])
    return ticks / TICKS


def memory(pid: int) -> dict[str, float]:
    """Return the MB of the largest process of the family, and of all with shared pages counted once."""
    resident, proportional = [], 0
    for one in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            fields = {
                line.split(":")[0]: int(line.split()[1])
                for line in (PROC / str(one) / "smaps_rollup").read_text().splitlines()[1:]
            }
            resident.append(fields["Rss"])
            proportional += fields["Pss"]
    return {"largest": max(resident, default=0) / 1024, "all": proportional / 1024}


class Server:
    """A server on `port` that has started; `ready_after` is the seconds that its start took."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        path: str,
        environ: Mapping[str, str],
        folder: Path,
        log: Path,
    ) -> None:
        self.port = port
        begun = time.monotonic()
        with log.open("wb") as file:
            self.process = subprocess.Popen(  # The caller's command.
                command,
                cwd=folder,
                env={**os.environ, **environ},
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )
        while not self._answers(path):
            if self.process.poll() is not None or time.monotonic() - begun > 60:
                self.stop()
                raise SystemExit(f"{command[0]} does not answer:\n{log.read_text()[-3000:]}")
            time.sleep(0.02)
        self.ready_after = time.monotonic() - begun

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5):
                return True
        except HTTPError:
            # An error response shows that the server runs.
            return True
        except OSError:
            return False

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def all_stopped() -> Iterator[list[Server]]:
    """Yield a list; the servers in it are stopped at the end, even after an error."""
    servers: list[Server] = []
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()

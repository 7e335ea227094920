"""Reads the variables of the server from the environment, and names the one that is wrong.

`entrypoint.sh` and `make run` run this module first: gunicorn reads WEB_CONCURRENCY when it is imported, and
would end with a traceback.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_PORT = 65_535
MAX_WORKERS = 100


@dataclass(frozen=True)
class ServerEnvironment:
    bind: str
    port: int
    workers: int
    temporary_folder: str


def read_environment() -> ServerEnvironment:
    """Return the variables. Raises ValueError with a sentence that names a wrong one and what is allowed."""
    return ServerEnvironment(
        # A container has to accept connections from outside; `make run` binds 127.0.0.1.
        bind=_address("BIND", "0.0.0.0"),  # noqa: S104  # nosec B104  # As said.
        port=_number("PORT", 8000, MAX_PORT),
        workers=_number("WEB_CONCURRENCY", 2, MAX_WORKERS),
        temporary_folder=_temporary_folder(),
    )


def _number(name: str, default: int, most: int) -> int:
    given = os.environ.get(name, str(default))
    # More digits than a number of this size has are not converted at all.
    is_number = given.isascii() and given.isdecimal() and len(given) <= len(str(most))
    if not (is_number and 1 <= int(given) <= most):
        raise ValueError(f"{name} must be a whole number from 1 to {most}.")
    return int(given)


def _address(name: str, default: str) -> str:
    given = os.environ.get(name, default)
    bare = given[1:-1] if given.startswith("[") and given.endswith("]") else given
    try:
        # An IPv6 address needs the brackets, an IPv4 address has none.
        (ipaddress.IPv4Address if bare == given else ipaddress.IPv6Address)(bare)
    except ValueError:
        if given != "localhost":
            raise ValueError(f"{name} must be an IP address such as 127.0.0.1 or [::1].") from None
    return given


def _temporary_folder() -> str:
    """Return the folder for temporary files, whether or not there is room in it.

    `tempfile.gettempdir()` would look for another folder while this one is full, at last the current one.
    """
    name = next((name for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), "TMPDIR")
    folder = Path(os.environ.get(name) or "/tmp").absolute()  # noqa: S108  # nosec B108  # As `tempfile` does.
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise ValueError(f"{name} must be the path of a folder for temporary files that can be written to.")
    return str(folder)


if __name__ == "__main__":
    try:
        read_environment()
    except ValueError as problem:
        sys.exit(f"Lori Books cannot start: {problem}")

"""Runs Debian's nginx with `deploy/nginx.conf` in front of one or several instances of the shop.

python -m benchmarks.nginx FOLDER LISTEN PORT...
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import Server, free_port

TEMPLATE = Path(__file__).resolve().parent.parent / "deploy" / "nginx.conf"
# No address: clients connect to nginx directly.
NOBODY = "0.0.0.0/32"


def configuration(
    *,
    listen: str,
    ports: Sequence[int],
    without: int | None = None,
    trusted: str = NOBODY,
    template: str | None = None,
) -> str:
    """Render `deploy/nginx.conf` as the nginx image does, with a header that names the instance.

    The instance on the port `without` gets no requests.
    """
    servers = [f"127.0.0.1:{port}" for port in ports]
    if len(ports) > 1:
        servers = [
            f"{server} max_fails=0{' down' * (port == without)}"
            for server, port in zip(servers, ports, strict=True)
        ]
    values = {"LISTEN": listen, "SHOP": "; server ".join(servers), "TRUSTED_PROXY": trusted}
    text = TEMPLATE.read_text() if template is None else template
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    text = text.replace("http {", "http {\n    add_header X-Answered-By $upstream_addr always;", 1)
    # Workers of Debian's default user could not write to the folder.
    return f"user root;\n{text}" if os.getuid() == 0 else text


def balance(
    ports: Sequence[int],
    *,
    folder: Path,
    port: int | None = None,
    path: str = "/healthz",
    trusted: str = NOBODY,
    template: str | None = None,
) -> Server:
    """Start nginx in front of the instances on `ports`. It writes only to `folder`."""
    port, file = port or free_port(), folder / "nginx.conf"
    file.write_text(
        configuration(listen=f"127.0.0.1:{port}", ports=ports, trusted=trusted, template=template)
    )
    return Server(_command(folder), port=port, path=path, environ={}, folder=folder, log=folder / "nginx.log")


def _command(folder: Path) -> list[str]:
    return [executable(), "-p", f"{folder}/", "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def leave_out(server: Server, ports: Sequence[int], *, folder: Path, without: int | None) -> None:
    """Send no new requests to the instance on the port `without`; None sends to all."""
    text = configuration(listen=f"127.0.0.1:{server.port}", ports=ports, without=without)
    (folder / "nginx.conf").write_text(text)
    server.process.send_signal(signal.SIGHUP)
    # A new worker takes over; the old one ends when it has finished its requests.
    time.sleep(1)


def executable() -> str:
    """Find nginx, which Debian installs in /usr/sbin."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit("This needs nginx; install Debian's package nginx.")
    return found


def main() -> None:
    folder, listen = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(exist_ok=True)
    (folder / "nginx.conf").write_text(
        configuration(listen=listen, ports=[int(port) for port in sys.argv[3:]])
    )
    command = _command(folder)
    os.execv(command[0], command)  # noqa: S606  # Our own command.


if __name__ == "__main__":
    main()

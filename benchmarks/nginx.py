"""nginx before several instances of the shop, as a load balancer stands before its pods."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import Server, free_port

# What it writes while it works, in a folder of ours and not in Debian's.
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

CONFIGURATION = """
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
    keepalive_requests 1000000;
    upstream shop {{
        # In turn. One that is not there is asked again some seconds later.
        {servers}
        {kept}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            # What reads is asked of the next one where one gives no answer; what writes only where it was not
            # sent yet.
            proxy_pass http://shop;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            # Behind what the client says itself, as a load balancer writes it.
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            add_header X-Answered-By $upstream_addr always;
        }}
    }}
}}
"""


def balance(ports: Sequence[int], *, folder: Path, kept: int = 0) -> Server:
    """nginx that asks the instances at `ports` in turn, without root; it writes into `folder` only.

    It keeps up to `kept` connections to them; with none, each request has one of its own, so that one that is
    not heard has not been sent.
    """
    port, file = free_port(), folder / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(
            place=folder,
            port=port,
            # Else its workers would be somebody who may not write there.
            user="user root;" if os.getuid() == 0 else "",
            temporary="\n    ".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY),
            servers="\n        ".join(f"server 127.0.0.1:{port} fail_timeout=1s;" for port in ports),
            kept=f"keepalive {kept}; keepalive_requests 1000000;" if kept else "",
        )
    )
    command = [_nginx(), "-p", str(folder), "-c", str(file)]
    return Server(
        command, port=port, path="/healthz", environ={}, folder=folder, log=folder / "nginx-start.log"
    )


def _nginx() -> str:
    """Debian has it where only root looks for commands."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit("This needs nginx; install Debian's package nginx.")
    return found

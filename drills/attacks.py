"""Measures what others notice while an attacker repeats an expensive request, behind nginx and gunicorn.

Part of drills/slow-clients, which prepares the shop.
"""

# ruff: noqa: INP001, T201  # A script, not part of a package; prints its results.
from __future__ import annotations

import http.client
import io
import os
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from slow_clients import GOOD, PATIENCE, ROOT, ROUNDS, TIMES, Failed, address, percentile_of_others

# isort: split
from django.conf import settings
from django.contrib.sessions.models import Session
from django.middleware.csrf import CSRF_SECRET_LENGTH
from django.test import Client
from django.utils.crypto import get_random_string
from PIL import Image

from accounts.models import User
from accounts.tokens import issue_tokens
from benchmarks.nginx import balance
from benchmarks.processes import Server, all_stopped, free_port

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Attack:
    """A request that an attacker repeats without a pause, and the statuses that it may be answered with."""

    name: str
    statuses: set[int]
    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def signed_in(user: User) -> dict[str, str]:
    client = Client(headers={"host": "localhost"})
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
    name = settings.SESSION_COOKIE_NAME
    return {"Cookie": f"{name}={client.cookies[name].value}"}


def jpeg_of_many_scans() -> bytes:
    """Return a progressive JPEG whose last scan is repeated a thousand times."""
    written = io.BytesIO()
    Image.new("L", (600, 800), "grey").save(written, "JPEG", progressive=True)
    whole = written.getvalue()
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last_scan * 1000 + whole[-2:]


def form_with_cover(filename: str, content: bytes, **fields: str) -> tuple[str, bytes]:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    parts.append(
        f'--x\r\nContent-Disposition: form-data; name="image"; filename="{filename}"\r\n\r\n'.encode()
        + content
    )
    return "multipart/form-data; boundary=x", b"".join(parts) + b"\r\n--x--\r\n"


def attacks() -> list[Attack]:
    member = User.objects.filter(is_staff=False)[0]
    manager = User.objects.filter(is_superuser=True)[0]
    words = "+".join("abcdefghijklmn")
    sheet, cover = form_with_cover("cover.jpg", jpeg_of_many_scans(), name="A book", kind="novel")
    access = f"JWT {issue_tokens(manager).access}"
    secret = get_random_string(CSRF_SECRET_LENGTH)
    signed_out = {
        "Content-Type": FORM,
        "Origin": "http://localhost",
        "Cookie": f"{settings.CSRF_COOKIE_NAME}={secret}",
    }
    typed = urlencode({"csrfmiddlewaretoken": secret, "name": "x" * 400}).encode()
    return [
        Attack(
            "history searched for 14 words",
            {200},
            f"/rentals/history/?search={words}",
            headers=signed_in(member),
        ),
        Attack(
            "staff list searched for a hundred words",
            {200},
            f"/admin/accounts/user/?q={'+'.join('a' * 100)}",
            headers=signed_in(manager),
        ),
        Attack("signed-out posts to a member's page", {302}, "/user/profile/", "POST", signed_out, typed),
        Attack("documents of the API", {200}, "/swagger.json"),
        Attack(
            "passkey challenges",
            {200, 429},
            "/user/2fa/webauthn/login/",
            headers={"X-Requested-With": "XMLHttpRequest"},
        ),
        Attack(
            "a form of percent signs",
            {413},
            "/user/login/",
            "POST",
            {"Content-Type": FORM},
            b"%" * (1 << 20),
        ),
        Attack(
            "the same to the API",
            {413},
            "/api-token-auth/",
            "POST",
            {"Content-Type": FORM},
            b"%" * (1 << 20),
        ),
        Attack(
            "a cover of a thousand scans",
            {400, 429},
            "/api/v3/books/",
            "POST",
            {"Content-Type": sheet, "Authorization": access},
            cover,
        ),
        Attack(
            "wrong passwords",
            {400, 401, 429},
            "/api-token-auth/",
            "POST",
            {"Content-Type": "application/json"},
            b'{"username": "nora", "password": "wrong-by-intention"}',
        ),
    ]


def repeat(attack: Attack, port: int, over: threading.Event, answered: Counter[int]) -> None:
    while not over.is_set():
        client = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=PATIENCE, source_address=(address(2000), 0)
        )
        try:
            client.request(
                attack.method, attack.path, attack.body or None, {"Host": "localhost"} | attack.headers
            )
            answer = client.getresponse()
            answer.read()
            answered[answer.status] += 1
        except OSError:
            # nginx may close the connection before it has read all of the body.
            answered[0] += 1
        finally:
            client.close()


def measure(attack: Attack, port: int, token: str, alone: float) -> bool:
    """Return whether others stay within the limits meanwhile. Raises Failed if the attack does not arrive."""
    answered: Counter[int] = Counter()
    over = threading.Event()
    attacker = threading.Thread(target=repeat, args=(attack, port, over, answered))
    attacker.start()
    try:
        beside = percentile_of_others(port, token)
    finally:
        over.set()
        attacker.join()
    print(
        f"attacks: {attack.name}: {sum(answered.values())} requests, answered {dict(answered)};"
        f" p99 of others {1000 * beside:.0f} ms, {1000 * alone:.0f} ms without them",
        flush=True,
    )
    if not answered.keys() & attack.statuses:
        raise Failed(f"{attack.name}: none was answered {sorted(attack.statuses)}")
    if unexpected := answered.keys() - attack.statuses - {0}:
        raise Failed(f"{attack.name}: answered {sorted(unexpected)}")
    return beside <= max(GOOD, TIMES * alone)


def compare(attack: Attack, port: int, token: str, alone: float) -> None:
    sessions = Session.objects.count()
    for number in range(ROUNDS):
        if number:
            # The machine may have become slower.
            alone = percentile_of_others(port, token)
        if measure(attack, port, token, alone):
            break
    else:
        raise Failed(f"{attack.name}: delays others in each of {ROUNDS} rounds")
    if Session.objects.count() > sessions:
        raise Failed(f"{attack.name}: leaves sessions in the database")


def main() -> int:
    place = Path(os.environ["SLOW_CLIENTS"]) / "attacks"
    token = issue_tokens(User.objects.filter(is_staff=False)[1]).access
    for folder in (place / "shop", place / "nginx"):
        folder.mkdir(parents=True)
    with all_stopped() as servers:
        port = free_port()
        environ = {"PORT": str(port), "TMPDIR": str(place / "shop")}
        command, log = ["./entrypoint.sh", "serve"], place / "shop.log"
        servers.append(Server(command, port=port, path="/readyz", environ=environ, folder=ROOT, log=log))
        nginx = balance([port], folder=place / "nginx", path="/readyz")
        servers.append(nginx)
        try:
            # Warm-up: the first requests of each thread are slower.
            percentile_of_others(nginx.port, token)
            alone = percentile_of_others(nginx.port, token)
            for attack in attacks():
                compare(attack, nginx.port, token, alone)
        except Failed as problem:
            print(f"attacks: {problem}", file=sys.stderr)
            print(*log.read_text().splitlines()[-20:], sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Client for the demo shop, shared by the driver and the hooks of schemathesis."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

PASSWORD = "a-book-a-day"  # noqa: S105  # Public: the demo shop's.

# The demo shop's account for each role.
ROLES = {"superuser": "lori", "staff": "mara", "member": "nora", "anonymous": ""}


def sign_in(shop: str, user: str) -> dict[str, str]:
    """Return an access token and its refresh token."""
    tokens: dict[str, str] = call(f"{shop}/api-token-auth/", body={"username": user, "password": PASSWORD})
    return tokens


def call(address: str, *, token: str = "", body: dict[str, Any] | None = None) -> Any:
    """Return the JSON of a GET, or with `body` of a POST. Raises HTTPError for 400 and above."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"JWT {token}"
    request = urllib.request.Request(address, data=data, headers=headers)  # noqa: S310  # The caller's shop.
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # nosec B310  # as above
        return json.load(answer)

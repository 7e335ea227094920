"""Finds the client's address behind trusted proxies, and hashes it for logs and limits."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac


def client_address(request: HttpRequest) -> str:
    """Return the address that the outermost trusted proxy saw; entries to the left of it can be forged.

    For a request that did not pass the proxies, such as one from another pod, it is the address of the
    connection. An IPv6 address is replaced by its /64 network, since each client has billions of addresses.
    """
    header = request.headers.get("X-Forwarded-For", "")
    told = header.split(",") if header else []
    text = request.META.get("REMOTE_ADDR", "")
    if len(told) >= settings.TRUSTED_PROXIES > 0:
        text = told[-settings.TRUSTED_PROXIES].strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def hash_client_address(request: HttpRequest) -> str:
    """Return a short hash for the log, which identifies an address without revealing it."""
    return keyed_hash("address", client_address(request))[:12]


def keyed_hash(*parts: str) -> str:
    return salted_hmac("accounts.attempts", "\0".join(parts), algorithm="sha256").hexdigest()

"""The client's address, as far as the trusted proxies say, and keyed hashes of it for logs and counts."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac


def client_address(request: HttpRequest) -> str:
    """Where a request comes from, as far as our own proxies say: what is left of them can be forged.

    Who comes past the proxies, as another pod may, is who connects. Of an IPv6 address its network, since
    each client has billions of them.
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
    """For the log: the same for the same address, of which it says nothing else."""
    return keyed_hash("address", client_address(request))[:12]


def keyed_hash(*parts: str) -> str:
    return salted_hmac("accounts.attempts", "\0".join(parts), algorithm="sha256").hexdigest()

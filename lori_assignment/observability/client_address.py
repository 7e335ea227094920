"""Finds the client's address behind trusted proxies, and hashes it for logs and limits."""

from __future__ import annotations

import ipaddress
import logging
import re
from functools import cache

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

logger = logging.getLogger(__name__)

# As some proxies write an address: 203.0.113.7:40312, [2001:db8::7]:40312 or [2001:db8::7].
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](:[0-9]+)?|(?P<v4>[0-9.]+):[0-9]+")


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
        if ported := _WITH_PORT.fullmatch(text):
            text = ported["v6"] or ported["v4"]
    elif told and not settings.TRUSTED_PROXIES:
        _warn_of_proxy()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


@cache
def _warn_of_proxy() -> None:
    """Warn once for each process."""
    logger.warning(
        "A request has the header X-Forwarded-For, but TRUSTED_PROXIES is 0. If a proxy sent it, all "
        "visitors share the proxy's address in limits and logs."
    )


def hash_client_address(request: HttpRequest) -> str:
    """Return a short hash for the log, which identifies an address without revealing it."""
    return keyed_hash("address", client_address(request))[:12]


def keyed_hash(*parts: str) -> str:
    return salted_hmac("accounts.attempts", "\0".join(parts), algorithm="sha256").hexdigest()

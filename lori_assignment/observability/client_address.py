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
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](\s*:\s*[0-9]+)?|(?P<v4>[0-9.]+)\s*:\s*[0-9]+")


def client_address(request: HttpRequest) -> str:
    """Return the address that the outermost trusted proxy saw; entries to the left of it can be forged.

    For a request that did not pass the proxies, such as one from another pod, it is the address of the
    connection; also for an entry that is no address, or each such text would be another client. An IPv6
    address is replaced by its /64 network, or /48 for 6to4, since each client has billions of addresses.
    """
    header = request.headers.get("X-Forwarded-For", "")
    told = header.split(",") if header else []
    entry = ""
    if len(told) >= settings.TRUSTED_PROXIES > 0:
        entry = told[-settings.TRUSTED_PROXIES].strip()
        if ported := _WITH_PORT.fullmatch(entry):
            entry = ported["v6"] or ported["v4"]
    elif told and not settings.TRUSTED_PROXIES:
        _warn_of_proxy()
    peer = request.META.get("REMOTE_ADDR", "")
    return _normalize(entry) or _normalize(peer) or peer


def _normalize(text: str) -> str:
    """Return one spelling for an address or its network, or nothing if `text` is no address."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        prefix = 48 if address.sixtofour else 64
        return str(ipaddress.IPv6Network((int(address), prefix), strict=False).network_address)
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

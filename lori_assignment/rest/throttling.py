"""Limits calls of the API by the client's address."""

from __future__ import annotations

from typing import Any

from rest_framework.throttling import ScopedRateThrottle

from lori_assignment.observability.client_address import client_address


class AddressRateThrottle(ScopedRateThrottle):
    """Counts by the same address as all other limits.

    REST framework's own counts each IPv6 address, of which a client has billions.
    """

    def get_ident(self, request: Any) -> str:
        return client_address(request)

"""Logs security events, one line each: sign-ins, refusals, and changes to credentials or permissions.

A line has the event, the id of the account, and a hash of the client's address. It never contains names,
addresses, passwords, codes or tokens.
"""

from __future__ import annotations

import logging
from typing import Any

from allauth.core import context
from django.http import HttpRequest

from lori_assignment.observability.client_address import hash_client_address

logger = logging.getLogger("security")

# docs/security.md describes them; a test compares the two.
EVENTS = frozenset(
    {
        "account_administered",
        "account_closed",
        "account_opened",
        "address_changed",
        "code_wrong",
        "csrf_refused",
        "factor_added",
        "factor_removed",
        "factor_reset",
        "password_changed",
        "password_reset",
        "password_wrong",
        "refused",
        "sessions_ended",
        "sign_in_locked",
        "signed_in",
        "signed_out",
        "throttled",
        "token_reused",
    }
)
# Signs of a possible attack.
_WARNING_EVENTS = {"token_reused", "sign_in_locked"}


def log_event(
    event: str, request: HttpRequest | None = None, *, account: int | None = None, **more: Any
) -> None:
    """Log one of EVENTS. `more` has words and numbers of ours, never user input.

    Without `request` the client is that of the request being served, if there is one.
    """
    if event not in EVENTS:
        raise ValueError(event)
    request = request or context.request
    told = {
        "event": event,
        "account": account,
        "client": hash_client_address(request) if request else None,
        **more,
    }
    told = {name: value for name, value in told.items() if value not in (None, "")}
    level = logging.WARNING if event in _WARNING_EVENTS else logging.INFO
    logger.log(level, " ".join(f"{name}={value}" for name, value in told.items()), extra=told)

"""What is written down of who comes in, who is kept out, and what changes who may: one line of the log each.

A line says what happened, to which account, by its number, and where from, by a mark that is the same for
the same address and says nothing else of it. Names, addresses, passwords, codes and tokens are in none.
"""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest

from lori_assignment.observability.client_address import hash_client_address

logger = logging.getLogger("security")

# docs/security.md says when; a test compares.
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
# Somebody may be at work who should not.
_WARNING_EVENTS = {"token_reused", "sign_in_locked"}


def log_event(
    event: str, request: HttpRequest | None = None, *, account: int | None = None, **more: Any
) -> None:
    """`more` is words and numbers of ours, and nothing that anybody typed."""
    if event not in EVENTS:
        raise ValueError(event)
    told = {
        "event": event,
        "account": account,
        "client": hash_client_address(request) if request else None,
        **more,
    }
    told = {name: value for name, value in told.items() if value not in (None, "")}
    level = logging.WARNING if event in _WARNING_EVENTS else logging.INFO
    logger.log(level, " ".join(f"{name}={value}" for name, value in told.items()), extra=told)

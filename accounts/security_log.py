"""What is written down of who comes in, who is kept out, and what changes who may: one line of the log each.

A line says what happened, to which account, by its number, and where from, by a mark that is the same for
the same address and says nothing else of it. Names, addresses, passwords, codes and tokens are in none.
"""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from accounts.attempts import hash_client_address
from accounts.models import User

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


def connect_signals() -> None:
    """To allauth, whose pages do most of it. Once, when everything is loaded."""
    from allauth.account import signals as account
    from allauth.mfa import signals as second_factor

    user_logged_in.connect(_log_sign_in, dispatch_uid="security log")
    for signal, event in (
        (user_logged_out, "signed_out"),
        (account.password_changed, "password_changed"),
        (account.password_set, "password_changed"),
        (account.password_reset, "password_reset"),
        (account.email_changed, "address_changed"),
        (second_factor.authenticator_added, "factor_added"),
        (second_factor.authenticator_removed, "factor_removed"),
        (second_factor.authenticator_reset, "factor_reset"),
        (second_factor.authentication_failed, "code_wrong"),
    ):
        signal.connect(_log_on_signal(event), weak=False, dispatch_uid=f"security log: {event}")


def _log_on_signal(event: str) -> Any:
    def receiver(request: HttpRequest | None, user: User | None, **facts: Any) -> None:
        if user is not None:
            kind = getattr(facts.get("authenticator"), "type", None)
            log_event(event, request, account=user.pk, kind=kind)

    return receiver


def _log_sign_in(request: HttpRequest, user: User, **_: Any) -> None:
    proofs = request.session.get("account_authentication_methods", [])
    kinds = sorted({proof.get("type") or proof.get("method", "") for proof in proofs})
    log_event("signed_in", request, account=user.pk, door="web", how="+".join(kinds))

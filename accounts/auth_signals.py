"""Writes allauth's signals to the security log (`lori_assignment.observability.security_log`)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from accounts.models import User
from lori_assignment.observability.security_log import log_event


def connect_signals() -> None:
    """Connect the receivers. Called once, when all apps are loaded."""
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

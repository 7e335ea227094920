"""Binds a sign-in that waits for the second factor to the password, and completes it once.

It waits in the visitor's cookie (`accounts.session_store`), which can be sent again.
"""

from __future__ import annotations

import secrets
from typing import Any

from allauth.mfa.stages import AuthenticateStage
from django.http import HttpResponse
from django.utils.crypto import constant_time_compare

from accounts.session_store import use_once


class SecondFactorStage(AuthenticateStage):
    def handle(self) -> tuple[HttpResponse | None, bool]:
        response, goes_on = super().handle()
        if response:
            self.state["id"] = secrets.token_urlsafe(16)
            self.state["password"] = self.login.user.get_session_auth_hash()
        return response, goes_on

    def exit(self) -> HttpResponse:
        """Go on after the right second factor, or start again if the account has changed meanwhile."""
        if self._is_valid():
            return super().exit()
        return self.abort()

    def _is_valid(self) -> bool:
        given: dict[str, Any] = self.state
        user = self.login.user
        same_password = constant_time_compare(given.get("password", ""), user.get_session_auth_hash())
        if not (user.is_active and same_password):
            return False
        return use_once(f"sign-in:{given['id']}")

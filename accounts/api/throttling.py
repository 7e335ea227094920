"""Limits calls that send a token by the login from which it descends."""

from __future__ import annotations

from typing import Any

from accounts import tokens
from lori_assignment.rest.throttling import CountingThrottle


class FamilyRateThrottle(CountingThrottle):
    """Counts calls of views with `family_throttle_scope`, for each family of tokens.

    A token that is not valid belongs to none, so nobody can use up the calls of another login.
    """

    scope_attr = "family_throttle_scope"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        given = request.data.get(view.token_field) if isinstance(request.data, dict) else None
        family = tokens.family_of(given) if isinstance(given, str) else ""
        return self.cache_format % {"scope": self.scope, "ident": family} if family else None

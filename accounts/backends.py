"""Checks passwords for every entry point, with one look-up, one recorded attempt and one hash."""

from __future__ import annotations

import secrets
from functools import cache
from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import BasePasswordHasher, check_password, get_hasher, make_password
from django.http import HttpRequest

from accounts import login_throttle
from accounts.hashing_queue import hashing_queue
from accounts.models import User
from lori_assignment import clock
from lori_assignment.errors import Throttled
from lori_assignment.observability.security_log import log_event


@cache
def _hash_of_nobody(hasher: BasePasswordHasher) -> str:
    """Return a hash that takes as long to check as that of an account."""
    return make_password(secrets.token_urlsafe(), hasher=hasher)


class PasswordBackend(AuthenticationBackend):
    """Replaces Django's and allauth's backends, which hash once each and count attempts later or never."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        """Return the active account with this username or e-mail address and this password.

        Raises Throttled while attempts are locked or the hashing queue is full.
        """
        login = (username or more.get("email") or "").strip()
        if not login or not password:
            return None
        with hashing_queue.slot():
            return self._check_credentials(request, login, password)

    def _check_credentials(self, request: HttpRequest | None, login: str, password: str) -> User | None:
        account = find_account(login)
        number = account.pk if account else None
        try:
            attempt = login_throttle.record_attempt(request, login=login, account=account, at=clock.now())
            may_succeed = attempt is None or attempt.may_succeed()
            right = _is_right(account if may_succeed else None, password)
            if attempt and attempt.locked_for and not right:
                raise Throttled(attempt.locked_for)
        except Throttled:
            log_event("sign_in_locked", request, account=number)
            raise
        if not right:
            log_event("password_wrong", request, account=number)
            return None
        if attempt:
            attempt.mark_success()
        return account


def _is_right(account: User | None, password: str) -> bool:
    """Return whether `password` opens `account`. The work does not tell whether there is such an account."""
    nobody = _hash_of_nobody(get_hasher())
    if account is None or not account.has_usable_password():
        check_password(password, nobody)
        return False
    return account.check_password(password) and account.is_active


def find_account(login: str) -> User | None:
    """Find an account by username, which has no @, or by e-mail address, ignoring case.

    The number of queries does not depend on whether the account exists.
    """
    if len(login) > login_throttle.MAX_LOGIN_LENGTH:
        # SQLite rejects LIKE patterns of more than 50,000 bytes.
        return None
    if "@" not in login:
        return User.objects.filter(username__iexact=login).first()
    confirmed = EmailAddress.objects.filter(email=login.lower(), verified=True).select_related("user").first()
    own = User.objects.filter(email__iexact=login).first()
    return confirmed.user if confirmed else own

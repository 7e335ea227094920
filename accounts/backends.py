"""The one place where a password is checked, whoever asks: one look-up, one count, one hash."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from accounts import login_throttle
from accounts.hashing_queue import hashing_queue
from accounts.models import User
from lori_assignment import clock
from lori_assignment.errors import Throttled
from lori_assignment.observability.security_log import log_event

# Of an e-mail address; a username is shorter.
MAX_LOGIN_LENGTH = 254


class PasswordBackend(AuthenticationBackend):
    """In place of Django's and allauth's, which compute a hash each, and count after it or not at all."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        """The active account that is called so, by username or e-mail address, and has this password.

        Raises TooMany, before any hash is computed; also where others wait for theirs already.
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
        except Throttled:
            log_event("sign_in_locked", request, account=number)
            raise
        if account is None:
            # As much work as for one that exists, so that the time does not tell.
            make_password(password)
            log_event("password_wrong", request)
            return None
        if not account.check_password(password):
            log_event("password_wrong", request, account=number)
            return None
        if attempt:
            attempt.mark_success()
        return account if self.user_can_authenticate(account) else None


def find_account(login: str) -> User | None:
    """By its username, which has no @, or by its e-mail address: in any case, and in as many queries
    whether there is one or not."""
    if len(login) > MAX_LOGIN_LENGTH:
        # SQLite does not look for a text of 50,000 signs.
        return None
    if "@" not in login:
        return User.objects.filter(username__iexact=login).first()
    confirmed = EmailAddress.objects.filter(email=login.lower(), verified=True).select_related("user").first()
    own = User.objects.filter(email__iexact=login).first()
    return confirmed.user if confirmed else own

"""The one place where a password is checked, whoever asks: one look-up, one count, one hash."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from accounts import attempts
from accounts.models import User
from accounts.security_log import note
from accounts.turns import turns
from lori_assignment import clock

# Of an e-mail address; a username is shorter.
LONGEST_LOGIN = 254


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
        with turns.place():
            return self._whose_password(request, login, password)

    def _whose_password(self, request: HttpRequest | None, login: str, password: str) -> User | None:
        account = account_called(login)
        number = account.pk if account else None
        try:
            attempt = attempts.begin(request, login=login, account=account, at=clock.now())
        except attempts.TooMany:
            note("sign_in_locked", request, account=number)
            raise
        if account is None:
            # As much work as for one that exists, so that the time does not tell.
            make_password(password)
            note("password_wrong", request)
            return None
        if not account.check_password(password):
            note("password_wrong", request, account=number)
            return None
        if attempt:
            attempt.was_right()
        return account if self.user_can_authenticate(account) else None


def account_called(login: str) -> User | None:
    """By its username, which has no @, or by its e-mail address: in any case, and in as many queries
    whether there is one or not."""
    if len(login) > LONGEST_LOGIN:
        # SQLite does not look for a text of 50,000 signs.
        return None
    if "@" not in login:
        return User.objects.filter(username__iexact=login).first()
    confirmed = EmailAddress.objects.filter(email=login.lower(), verified=True).select_related("user").first()
    own = User.objects.filter(email__iexact=login).first()
    return confirmed.user if confirmed else own

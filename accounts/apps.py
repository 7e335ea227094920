from typing import Any

from allauth.usersessions import apps as usersessions
from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")
    default = True

    def ready(self) -> None:
        from accounts.auth_signals import connect_signals

        connect_signals()


class SessionsConfig(usersessions.UserSessionsConfig):
    """Replaces allauth's sign-in receiver, which runs a query for every session of the account."""

    default = False

    def ready(self) -> None:
        from allauth.account.signals import password_changed, password_set, user_logged_in
        from allauth.mfa.signals import authenticator_used
        from allauth.usersessions.signals import on_password_changed

        user_logged_in.connect(_record_session)
        authenticator_used.connect(_rotate_session_key)
        for changed in (password_changed, password_set):
            changed.connect(on_password_changed)


def _record_session(request: Any, **kwargs: Any) -> None:
    from accounts.sessions import record_session

    record_session(request)


def _rotate_session_key(request: Any, reauthenticated: bool, **kwargs: Any) -> None:
    """Rotate the key as after reauthentication by password; a sign-in gets a new key anyway."""
    from accounts.sessions import rotate_session_key

    if reauthenticated:
        rotate_session_key(request)

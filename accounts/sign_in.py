"""Signs in API clients, with the same password check, throttle and second factor as the pages."""

from __future__ import annotations

from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import update_last_login
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.second_factor import must_set_up_second_factor
from lori_assignment.errors import Throttled
from lori_assignment.observability.security_log import log_event

WRONG_PASSWORD = _("This is not your current password.")
_LOCKED = "too_many_login_attempts"


class SignInRefused(Exception):
    """A sign-in that was refused. Clients branch on `code`; people read `message`."""

    code = "authentication_failed"
    # The same for an unknown name, a wrong password and a deactivated account.
    message = _("Wrong username or password.")


class CodeRequired(SignInRefused):
    code = "otp_required"
    message = _("This account uses two-factor sign-in. Send a code as otp.")


class CodeWrong(SignInRefused):
    code = "otp_invalid"
    message = _("This code is wrong or has already been used.")


class SecondFactorMissing(SignInRefused):
    code = "second_factor_required"
    message = _("Staff accounts need two-factor sign-in. Sign in on the website to set it up.")


def sign_in(request: HttpRequest, *, login: str, password: str, code: str = "") -> User:
    """Return the active account of `login`, a username or e-mail address, and record its sign-in.

    Raises SignInRefused and Throttled.
    """
    user = check_password(request, login=login, password=password)
    if user is None:
        raise SignInRefused
    if must_set_up_second_factor(user):
        raise SecondFactorMissing
    asks_for_code = is_mfa_enabled(user)
    if asks_for_code:
        _check_code(user, code)
    update_last_login(User, user)
    how = "password+code" if asks_for_code else "password"
    log_event("signed_in", request, account=user.pk, door="api", how=how)
    return user


def check_password(request: HttpRequest, *, login: str, password: str) -> User | None:
    """Return the active account, or None if the password is wrong. Raises Throttled while locked."""
    return authenticate(request, username=login, password=password)


def _check_code(user: User, code: str) -> None:
    if not code:
        raise CodeRequired
    form = AuthenticateForm({"code": code}, user=user)
    if form.is_valid():
        form.authenticator.record_usage()
    elif form.has_error("code", _LOCKED):
        raise Throttled(settings.SECOND_FACTOR_LOCK_SECONDS)
    else:
        raise CodeWrong

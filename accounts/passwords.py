"""Changes and resets passwords for the API; the pages are allauth's own."""

from __future__ import annotations

from functools import partial

from allauth.account.adapter import get_adapter
from allauth.account.forms import ResetPasswordForm, default_token_generator
from allauth.account.utils import url_str_to_user_pk
from allauth.core import ratelimit
from django.http import HttpRequest

from accounts.login_throttle import clear_attempts, normalize_login
from accounts.mail import send_in_background
from accounts.models import User
from lori_assignment import clock
from lori_assignment.errors import Throttled
from lori_assignment.observability.security_log import log_event


def send_reset_mail(request: HttpRequest, *, email: str) -> None:
    """Mail a link to the page that sets a new password; an unknown address gets a mail that says so.

    The mail is sent in the background, so the response does not reveal which. Raises Throttled.
    """
    if not ratelimit.consume(request, action="reset_password", key=normalize_login(email)):
        raise Throttled(60)
    send_in_background(partial(mail_reset_link, request, email))


def mail_reset_link(request: HttpRequest, email: str) -> None:
    form = ResetPasswordForm({"email": email})
    # REST framework accepts some addresses that Django rejects; no account has one of them.
    if form.is_valid():
        form.save(request)


def find_account_by_reset_key(*, uid: str, token: str) -> User | None:
    """Return the account of the two halves of a reset link's key, or None if they are not valid now."""
    try:
        user = User.objects.filter(pk=url_str_to_user_pk(uid), is_active=True).first()
    except (ValueError, OverflowError):
        return None
    return user if user and default_token_generator.check_token(user, token) else None


def reset_password(request: HttpRequest, *, user: User, password: str) -> None:
    """Set the password and notify the account's address."""
    adapter = get_adapter(request)
    adapter.set_password(user, password)
    clear_attempts(request, user, at=clock.now())
    log_event("password_reset", request, account=user.pk)
    adapter.send_notification_mail("account/email/password_reset", user)


def change_password(request: HttpRequest, *, user: User, password: str) -> None:
    """Set the password and notify the account's address, in case somebody else changed it."""
    adapter = get_adapter(request)
    adapter.set_password(user, password)
    log_event("password_changed", request, account=user.pk)
    adapter.send_notification_mail("account/email/password_changed", user)

"""Adapts allauth for both the pages and the API."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import web_tokens
from accounts.backends import find_account
from accounts.login_throttle import clear_attempts
from accounts.mail import send_on_commit
from accounts.models import EMAIL_TAKEN, USERNAME_TAKEN, User
from accounts.sessions import rotate_session_key
from accounts.sign_in import WRONG_PASSWORD, SignInRefused, check_password
from lori_assignment import clock
from lori_assignment.http.member_pages import keep_unsent
from lori_assignment.http.site_urls import absolute_url
from lori_assignment.observability.client_address import client_address

logger = logging.getLogger(__name__)

MAX_NEXT_BYTES = 1000


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_taken": EMAIL_TAKEN,
        "username_taken": USERNAME_TAKEN,
        # The API's message, the same for every cause.
        "username_password_mismatch": SignInRefused.message,
        "email_password_mismatch": SignInRefused.message,
        "too_many_login_attempts": _("Too many attempts. Wait a few minutes and try again."),
        "incorrect_password": WRONG_PASSWORD,
        "enter_current_password": WRONG_PASSWORD,
        "invalid_password_reset": _("This link is invalid or has expired."),
    }

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send the mail after the commit, with links to SITE_URL regardless of the request's Host header."""
        links = {key: _absolute_url(value) for key, value in context.items() if key.endswith("_url")}
        site = SimpleNamespace(name=settings.SITE_NAME, domain=urlsplit(settings.SITE_URL).netloc)
        facts = {"request": self.request, "email": email, **context, **links, "current_site": site}
        message = self.render_mail(template_prefix, email, facts)

        def send() -> None:
            try:
                message.send()
            except OSError:
                # Carry on: the account exists by now, or the response must not reveal whether it does.
                logger.exception("E-mail %s couldn't be sent.", template_prefix)

        send_on_commit(send)

    def is_safe_url(self, url: str | None) -> bool:
        """Accept relative URLs only: even an absolute one of this site could lead to plain HTTP.

        A long one is refused, because it is kept in the session cookie until the sign-in is complete.
        """
        if url and len(url.encode(errors="replace")) > MAX_NEXT_BYTES:
            return False
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def add_message(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        # API clients show no messages; they would stay in a cookie and appear on an unrelated page.
        if not request.path.startswith("/api/"):
            super().add_message(request, *args, **kwargs)

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        try:
            with transaction.atomic():
                return super().confirm_email(request, email_address)
        except IntegrityError:
            # Another account took the address before it was confirmed here.
            self.add_message(
                request,
                messages.ERROR,
                "account/messages/email_confirmation_failed.txt",
                {"email": email_address.email},
            )
            return False

    def get_login_stages(self) -> list[str]:
        ours = {"allauth.mfa.stages.AuthenticateStage": "accounts.login_stages.SecondFactorStage"}
        return [ours.get(stage, stage) for stage in super().get_login_stages()]

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Apply the account's language to a browser in which none was chosen, and keep an unsent form."""
        response = super().post_login(request, user, **kwargs)
        keep_unsent(request)
        if user.language and settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                user.language,
                max_age=settings.LANGUAGE_COOKIE_AGE,
                secure=settings.LANGUAGE_COOKIE_SECURE,
                httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
                samesite=settings.LANGUAGE_COOKIE_SAMESITE,
            )
        return response

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        user.set_password(password)
        # Only this field: another request may have changed the profile meanwhile.
        user.save(update_fields=["password"])

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Bypass allauth's rate limit, because `PasswordBackend` throttles every caller. Raises Throttled."""
        return authenticate(request, **credentials)

    def reauthenticate(self, user: User, password: str) -> bool:
        right = check_password(self.request, login=user.username, password=password) == user
        if right:
            rotate_session_key(self.request)
        return right

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """Called by allauth after a password reset."""
        account = find_account(credentials.get("email") or credentials.get("username") or "")
        if account:
            clear_attempts(request, account, at=clock.now())


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("This code is wrong or has already been used."),
        "unverified_email": _("Confirm your e-mail address first: it lets you recover your account."),
    }

    def is_mfa_enabled(self, user: Any, types: list[str] | None = None) -> bool:
        if user.is_anonymous:
            return False
        kinds = _second_factors(user)
        return bool(kinds if types is None else kinds.keys() & set(types))

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:
        return gettext("Passkey %(number)d") % {"number": _second_factors(user)[type] + 1}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Bind passkeys to the host of SITE_URL, regardless of the request's Host header."""
        return {"id": urlsplit(settings.SITE_URL).hostname or "", "name": settings.SITE_NAME}


def _second_factors(user: AbstractBaseUser) -> Counter[str]:
    """Count the user's second factors by type.

    A page asks for each type, for some of them twice, so a GET request caches the counts. Other methods may
    change them.
    """
    found = Authenticator.objects.filter(user_id=user.pk).values_list("type", flat=True)
    if context.request is None or context.request.method != "GET":
        return Counter(found)
    looked_up = vars(context.request.allauth).setdefault("second_factors", {})
    if user.pk not in looked_up:
        looked_up[user.pk] = Counter(found)
    return looked_up[user.pk]


class SessionsAdapter(DefaultUserSessionsAdapter):
    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        """End the sessions together with all of their tokens."""
        listed = list(sessions)
        for owner in {one.user_id for one in listed}:
            web_tokens.end_sessions(owner, [one.session_key for one in listed if one.user_id == owner])
        UserSession.objects.filter(pk__in=[one.pk for one in listed]).delete()


def _absolute_url(url: str) -> str:
    return absolute_url(urlsplit(url)._replace(scheme="", netloc="").geturl())

"""Provides dj-rest-auth's endpoints, without the defects that the tests of this app describe."""

from __future__ import annotations

from functools import partial
from typing import Any

from allauth.account.models import EmailAddress, get_emailconfirmation_model
from allauth.core import ratelimit
from dj_rest_auth import views as stock
from dj_rest_auth.registration.views import RegisterView
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts import tokens
from accounts.api.base import AuthAPIView, PublicAuthAPIView, django_request
from accounts.api.exceptions import refusals_as_api_errors
from accounts.api.serializers.auth import EmailKeyIn, LoginOut, Profile, ProfileIn, RegisterIn, ResendEmailIn
from accounts.api.serializers.tokens import RefreshIn
from accounts.api.token_views import RestAuthTokenRefresh, TokenAuth, TokenRefresh, TokenVerify
from accounts.mail import send_in_background
from accounts.models import User
from accounts.sign_in import sign_in


class Login(PublicAuthAPIView, stock.LoginView):
    response_serializer = LoginOut
    refuses_credentials = True

    def post(self, request: Request) -> Response:
        """Sign in with a username or an e-mail address"""
        return super().post(request)

    def login(self) -> None:
        given = self.serializer.validated_data
        with refusals_as_api_errors():
            self.user = sign_in(
                django_request(self.request),
                login=given["login"],
                password=given["password"],
                code=given.get("otp", ""),
            )
        self.access_token, self.refresh_token = tokens.issue_tokens(self.user)


class Register(PublicAuthAPIView, RegisterView):
    response_serializer = LoginOut
    response_status = 201

    def post(self, request: Request) -> Response:
        """Register a member account"""
        return super().post(request)

    def perform_create(self, serializer: RegisterIn) -> User:
        # Not allauth's complete_signup(), which would also start a web session.
        user = serializer.save(self.request)
        send_in_background(partial(_send_confirmation, self.request, user.email))
        self.access_token, self.refresh_token = tokens.issue_tokens(user)
        return user


class Logout(PublicAuthAPIView, GenericAPIView[Any]):
    """dj-rest-auth's own view answers 401 for a missing field and 500 for a token that is not a string."""

    serializer_class = RefreshIn
    refuses_credentials = True

    def post(self, request: Request) -> Response:
        """Sign out

        The refresh token and every other token of the same login stop working.
        """
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        with refusals_as_api_errors():
            tokens.revoke(given.validated_data["refresh"])
        return Response({"detail": _("Signed out.")})


class UserDetails(stock.UserDetailsView):
    tag = "sign-in"
    http_method_names = ["get", "head", "put", "patch"]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        return Profile if self.request.method == "GET" else ProfileIn

    def get_response_serializer_class(self) -> type[Serializer[Any]]:
        return Profile

    def get(self, request: Request) -> Response:
        """Get your account"""
        return super().get(request)

    def put(self, request: Request) -> Response:
        """Change your profile"""
        return self._change(request, partial=False)

    def patch(self, request: Request) -> Response:
        """Change some fields of your profile"""
        return self._change(request, partial=True)

    def _change(self, request: Request, *, partial: bool) -> Response:
        given = self.get_serializer(data=request.data, partial=partial)
        given.is_valid(raise_exception=True)
        user = self.get_object()
        user.change_profile(**given.validated_data)
        return Response(Profile(user).data)


class PasswordChange(AuthAPIView, stock.PasswordChangeView):
    def post(self, request: Request) -> Response:
        """Change your password

        Every token that was issued before stops working, and so does the calendar link.
        """
        super().post(request)
        return Response(
            {
                "detail": _(
                    "Your password has been changed. Your calendar link, if you had one, no longer works."
                )
            }
        )


class PasswordReset(PublicAuthAPIView, stock.PasswordResetView):
    def post(self, request: Request) -> Response:
        """Request an e-mail with a link that resets your password"""
        return super().post(request)


class PasswordResetConfirm(PublicAuthAPIView, stock.PasswordResetConfirmView):
    def post(self, request: Request) -> Response:
        """Set a new password with the key from the link

        Every token that was issued before stops working, and so does the calendar link.
        """
        super().post(request)
        return Response(
            {
                "detail": _(
                    "Your new password has been set. Your calendar link, if you had one, no longer works."
                )
            }
        )


class VerifyEmail(PublicAuthAPIView, GenericAPIView[Any]):
    may_not_find = True
    serializer_class = EmailKeyIn

    def post(self, request: Request) -> Response:
        """Confirm an e-mail address with the key from the link"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        confirmation = get_emailconfirmation_model().from_key(given.validated_data["key"])
        if confirmation is None or not confirmation.confirm(django_request(request)):
            raise NotFound
        return Response({"detail": _("E-mail address confirmed.")})


class ResendEmail(PublicAuthAPIView, GenericAPIView[Any]):
    serializer_class = ResendEmailIn

    def post(self, request: Request) -> Response:
        """Request another e-mail to confirm an address"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        send_in_background(partial(_send_confirmation, request, given.validated_data["email"]))
        return Response({"detail": _("If this address is still unconfirmed, we've sent an e-mail to it.")})


def _send_confirmation(request: Request, email: str) -> None:
    """Mail a link to an unconfirmed address, unless allauth's cooldown is running."""
    email = email.lower()
    waiting = EmailAddress.objects.filter(email=email, verified=False).select_related("user").first()
    if waiting and ratelimit.consume(django_request(request), action="confirm_email", key=email):
        waiting.send_confirmation(django_request(request), signup=True)


PATHS = [
    ("api-token-auth", TokenAuth),
    ("api-token-refresh", TokenRefresh),
    ("api-token-verify", TokenVerify),
    ("api/rest-auth/login", Login),
    ("api/rest-auth/logout", Logout),
    ("api/rest-auth/user", UserDetails),
    ("api/rest-auth/password/change", PasswordChange),
    ("api/rest-auth/password/reset", PasswordReset),
    ("api/rest-auth/password/reset/confirm", PasswordResetConfirm),
    ("api/rest-auth/token/verify", TokenVerify),
    ("api/rest-auth/token/refresh", RestAuthTokenRefresh),
    ("api/rest-auth/registration", Register),
    ("api/rest-auth/registration/verify-email", VerifyEmail),
    ("api/rest-auth/registration/resend-email", ResendEmail),
]

"""Issues, renews and verifies tokens."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts import tokens
from accounts.api.base import PublicAuthAPIView, django_request
from accounts.api.exceptions import refusals_as_api_errors
from accounts.api.serializers.tokens import RefreshIn, RestAuthTokenPair, TokenIn, TokenPair, VerifyIn
from accounts.sign_in import sign_in


@method_decorator(sensitive_post_parameters("password", "otp"), name="dispatch")
class TokenAuth(PublicAuthAPIView, GenericAPIView[Any]):
    serializer_class = TokenIn
    refuses_credentials = True
    response_serializer = TokenPair

    def post(self, request: Request) -> Response:
        """Get a token for a username and password"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        with refusals_as_api_errors():
            user = sign_in(
                django_request(request),
                login=given.validated_data["username"],
                password=given.validated_data["password"],
                code=given.validated_data.get("otp", ""),
            )
        return Response(TokenPair(tokens.issue_tokens(user)).data)


class _TokenAPIView(PublicAuthAPIView, GenericAPIView[Any]):
    """Has limits of its own, so that many members behind one address can refresh while others sign in."""

    throttle_scope = "tokens"
    family_throttle_scope = "token_family"
    # Of the request's body.
    token_field: str


class TokenRefresh(_TokenAPIView):
    token_field = "refresh"  # noqa: S105  # The name of a field.
    serializer_class = RefreshIn
    refuses_credentials = True
    response_serializer: type[Serializer[Any]] = TokenPair

    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair of tokens

        The refresh token stops working. For 10 seconds it returns the same pair again, unless that was used.
        After that, using it again revokes every token of that login.
        """
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        with refusals_as_api_errors():
            pair = tokens.renew(given.validated_data["refresh"])
        return Response(self.response_serializer(pair).data)


class RestAuthTokenRefresh(TokenRefresh):
    """The same under dj-rest-auth's path and with its field names."""

    response_serializer = RestAuthTokenPair


class TokenVerify(_TokenAPIView):
    token_field = "token"  # noqa: S105  # The name of a field.
    serializer_class = VerifyIn
    refuses_credentials = True
    response_serializer = None

    def post(self, request: Request) -> Response:
        """Check whether a token is valid"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        with refusals_as_api_errors():
            tokens.verify(given.validated_data["token"])
        return Response({})

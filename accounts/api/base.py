"""Base classes of the authentication views."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from accounts.api.serializers.tokens import Detail


def django_request(request: Request) -> HttpRequest:
    """Return Django's request, which allauth expects."""
    return request._request  # noqa: SLF001  # REST framework has no public name for it.


class AuthAPIView(APIView):
    """Mixed into POST views; `response_serializer` and `response_status` are for the OpenAPI document."""

    tag = "sign-in"
    throttle_scope = "dj_rest_auth"
    http_method_names = ["post"]
    response_serializer: type[Serializer[Any]] | None = Detail
    response_status = 200

    def get_response_serializer_class(self) -> type[Serializer[Any]] | None:
        return self.response_serializer


class PublicAuthAPIView(AuthAPIView):
    """Requires no authentication and ignores the Authorization header, so an expired token does no harm."""

    # For the OpenAPI document: whether wrong credentials in the body are answered with 401.
    refuses_credentials = False
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        # Without this header REST framework would answer 403 instead of 401.
        return JWTAuthentication().authenticate_header(request)

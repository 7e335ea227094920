"""What the views of signing in have in common."""

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
    """Django's request, which is what allauth takes."""
    return request._request  # noqa: SLF001  # REST framework has no public name for it.


class AuthAPIView(APIView):
    """Mixed into views that take a POST; `response_serializer` and `response_status` are for the document."""

    tag = "sign-in"
    throttle_scope = "dj_rest_auth"
    http_method_names = ["post"]
    response_serializer: type[Serializer[Any]] | None = Detail
    response_status = 200

    def get_response_serializer_class(self) -> type[Serializer[Any]] | None:
        return self.response_serializer


class PublicAuthAPIView(AuthAPIView):
    """Nobody has to be signed in, and a stale token in the header does no harm."""

    # For the documentation: a 401 that is about what the body holds.
    refuses_credentials = False
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        # Without it REST framework would answer 403 instead of 401.
        return JWTAuthentication().authenticate_header(request)

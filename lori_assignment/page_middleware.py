"""Middleware that pages need and the API does not, which works by tokens: for it no session is looked up
and no message kept. A leaf.
"""

from __future__ import annotations

from typing import Any

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware

# The API's resources. What signs in over the API goes through allauth, which knows sessions.
RESOURCES = "/api/v"


class _ForPages:
    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(RESOURCES):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]  # the middleware that stands beside


class Policy(_ForPages, CSPMiddleware):
    """For pages that have something of their own to say, by its decorators. Of all others
    `lori_assignment.safety` says the same, and has it written already; but not to developers."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if settings.DEBUG or any(name.startswith("_csp_") for name in vars(response)):
            return super().process_response(request, response)
        return response


class Sessions(_ForPages, SessionMiddleware):
    pass


class SignedIn(_ForPages, AuthenticationMiddleware):
    pass


class Messages(_ForPages, MessageMiddleware):
    pass


class Common(CommonMiddleware):
    """For all; but a path of the API is right with and without its slash, and is not looked up twice."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return not request.path_info.startswith(RESOURCES) and super().should_redirect_with_slash(request)

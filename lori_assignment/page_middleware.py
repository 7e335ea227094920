"""Middleware that pages need and the API does not, which works by tokens: for it no session is looked up
and no message kept. A leaf.
"""

from __future__ import annotations

from typing import Any

from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.middleware.common import CommonMiddleware

# The API's resources. What signs in over the API goes through allauth, which knows sessions.
RESOURCES = "/api/v"


class _ForPages:
    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(RESOURCES):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]  # the middleware that stands beside


# What it says of the API too, `lori_assignment.safety` says of all that nobody has spoken of.
class Policy(_ForPages, CSPMiddleware):
    pass


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

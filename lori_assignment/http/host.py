"""Refuses requests without a Host header above HTTP/1.0, as RFC 9112 demands.

Django would take the server's own address for the Host, and the error of ALLOWED_HOSTS would be logged with a
traceback. HTTP/1.0 has no Host, so health checks in that version are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lori_assignment.http.charset import Application, refuse

_ERROR = {"detail": "Send a Host header.", "code": "bad_request"}


def require_host(application: Application) -> Application:
    """Wrap `application` so that a request without a Host is answered 400, except in HTTP/1.0."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("SERVER_PROTOCOL", "HTTP/1.0") != "HTTP/1.0" and "HTTP_HOST" not in environ:
            return refuse(_ERROR, environ, start_response)
        return application(environ, start_response)

    return guarded

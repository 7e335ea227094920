"""Refuses requests in any charset but UTF-8 before Django decodes them.

Django decodes by the codec that a Content-Type names, before any middleware runs. Some of Python's codecs
crash then, and others produce text that no database stores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from django.http import QueryDict

from lori_assignment.http.problem_details import format_error
from lori_assignment.http.security_headers import HEADERS

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# No middleware adds these here, nor to the errors of deploy/nginx.conf, which repeats them.
ERROR_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    **HEADERS,
}
_ERROR = {"detail": "Only UTF-8 is supported.", "code": "parse_error"}


def is_utf8(content_type: str) -> bool:
    """Whether no other charset is named, and no parameter has another encoding (`name*=…`)."""
    charsets = re.findall(r"""charset\s*=\s*["']?([^"';\s]*)""", content_type, re.IGNORECASE)
    return all(charset.lower() in ("utf-8", "utf8") for charset in charsets) and "*=" not in content_type


def has_lost_letters(form: QueryDict) -> bool:
    """Whether Django has put a replacement character into the names or values of `form`.

    It does so for invalid UTF-8. A client that really sends the character is refused too: it stands for a
    lost letter and belongs in no name. To decode the form a second time would cost as much as the first.
    """
    return any("\N{REPLACEMENT CHARACTER}" in text for name, texts in form.lists() for text in (name, *texts))


def refuse_other_charsets(application: Application) -> Application:
    """Wrap `application` so that a request in another charset is answered 400."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if is_utf8(environ.get("CONTENT_TYPE", "")):
            return application(environ, start_response)
        return refuse(_ERROR, environ, start_response)

    return guarded


def refuse(
    error: dict[str, Any], environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """Answer 400 without Django. The access log has a line for it."""
    told, kind = format_error(error, status=400, accept=environ.get("HTTP_ACCEPT", ""))
    body = json.dumps(told).encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Vary", "Accept")]
    start_response("400 Bad Request", [*headers, *ERROR_HEADERS.items()])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

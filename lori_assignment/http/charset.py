"""Only UTF-8 comes in. Django decodes by whatever codec a Content-Type names, before any middleware:
some of Python's codecs then crash, and others make text that no database stores."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from lori_assignment.http.problem_details import format_error
from lori_assignment.http.security_headers import HEADERS

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# No middleware adds them, neither here nor to the errors of deploy/nginx.conf.
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
_ERROR = {"detail": "Only the charset UTF-8 is understood.", "code": "parse_error"}


def is_utf8(content_type: str) -> bool:
    """False for another charset, and for a parameter in an encoding of its own (`name*=…`)."""
    charsets = re.findall(r"""charset\s*=\s*["']?([^"';\s]*)""", content_type, re.IGNORECASE)
    return all(charset.lower() in ("utf-8", "utf8") for charset in charsets) and "*=" not in content_type


def refuse_other_charsets(application: Application) -> Application:
    """Answer 400 to a request in another charset, and hand on the rest."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if is_utf8(environ.get("CONTENT_TYPE", "")):
            return application(environ, start_response)
        told, kind = format_error(_ERROR, status=400, accept=environ.get("HTTP_ACCEPT", ""))
        body = json.dumps(told).encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Vary", "Accept")]
        start_response("400 Bad Request", [*headers, *ERROR_HEADERS.items()])
        return [body]

    return guarded

"""Rejects requests by method, size and encoding before the body is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, UnreadablePostError

from lori_assignment.errors import KIB, MIB, BodyTooLarge, Throttled
from lori_assignment.http.charset import has_lost_letters
from lori_assignment.http.error_handlers import https_required, length_required, too_many_requests

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# The only addresses that take a file. Its form has room for a cover of the maximum size and the other fields.
UPLOADS = re.compile(r"/(api/v[123]/books|admin/books/book)(/|\Z)")
MAX_UPLOAD_BYTES = 6 * MIB
# For pages and their forms. The API's views check their own methods.
PAGE_METHODS = ("GET", "HEAD", "POST")


class RequestLimitsMiddleware:
    """Comes last, so that the error pages have all that pages need. No earlier middleware reads the body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_api = request.path.startswith("/api")
        if is_api and settings.SECURE_SSL_REDIRECT and not request.is_secure():
            return https_required(request)
        if request.method not in PAGE_METHODS and not is_api:
            return HttpResponseNotAllowed(PAGE_METHODS)
        if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
            # Django treats a body of unknown length as empty, and would not do what was requested.
            return length_required(request)
        _refuse_too_large(request)
        if not is_api and _is_upload_of_visitor(request):
            _discard_body(request)
            return redirect_to_login(request.get_full_path())
        if not is_api and request.content_type == URLENCODED:
            # The API's own parser checks this.
            _refuse_other_than_utf8(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 429 to a Throttled that a view raises, such as one with a form for a password."""
        return too_many_requests(request, exception) if isinstance(exception, Throttled) else None


def max_body_bytes(content_type: str, path: str) -> int:
    """Return how long a body of this type may be at this address."""
    if content_type == MULTIPART and UPLOADS.match(path):
        return MAX_UPLOAD_BYTES
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _sent_bytes(request: HttpRequest) -> int:
    """Return the declared length of the body; 0 if there is none."""
    sent = request.META.get("CONTENT_LENGTH") or "0"
    return int(sent) if sent.isdecimal() else 0


def _is_upload_of_visitor(request: HttpRequest) -> bool:
    """Whether it is larger than other bodies, and not sent by staff: the CSRF check would decode it first."""
    return _sent_bytes(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE and not request.user.is_staff


def _refuse_too_large(request: HttpRequest) -> None:
    """Raise BodyTooLarge if Content-Length exceeds the limit."""
    most = max_body_bytes(request.content_type or "", request.path)
    if _sent_bytes(request) > most:
        _discard_body(request)
        raise BodyTooLarge(most)


def _discard_body(request: HttpRequest) -> None:
    """Read what nginx lets through: it answers 502 if the connection is closed while it still sends."""
    left = min(_sent_bytes(request), MAX_UPLOAD_BYTES)
    with suppress(OSError):
        while left and (part := request.META["wsgi.input"].read(min(left, 64 * KIB))):
            left -= len(part)


def _refuse_other_than_utf8(request: HttpRequest) -> None:
    """Raise BadRequest if a form is not in UTF-8: replacement characters would spoil a name for good."""
    try:
        request.body.decode()
    except UnicodeDecodeError:
        raise BadRequest("The form isn't encoded in UTF-8.") from None
    except UnreadablePostError:
        raise BadRequest("The form is incomplete.") from None
    if has_lost_letters(request.POST):
        raise BadRequest("The form isn't encoded in UTF-8.")

"""Rejects requests by method, size and encoding before the body is parsed."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, UnreadablePostError

from lori_assignment.errors import Throttled
from lori_assignment.http.error_handlers import https_required, length_required, too_many_requests

# A cover of the maximum size and the other fields of its form.
MAX_UPLOAD_BYTES = 6 * 1024 * 1024
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
        if not is_api and request.content_type == "application/x-www-form-urlencoded":
            # The API's own parser checks this.
            _refuse_other_than_utf8(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 429 to a Throttled that a view raises, such as one with a form for a password."""
        return too_many_requests(request, exception) if isinstance(exception, Throttled) else None


def _refuse_too_large(request: HttpRequest) -> None:
    """Raise RequestDataTooBig if Content-Length exceeds the limit; the server reads no more than that."""
    sent = request.META.get("CONTENT_LENGTH") or "0"
    is_upload = request.content_type == "multipart/form-data"
    most = MAX_UPLOAD_BYTES if is_upload else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if sent.isdecimal() and int(sent) > most:
        raise RequestDataTooBig("The request body is too large.")


def _refuse_other_than_utf8(request: HttpRequest) -> None:
    """Raise BadRequest if a form is not in UTF-8: replacement characters would spoil a name for good."""
    try:
        unquote_to_bytes(request.body).decode()
    except UnicodeDecodeError:
        raise BadRequest("The form isn't encoded in UTF-8.") from None
    except UnreadablePostError:
        raise BadRequest("The form is incomplete.") from None

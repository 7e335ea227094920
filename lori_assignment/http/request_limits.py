"""What is let in to be read at all: asked before anybody parses a body, a page's form or the API's."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, UnreadablePostError

from lori_assignment.errors import Throttled
from lori_assignment.http.error_handlers import https_required, length_required, too_many_requests

# A cover of the largest size that is taken, and the fields beside it.
MAX_UPLOAD_BYTES = 6 * 1024 * 1024
# All that a page is asked by, and a form. The API says itself what each of its paths takes.
PAGE_METHODS = ("GET", "HEAD", "POST")


class RequestLimitsMiddleware:
    """Stands last, so that the error pages have all that pages need; no other one reads a body before."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_api = request.path.startswith("/api")
        if is_api and settings.SECURE_SSL_REDIRECT and not request.is_secure():
            return https_required(request)
        if request.method not in PAGE_METHODS and not is_api:
            return HttpResponseNotAllowed(PAGE_METHODS)
        if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
            # Django takes a body of unknown length for none, and would do what was not asked for.
            return length_required(request)
        _refuse_too_large(request)
        if not is_api and request.content_type == "application/x-www-form-urlencoded":
            # The API's own parser says what is wrong.
            _refuse_other_than_utf8(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page's form that takes a password raises TooMany from deep within a view."""
        return too_many_requests(request, exception) if isinstance(exception, Throttled) else None


def _refuse_too_large(request: HttpRequest) -> None:
    """Raises RequestDataTooBig, by what the client says that it sends; the server reads no more of it."""
    sent = request.META.get("CONTENT_LENGTH") or "0"
    is_upload = request.content_type == "multipart/form-data"
    most = MAX_UPLOAD_BYTES if is_upload else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if sent.isdecimal() and int(sent) > most:
        raise RequestDataTooBig("The body is too large.")


def _refuse_other_than_utf8(request: HttpRequest) -> None:
    """Raises BadRequest. Django would put a replacement character, and a name would be spoilt for good."""
    try:
        unquote_to_bytes(request.body).decode()
    except UnicodeDecodeError:
        raise BadRequest("The form is not in UTF-8.") from None
    except UnreadablePostError:
        raise BadRequest("The form broke off.") from None

"""What goes compressed over the wire."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers


class CompressionMiddleware(GZipMiddleware):
    """Django's own, which leaves alone what carries a strong ETag.

    Compressed it would be another representation, and its tag a weak one, which If-Match never matches:
    whoever accepts gzip, as nearly every client does, could not change what it has read. These answers
    of the API are one book, rental or account each, and small. A page of books has a weak one, and is
    compressed.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.get("ETag", "").startswith('"'):
            return response
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            # As the answer with a body would say, whose place in a cache it concerns.
            patch_vary_headers(response, ("Accept-Encoding",))
            return response
        return super().process_response(request, response)

"""What goes compressed over the wire."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class CompressionMiddleware(GZipMiddleware):
    """Django's own, which leaves alone what carries a strong ETag.

    Compressed it would be another representation, and its tag a weak one, which If-Match never matches:
    whoever accepts gzip, as nearly every client does, could not change what it has read. These answers
    of the API are one book, rental or account each, and small.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.get("ETag", "").startswith('"'):
            return response
        return super().process_response(request, response)

"""Compresses responses, except those with a strong ETag."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers


class CompressionMiddleware(GZipMiddleware):
    """Django's GZipMiddleware, which leaves responses with a strong ETag as they are.

    A compressed response is another representation with a weak ETag, which If-Match never matches. So a
    client that accepts gzip, as nearly all do, could not change what it has read. These responses are small:
    one book, rental or account each. A list has a weak ETag and is compressed.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.get("ETag", "").startswith('"'):
            return response
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            # As in the full response, whose entry in a cache the 304 updates.
            patch_vary_headers(response, ("Accept-Encoding",))
            return response
        return super().process_response(request, response)

"""Caches anonymous responses of the public catalogue in each process, for RESPONSE_CACHE_SECONDS."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders
from django.urls import ResolverMatch
from django.utils.cache import get_conditional_response

from lori_assignment.http.security_headers import PUBLIC_RESOURCES

PATHS = tuple(f"/api/{version}/{name}" for version in ("v1", "v2", "v3") for name in PUBLIC_RESOURCES)
# A request with one of these headers concerns one client, or does not ask for the whole response.
BYPASS = ("AUTHORIZATION", "IF_MATCH", "RANGE", "TRANSFER_ENCODING")
# A response depends on these, the scheme and htmx's headers, which request a part of a page.
KEY_FIELDS = (
    *("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT"),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "CONTENT_TYPE"),
)
MAX_RESPONSES = 64
MAX_BYTES = 128 * 1024


class CachedResponse(NamedTuple):
    expires_at: float
    content: bytes
    headers: ResponseHeaders
    resolver_match: ResolverMatch | None


class ResponseCacheMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        # Threads share it without a lock: dict operations are atomic, and a lost entry costs one more call of
        # the view.
        self._cached: dict[tuple[object, ...], CachedResponse] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not settings.RESPONSE_CACHE_SECONDS or not is_cacheable(request):
            return self.get_response(request)
        key, now = cache_key(request), time.monotonic()
        if (cached_response := self._cached.get(key)) and now < cached_response.expires_at:
            _, content, headers, request.resolver_match = cached_response  # The metrics need the last.
            response = HttpResponse(content)
            response.headers = ResponseHeaders(headers)
            etag = response.get("ETag")
            return get_conditional_response(request, etag=etag, response=response) or response
        answer = self.get_response(request)
        if isinstance(answer, HttpResponse) and may_be_cached(answer):
            if len(self._cached) >= MAX_RESPONSES:
                self._cached.clear()
            # Counted from before the view reads the data, so that the data is never older than the limit.
            expires_at, headers = now + settings.RESPONSE_CACHE_SECONDS, ResponseHeaders(answer.headers)
            self._cached[key] = CachedResponse(expires_at, answer.content, headers, request.resolver_match)
        return answer


def is_cacheable(request: HttpRequest) -> bool:
    is_public = request.path_info == "/home" or request.path_info.startswith(PATHS)
    has_body = request.META.get("CONTENT_LENGTH", "") not in ("", "0")
    is_own = bool(request.META.get("HTTP_COOKIE")) or any(f"HTTP_{name}" in request.META for name in BYPASS)
    return request.method == "GET" and is_public and not has_body and not is_own


def cache_key(request: HttpRequest) -> tuple[object, ...]:
    htmx = sorted(item for item in request.META.items() if item[0].startswith("HTTP_HX_"))
    return (request.scheme, *(request.META.get(name, "") for name in KEY_FIELDS), *htmx)


def may_be_cached(response: HttpResponse) -> bool:
    is_own = response.status_code != 200 or response.cookies or response.has_header("Cache-Control")
    return not is_own and len(response.content) <= MAX_BYTES

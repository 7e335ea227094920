"""What the API tells anybody, told again for a second as it was. A leaf.

Only to who says nothing of who they are: a request with a token or any cookie is always answered anew,
and its answer is kept for nobody. Nothing is kept longer than RECENT_SECONDS from the time at which it
began to be read, and nothing beyond the next request, to any process of this server, that may have changed
something. So whoever has changed a book sees it changed, signed in or not.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders
from django.urls import ResolverMatch

from lori_assignment.safety import PUBLIC_RESOURCES

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
PLACES = tuple(f"/api/{version}/{name}" for version in ("v1", "v2", "v3") for name in PUBLIC_RESOURCES)
# A request that has one of these may be answered otherwise than the next one, and is not heard here.
OWN = (
    *("HTTP_AUTHORIZATION", "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"),
    *("HTTP_TRANSFER_ENCODING", "HTTP_RANGE"),
)
# All else that an answer depends on.
TOLD_BY = (
    *("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT"),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "CONTENT_TYPE"),
)
MOST = 256
LARGEST = 64 * 1024

Key = tuple[str, ...]


class Changes:
    """Counts, over all processes that were forked from this one, the requests that may have changed
    something. Two at once may count as one, which says as much."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)

    def now(self) -> bytes:
        return self._shared[:]

    def one_more(self) -> None:
        count = int.from_bytes(self._shared[:], "little") + 1
        self._shared[:] = (count % (1 << 64)).to_bytes(8, "little")


class Recent(NamedTuple):
    at: float
    changes: bytes
    content: bytes
    headers: ResponseHeaders
    route: ResolverMatch | None


changes = Changes()


class RecentMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._recent: dict[Key, Recent] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        key = key_of(request)
        if key is None:
            response = self.get_response(request)
            if request.method not in SAFE and not 400 <= response.status_code < 500:
                changes.one_more()
            return response
        at, changed = time.monotonic(), changes.now()
        recent = self._recent.get(key)
        if recent and at - recent.at < settings.RECENT_SECONDS and recent.changes == changed:
            return _told_again(recent, request)
        response = self.get_response(request)
        if isinstance(response, HttpResponse) and may_be_kept(response):
            if len(self._recent) >= MOST:
                self._recent.clear()
            headers = ResponseHeaders(response.headers)
            self._recent[key] = Recent(at, changed, response.content, headers, request.resolver_match)
        return response


def key_of(request: HttpRequest) -> Key | None:
    """What an answer to `request` depends on; None where it is not for anybody."""
    told = request.META
    if request.method != "GET" or not request.path_info.startswith(PLACES):
        return None
    if told.get("HTTP_COOKIE") or told.get("CONTENT_LENGTH") or any(name in told for name in OWN):
        return None
    return (str(request.scheme), *(told.get(name, "") for name in TOLD_BY))


def may_be_kept(response: HttpResponse) -> bool:
    return (
        response.status_code == 200
        and not response.cookies
        and not response.has_header("Cache-Control")
        and len(response.content) <= LARGEST
    )


def _told_again(recent: Recent, request: HttpRequest) -> HttpResponse:
    response = HttpResponse(recent.content)
    response.headers = ResponseHeaders(recent.headers)
    # By which it is counted.
    request.resolver_match = recent.route
    return response

"""What the shop tells everybody alike, told again for a second as it was. A leaf.

To who says nothing of who they are the API's answers are told again by the middleware here, before anybody
has looked at them. To who is signed in, by whoever has looked at their token or session, by `Recent`: what
is theirs is made anew for each, and what all see alike is told again.

Nothing is kept longer than RECENT_SECONDS from the time at which it began to be read, and nothing beyond
the next request that may have changed something: to any process of this server for those who are signed
out, to any server for those who are signed in. So whoever has changed a book sees it changed.
"""

from __future__ import annotations

import logging
import mmap
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from django.conf import settings
from django.db import Error, connection
from django.db.models import BigIntegerField, Expression
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders
from django.urls import ResolverMatch
from django.utils.cache import get_conditional_response

from lori_assignment.safety import PUBLIC_RESOURCES

logger = logging.getLogger(__name__)

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
PLACES = tuple(f"/api/{version}/{name}" for version in ("v1", "v2", "v3") for name in PUBLIC_RESOURCES)
# A request that has one of these may be answered otherwise than the next one, and is not heard here.
OWN = ("HTTP_IF_MATCH", "HTTP_TRANSFER_ENCODING", "HTTP_RANGE")
# All else that an answer depends on.
TOLD_BY = (
    *("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT"),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "CONTENT_TYPE"),
)
# Who signs in there changes nothing that others see. Who closes an account does: what was put aside for them
# is free again.
OF_SIGN_INS = ("/api-token-", "/api/rest-auth/", "/user/login/")
MOST = 64
LARGEST = 64 * 1024

Key = tuple[str, ...]
_Value = TypeVar("_Value")


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


changes = Changes()


class ChangesOfAll(Expression):
    """How many requests to any server may have changed something, for the query that looks up who asks.

    A sequence of PostgreSQL, which makes nobody wait and is not rolled back. Beside SQLite there is one
    server, whose processes share `changes`.
    """

    output_field = BigIntegerField()

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "0", []

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        return "(SELECT last_value FROM lori_changes)", []


def one_more_change() -> None:
    """Called when it is done, and before anybody is told so."""
    changes.one_more()
    if connection.vendor != "postgresql":
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('lori_changes')")
    except Error:
        # What is done is done, whether or not it can be counted; the others see it within a second.
        logger.warning("A change was not counted.", exc_info=True)


class Since(NamedTuple):
    """When something began to be read, and what had changed by then."""

    at: float
    changes: bytes
    of_all: int | None

    @classmethod
    def now(cls, of_all: int | None = None) -> Since:
        return cls(time.monotonic(), changes.now(), of_all)

    def holds(self, now: Since) -> bool:
        """Whether what was read then may be told `now`."""
        return now.at - self.at < settings.RECENT_SECONDS and self[1:] == now[1:]


class Recent(Generic[_Value]):
    """Values of one kind, by all that they depend on; `most` of them in each process.

    Those of who is signed in and of who is not are kept apart: they are good until different changes.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, tuple[Since, _Value]] = {}

    def get(self, key: Hashable, now: Since) -> _Value | None:
        since, value = self._kept.get((key, now.of_all is None), (None, None))
        return value if since and since.holds(now) else None

    def keep(self, key: Hashable, since: Since, value: _Value) -> None:
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[key, since.of_all is None] = since, value


class Told(NamedTuple):
    content: bytes
    headers: ResponseHeaders
    route: ResolverMatch | None

    @classmethod
    def by(cls, response: HttpResponse, request: HttpRequest) -> Told:
        return cls(response.content, ResponseHeaders(response.headers), request.resolver_match)

    def again(self, request: HttpRequest) -> HttpResponseBase:
        """What it was; 304 to who has that already, by If-None-Match."""
        response = HttpResponse(self.content)
        response.headers = ResponseHeaders(self.headers)
        if "HTTP_IF_NONE_MATCH" not in request.META or "ETag" not in response.headers:
            return response
        return get_conditional_response(request, etag=response.headers["ETag"], response=response) or response


class RecentMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._recent: Recent[Told] = Recent(most=MOST)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_for_anybody(request):
            response = self.get_response(request)
            if may_have_changed(request, response):
                one_more_change()
            return response
        key, now = told_by(request), Since.now()
        told = self._recent.get(key, now)
        if told:
            # By which it is counted.
            request.resolver_match = told.route
            return told.again(request)
        response = self.get_response(request)
        if isinstance(response, HttpResponse) and may_be_kept(response):
            self._recent.keep(key, now, Told.by(response, request))
        return response


def may_have_changed(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Something that others see, too. A refusal has not, nor what is answered 503: see `faults`."""
    return (
        request.method not in SAFE
        and not 400 <= response.status_code < 500
        and response.status_code != 503
        and not request.path_info.startswith(OF_SIGN_INS)
    )


def _is_for_anybody(request: HttpRequest) -> bool:
    told = request.META
    return (
        request.path_info.startswith(PLACES)
        and not told.get("HTTP_COOKIE")
        and "HTTP_AUTHORIZATION" not in told
        and not is_of_its_own(request)
    )


def is_of_its_own(request: HttpRequest) -> bool:
    """Whether it asks for something else than what there is at its address."""
    told = request.META
    return request.method != "GET" or bool(told.get("CONTENT_LENGTH")) or any(name in told for name in OWN)


def told_by(request: HttpRequest) -> Key:
    """What an answer to `request` depends on, whoever asks."""
    return (str(request.scheme), *(request.META.get(name, "") for name in TOLD_BY))


def may_be_kept(response: HttpResponse) -> bool:
    return (
        response.status_code == 200
        and not response.cookies
        and not response.has_header("Cache-Control")
        and len(response.content) <= LARGEST
    )

"""The base class of the API's viewsets, with ETags and conditional changes.

The ETag of one object is strong and covers the whole response, byte for byte. So it changes with everything
that the client has seen: with an edit, and also with a running cost that has grown by a day or a copy of the
book that was rented meanwhile. The ETag of a list is weak: lists are compressed and never edited as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model
from django.utils.cache import get_conditional_response
from rest_framework import status
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from lori_assignment import clock
from lori_assignment.db.transactions import atomic_with_retry
from lori_assignment.rest.etags import SAFE, check_preconditions, has_precondition
from lori_assignment.rest.renderers import render_json

_Model = TypeVar("_Model", bound=Model)
_Result = TypeVar("_Result")


def compute_etag(data: Any) -> str:
    return f'"{hashlib.sha256(render_json(data)).hexdigest()[:32]}"'


class ResourceViewSet(GenericViewSet[_Model]):
    """Answers 405 for a method that the path does not have before it checks permissions."""

    tag: str
    # Whether a single object is answered with an ETag, by `detail_response`.
    has_etags = False
    # Whether a list is, by `list_response`.
    lists_have_etags = False
    # Only calls that sign in or take tokens are limited by their number.
    throttle_classes: list[Any] = []

    def check_permissions(self, request: Request) -> None:
        if (request.method or "").lower() not in self.action_map:
            raise MethodNotAllowed(request.method or "")
        super().check_permissions(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # The clock is read once, so that everything in a response refers to the same time.
        self.now = clock.now()
        super().initial(request, *args, **kwargs)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": getattr(self, "now", None)}

    @property
    def api_version(self) -> str:
        """v1, v2 or v3, as in the path."""
        return str(self.request.version)

    @property
    def caller(self) -> Any:
        """The requesting user; authenticated where the permissions require it."""
        return self.request.user

    def represent(self, pk: Any) -> Any:
        """Return the response data of one object, read from the database. Required for ETags."""
        raise NotImplementedError

    def detail_response(self, data: Any, status_code: int = status.HTTP_200_OK) -> Response:
        """Return `data` with its ETag, or a 304 if If-None-Match names it."""
        return self._with_etag(Response(data, status=status_code), compute_etag(data))

    def list_response(self, answer: Response) -> Response:
        """Like `detail_response`, with a weak ETag, because lists are compressed."""
        return self._with_etag(answer, f"W/{compute_etag(answer.data)}")

    def _with_etag(self, answer: Response, etag: str) -> Response:
        answer.headers["ETag"] = etag
        request: Any = self.request
        if request.method not in SAFE:
            return answer
        check_preconditions(request.headers, method=request.method, etag=etag)
        # Django builds the 304, with the headers of `answer` that belong to one.
        conditional: Any = get_conditional_response(request, etag=etag, response=answer)
        return conditional

    def if_unmodified(
        self, one: Model, change: Callable[[], _Result], *, lock: Callable[[Any], object]
    ) -> _Result:
        """Call `change` if `one` meets the preconditions of the request; else raise PreconditionFailed.

        The check and the change are one transaction under `lock`, which the change takes anyway, so that of
        two clients that have read the same state only one writes. Without preconditions there is no lock.
        """
        if not has_precondition(self.request.headers):
            return change()
        return self._change_if_unmodified(one, change, lock)

    @atomic_with_retry
    def _change_if_unmodified(
        self, one: Model, change: Callable[[], _Result], lock: Callable[[Any], object]
    ) -> _Result:
        lock(one)
        etag = compute_etag(self.represent(one.pk))
        check_preconditions(self.request.headers, method=str(self.request.method), etag=etag)
        return change()

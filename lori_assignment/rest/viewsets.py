"""What the resources of the API have in common. A leaf."""

from __future__ import annotations

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
from lori_assignment.rest.etags import SAFE, check_preconditions, compute_etag, has_precondition

_Model = TypeVar("_Model", bound=Model)
_Result = TypeVar("_Result")


class ResourceViewSet(GenericViewSet[_Model]):
    """A method that a path does not have is 405 for everybody, before anybody is asked who they are."""

    tag: str
    # One of them is answered with an ETag, by `detail_response`.
    has_etags = False
    # And so is a list of them, by `list_response`.
    lists_have_etags = False

    def check_permissions(self, request: Request) -> None:
        if (request.method or "").lower() not in self.action_map:
            raise MethodNotAllowed(request.method or "")
        super().check_permissions(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # The clock is read once, so that one answer does not speak of two times.
        self.now = clock.now()
        super().initial(request, *args, **kwargs)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": getattr(self, "now", None)}

    @property
    def api_version(self) -> str:
        """v1, v2 or v3; the address has said which."""
        return str(self.request.version)

    @property
    def caller(self) -> Any:
        """Who calls; signed in, where the permissions ask for it."""
        return self.request.user

    def represent(self, pk: Any) -> Any:
        """What one of them is answered as, read anew from the database; for those that have ETags."""
        raise NotImplementedError

    def detail_response(self, data: Any, status_code: int = status.HTTP_200_OK) -> Response:
        """`data` with its ETag, or 304 when If-None-Match names it."""
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
        # Django's own 304, with the headers of `answer`, where it is one.
        conditional: Any = get_conditional_response(request, etag=etag, response=answer)
        return conditional

    def if_unmodified(
        self, one: Model, change: Callable[[], _Result], *, lock: Callable[[Any], object]
    ) -> _Result:
        """Do `change` to `one`; raises PreconditionFailed when that is not what If-Match says.

        The look and the change are one transaction under `lock`, which the change takes anyway, so
        that of two who have read the same only one writes. Without the header nothing is locked here.
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

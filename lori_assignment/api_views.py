"""What the resources of the API have in common. A leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from lori_assignment.api_conditions import SAFE, has_condition, is_known, tag_of
from lori_assignment.api_rendering import written
from lori_assignment.recent import MOST, Recent, Since, Told, is_of_its_own, may_be_kept, told_by
from lori_assignment.work import unit_of_work

_recent: Recent[Told] = Recent(most=MOST)

_Model = TypeVar("_Model", bound=Model)
_Result = TypeVar("_Result")


class ResourceViewSet(GenericViewSet[_Model]):
    """A method that a path does not have is 405 for everybody, before anybody is asked who they are."""

    tag: str
    # One of them is answered with an ETag, by `answer_one`.
    has_etags = False
    # And so is a list of them, by `answer_list`.
    lists_have_etags = False

    def check_permissions(self, request: Request) -> None:
        if (request.method or "").lower() not in self.action_map:
            raise MethodNotAllowed(request.method or "")
        super().check_permissions(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # The clock is read once, so that one answer does not speak of two times.
        self.now = timezone.now()
        super().initial(request, *args, **kwargs)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": getattr(self, "now", None)}

    def page(self, rows: QuerySet[_Model], *, kept_as: str = "", **values: Any) -> list[_Model]:
        """The page of `rows` that is asked for, as `keyset.page_of`."""
        paginator: Any = self.paginator
        found: list[_Model] = paginator.paginate_queryset(
            rows, self.request, view=self, kept_as=kept_as, **values
        )
        return found

    @property
    def api_version(self) -> str:
        """v1, v2 or v3; the address has said which."""
        return str(self.request.version)

    @property
    def caller(self) -> Any:
        """Who calls; signed in, where the permissions ask for it."""
        return self.request.user

    def shown(self, pk: Any) -> Any:
        """What one of them is answered as, read anew from the database; for those that have ETags."""
        raise NotImplementedError

    def told_again(self, answer: Callable[[], Response]) -> Response | HttpResponseBase:
        """`answer()`, which is the same for whoever asks, or what it was within the last second if nothing
        has changed since; see `recent`.

        Who is signed out has been told already. Of who is signed in another way than by a token of
        theirs it is not known what has changed.
        """
        of_all = getattr(self.caller, "changes", None)
        request: Any = self.request
        if of_all is None or is_of_its_own(request):
            return answer()
        key, now = told_by(request), Since.now(of_all)
        told = _recent.get(key, now)
        if told:
            return told.again(request)
        made = answer()
        if made.status_code != status.HTTP_200_OK:
            return made
        headers = {**made.headers, "Content-Type": "application/json"}
        response = HttpResponse(written(made.data), headers=headers)
        if may_be_kept(response):
            _recent.keep(key, now, Told.by(response, request))
        return response

    def answer_one(self, data: Any, status_code: int = status.HTTP_200_OK) -> Response:
        """`data` with its ETag; to whoever has it already by If-None-Match, 304 without it."""
        return self._tagged(Response(data, status=status_code), tag_of(data))

    def answer_list(self, answer: Response) -> Response:
        """As `answer_one`, with a weak tag, since a list is compressed on its way."""
        return self._tagged(answer, f"W/{tag_of(answer.data)}")

    def _tagged(self, answer: Response, tag: str) -> Response:
        method = str(self.request.method)
        if method in SAFE and is_known(self.request.headers, method=method, tag=tag):
            answer = Response(status=status.HTTP_304_NOT_MODIFIED)
        answer.headers["ETag"] = tag
        return answer

    def as_it_was_read(
        self, one: Model, change: Callable[[], _Result], *, lock: Callable[[Any], object]
    ) -> _Result:
        """Do `change` to `one`; raises PreconditionFailed when that is not what If-Match says.

        The look and the change are one transaction under `lock`, which the change takes anyway, so
        that of two who have read the same only one writes. Without the header nothing is locked here.
        """
        if not has_condition(self.request.headers):
            return change()
        return self._while_unchanged(one, change, lock)

    @unit_of_work
    def _while_unchanged(
        self, one: Model, change: Callable[[], _Result], lock: Callable[[Any], object]
    ) -> _Result:
        lock(one)
        tag = tag_of(self.shown(one.pk))
        is_known(self.request.headers, method=str(self.request.method), tag=tag)
        return change()

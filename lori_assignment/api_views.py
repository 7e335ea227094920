"""What the resources of the API have in common. A leaf: imports REST framework only."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model
from django.utils import timezone
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

_Model = TypeVar("_Model", bound=Model)


class ResourceViewSet(GenericViewSet[_Model]):
    """A method that a path does not have is 405 for everybody, before anybody is asked who they are."""

    tag: str

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

    @property
    def api_version(self) -> str:
        """v1, v2 or v3; the address has said which."""
        return str(self.request.version)

    @property
    def caller(self) -> Any:
        """Who calls; signed in, where the permissions ask for it."""
        return self.request.user

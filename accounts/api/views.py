"""Lists, shows and changes accounts over the API."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.db.models import QuerySet
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts.api.serializers import v1_v2, v3
from accounts.models import User
from lori_assignment.db.transactions import lock
from lori_assignment.rest.viewsets import ResourceViewSet

SERIALIZERS: dict[str | None, ModuleType] = {"v1": v1_v2, "v2": v1_v2, "v3": v3}


class AccountViewSet(ResourceViewSet[User]):
    tag = "accounts"
    has_etags = True

    def get_permissions(self) -> list[Any]:
        if not self.action:  # The method is not allowed, which is 405 for everybody.
            return []
        return [IsAdminUser()] if self.action == "list" else [IsAuthenticated()]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        shape = SERIALIZERS[self.request.version]
        return shape.AccountIn if self.action in ("update", "partial_update") else shape.AccountOut

    def get_response_serializer_class(self) -> type[Serializer[Any]]:
        return SERIALIZERS[self.request.version].AccountOut

    def get_queryset(self) -> QuerySet[User]:
        return User.objects.for_user(self.request.user).order_by("pk")

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List accounts"""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Get an account"""
        return self.detail_response(self.get_serializer(self.get_object()).data)

    def update(self, request: Request, **kwargs: Any) -> Response:
        """Change the profile of an account"""
        account = self.get_object()
        given = self.get_serializer(data=request.data, partial=self.action == "partial_update")
        given.is_valid(raise_exception=True)
        self.if_unmodified(account, lambda: account.change_profile(**given.validated_data), lock=lock)
        return self.detail_response(self.represent(account.pk))

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change some fields of the profile of an account"""
        return self.update(request, **kwargs)

    def represent(self, pk: Any) -> Any:
        return self.get_response_serializer_class()(self.get_queryset().get(pk=pk)).data

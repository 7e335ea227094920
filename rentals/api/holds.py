"""API views for holds: members' places in the queues for books."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from lori_assignment.rest.idempotency import idempotent
from lori_assignment.rest.viewsets import ResourceViewSet
from rentals import holds
from rentals.api.filters import HoldFilter
from rentals.api.serializers import v3_holds
from rentals.models import Hold
from rentals.wait_estimates import wait_estimates


def represent_holds(holds: Sequence[Hold], *, at: datetime) -> list[dict[str, Any]]:
    """Return the data of `holds`, with the place and the expected date at `at` of those that wait."""
    context = {"wait_estimates": wait_estimates(holds, at=at)}
    return [v3_holds.HoldOut(hold, context=context).data for hold in holds]


class HoldViewSet(ResourceViewSet[Hold]):
    tag = "holds"
    filterset_class = HoldFilter
    permission_classes = [IsAuthenticated]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        if self.action == "create":
            # The OpenAPI document shows the fields for staff too.
            desk = self.request.user.is_staff or getattr(self, "swagger_fake_view", False)
            return v3_holds.HoldDeskIn if desk else v3_holds.HoldIn
        return v3_holds.HoldOut

    def get_response_serializer_class(self) -> type[Serializer[Any]] | None:
        return None if self.action == "destroy" else v3_holds.HoldOut

    def get_queryset(self) -> QuerySet[Hold]:
        holds = Hold.objects.order_by("-id")
        # The OpenAPI document is generated without a user.
        return holds if getattr(self, "swagger_fake_view", False) else holds.for_user(self.caller)

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List holds

        Members see their own; staff see all.
        """
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(represent_holds(page, at=self.now))

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Get a hold"""
        return Response(represent_holds([self.get_object()], at=self.now)[0])

    @idempotent
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Place a hold on a book

        The member joins the queue for a book that has no available copy.
        """
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        wish = given.validated_data
        hold = holds.place_hold(member=wish.get("user", request.user), book=wish["book"], at=self.now)
        return Response(represent_holds([hold], at=self.now)[0], status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Cancel a hold"""
        holds.cancel_hold(hold=self.get_object(), at=self.now)
        return Response(status=status.HTTP_204_NO_CONTENT)

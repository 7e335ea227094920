"""API views for payments and price lists."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from rest_framework import status
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from lori_assignment.rest.idempotency import idempotent, mark_as_replayed
from lori_assignment.rest.viewsets import ResourceViewSet
from rentals import client_refs, ledger, price_lists
from rentals.api.filters import PaymentFilter
from rentals.api.serializers import v3_money
from rentals.models import LedgerEntry, PriceList, Rental


class PaymentViewSet(ResourceViewSet[LedgerEntry]):
    tag = "payments"
    filterset_class = PaymentFilter

    def get_permissions(self) -> list[Any]:
        return [IsAdminUser()] if self.action == "create" else [IsAuthenticated()]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        return v3_money.PaymentIn if self.action == "create" else v3_money.PaymentOut

    def get_response_serializer_class(self) -> type[Serializer[Any]]:
        return v3_money.PaymentOut

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        payments = LedgerEntry.objects.payments().select_related("reversed_by", "client_ref").order_by("-id")
        # The OpenAPI document is generated without a user.
        return payments if getattr(self, "swagger_fake_view", False) else payments.for_user(self.caller)

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List payments

        Members see their own; staff see all.
        """
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Get a payment"""
        return Response(self.get_serializer(self.get_object()).data)

    @idempotent
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Take a payment"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        payment = given.validated_data

        def take() -> LedgerEntry:
            return ledger.take_payment(
                member=payment["user"],
                amount=payment["amount"],
                method=payment["method"],
                note=payment.get("note", ""),
                actor=self.caller,
                at=self.now,
            )

        ref = payment.pop("client_ref", None)
        sent = {**payment, "made": "payment"}
        if ref is None:
            entry, is_new = take(), True
        else:
            entry, is_new = client_refs.make_once(
                account=self.caller, ref=ref, content=sent, make=take, at=self.now
            )
        answer = Response(v3_money.PaymentOut(entry).data, status=status.HTTP_201_CREATED)
        return answer if is_new else mark_as_replayed(answer)


class PriceListViewSet(ResourceViewSet[PriceList]):
    tag = "price lists"
    filter_backends: list[Any] = []

    def get_permissions(self) -> list[Any]:
        return [AllowAny()] if self.action in ("list", "retrieve") else [IsAdminUser()]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        writes = self.action in ("create", "update", "partial_update")
        return v3_money.PriceListIn if writes else v3_money.PriceListOut

    def get_response_serializer_class(self) -> type[Serializer[Any]] | None:
        return None if self.action == "destroy" else v3_money.PriceListOut

    def get_queryset(self) -> QuerySet[PriceList]:
        in_force = PriceList.objects.in_force(self.now).values("pk")
        return (
            PriceList.objects.annotate(
                in_force=Q(pk=Subquery(in_force)),
                used=Exists(Rental.objects.filter(rate__price_list=OuterRef("pk"))),
            )
            .prefetch_related("rates")
            .order_by("id")
        )

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List price lists"""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Get a price list"""
        return Response(self.get_serializer(self.get_object()).data)

    @idempotent
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Create a price list"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = price_lists.make_price_list(**{"in_force_from": self.now} | given.validated_data)
        return self._response(made, status.HTTP_201_CREATED)

    def update(self, request: Request, **kwargs: Any) -> Response:
        """Change a price list

        Only while no rental uses it.
        """
        price_list = self.get_object()
        given = self.get_serializer(price_list, data=request.data, partial=self.action == "partial_update")
        given.is_valid(raise_exception=True)
        return self._response(price_lists.change_price_list(price_list=price_list, **given.validated_data))

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change some fields of a price list

        Only while no rental uses it.
        """
        return self.update(request, **kwargs)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Delete a price list

        Only while no rental uses it.
        """
        price_lists.delete_price_list(price_list=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _response(self, price_list: PriceList, status_code: int = status.HTTP_200_OK) -> Response:
        fresh = self.get_queryset().get(pk=price_list.pk)
        return Response(v3_money.PriceListOut(fresh).data, status=status_code)

"""API views of books and copies."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from drf_yasg import openapi
from drf_yasg.utils import swagger_auto_schema
from rest_framework import status
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from books import stock
from books.api.filters import BookFilter, CopyFilter
from books.api.serializers import v1_v2, v3
from books.models import Book, Copy
from lori_assignment.db.transactions import lock
from lori_assignment.money import plain_amount
from lori_assignment.rest.idempotency import idempotent
from lori_assignment.rest.viewsets import ResourceViewSet
from rentals.availability import free_copies, set_copy_counts
from rentals.errors import NoPriceInForce
from rentals.offers import quote_for
from rentals.stock import add_copy, change_copy

SERIALIZERS: dict[str, ModuleType] = {"v1": v1_v2, "v2": v1_v2, "v3": v3}


class BookViewSet(ResourceViewSet[Book]):
    tag = "books"
    # While other covers are decoded.
    may_be_busy = True
    has_etags = lists_have_etags = True
    queryset = Book.objects.order_by("id")
    filterset_class = BookFilter

    def get_permissions(self) -> list[Any]:
        return [AllowAny()] if self.action in ("list", "retrieve", "quote") else [IsAdminUser()]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        shape = SERIALIZERS[self.api_version]
        writes = self.action in ("create", "update", "partial_update")
        return shape.BookIn if writes else shape.BookOut

    def get_response_serializer_class(self) -> type[Serializer[Any]] | None:
        return None if self.action == "destroy" else SERIALIZERS[self.api_version].BookOut

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List books"""
        page: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.list_response(self.get_paginated_response(self._represent(page)))

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Get a book"""
        return self.detail_response(self._represent([self.get_object()])[0])

    @idempotent
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Add a book with its first copies"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        book = stock.add_book(**given.validated_data)
        return self.detail_response(self.represent(book.pk), status.HTTP_201_CREATED)

    def update(self, request: Request, **kwargs: Any) -> Response:
        """Change a book"""
        book = self.get_object()
        given = self.get_serializer(book, data=request.data, partial=self.action == "partial_update")
        given.is_valid(raise_exception=True)
        changes = given.validated_data
        # After creation, copies are added and removed one at a time.
        changes.pop("copies", None)
        self.if_unmodified(book, lambda: stock.change_book(book=book, **changes), lock=lock)
        return self.detail_response(self.represent(book.pk))

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change some fields of a book"""
        return self.update(request, **kwargs)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Delete a book that was never rented"""
        book = self.get_object()
        self.if_unmodified(book, lambda: stock.delete_book(book=book), lock=lock)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @swagger_auto_schema(
        responses={200: v3.QuoteOut},
        manual_parameters=[
            openapi.Parameter(
                "days", openapi.IN_QUERY, "How many days, from 1.", required=True, type=openapi.TYPE_INTEGER
            )
        ],
    )
    def quote(self, request: Request, **kwargs: Any) -> Response:
        """Quote the price of a book for a number of days"""
        asked = v3.QuoteIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        days = asked.validated_data["days"]
        book = self.get_object()
        quote = quote_for(self.caller if self.caller.is_authenticated else None, book=book, at=self.now)
        if quote is None:
            raise NoPriceInForce
        price = quote.price(days)
        return Response(
            {
                "book": book.pk,
                "price_list": quote.rate.price_list.name,
                "currency": settings.CURRENCY,
                **price.as_json(),
                "total": plain_amount(price.total),
            }
        )

    def represent(self, pk: Any) -> Any:
        return self._represent([self.get_queryset().get(pk=pk)])[0]

    def _represent(self, books: Sequence[Book]) -> Any:
        # Versions 1 and 2 do not include the counts of copies.
        if self.api_version == "v3":
            set_copy_counts(books)
        return SERIALIZERS[self.api_version].BookOut(books, many=True).data


class CopyViewSet(ResourceViewSet[Copy]):
    tag = "copies"
    permission_classes = [IsAdminUser]
    filterset_class = CopyFilter

    def get_serializer_class(self) -> type[Serializer[Any]]:
        if self.action == "create":
            return v3.CopyIn
        return v3.CopyChange if self.action in ("update", "partial_update") else v3.CopyOut

    def get_response_serializer_class(self) -> type[Serializer[Any]] | None:
        return None if self.action == "destroy" else v3.CopyOut

    def get_queryset(self) -> QuerySet[Copy]:
        free = free_copies().filter(pk=OuterRef("pk"))
        return Copy.objects.annotate(available=Exists(free)).order_by("id")

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List copies"""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Get a copy"""
        return Response(self.get_serializer(self.get_object()).data)

    @idempotent
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Add a copy of a book"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        copy = add_copy(at=self.now, **given.validated_data)
        return self._response(copy.pk, status.HTTP_201_CREATED)

    def update(self, request: Request, **kwargs: Any) -> Response:
        """Change a copy"""
        copy = self.get_object()
        given = self.get_serializer(copy, data=request.data, partial=self.action == "partial_update")
        given.is_valid(raise_exception=True)
        change_copy(copy=copy, at=self.now, actor=self.caller, **given.validated_data)
        return self._response(copy.pk)

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change some fields of a copy"""
        return self.update(request, **kwargs)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Delete a copy that was never rented"""
        stock.delete_copy(copy=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _response(self, pk: int, status_code: int = status.HTTP_200_OK) -> Response:
        return Response(v3.CopyOut(self.get_queryset().get(pk=pk)).data, status=status_code)

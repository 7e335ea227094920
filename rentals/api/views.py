"""API views for rentals, balances and statements."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_yasg.utils import no_body, swagger_auto_schema
from rest_framework import status
from rest_framework.permissions import SAFE_METHODS, IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts.models import User
from lori_assignment.rest.idempotency import idempotent, mark_as_replayed
from lori_assignment.rest.viewsets import ResourceViewSet
from rentals import client_refs, ledger, services
from rentals.api.fields import Status
from rentals.api.filters import RentalFilter, RentalV3Filter
from rentals.api.serializers import v1_v2, v3
from rentals.models import LedgerEntry, Rental

SERIALIZERS: dict[str, ModuleType] = {"v1": v1_v2, "v2": v1_v2, "v3": v3}


class RentalViewSet(ResourceViewSet[Rental]):
    tag = "rentals"
    has_etags = True
    lookup_field = "ref"

    @property
    def filterset_class(self) -> type[RentalFilter]:
        return RentalV3Filter if self.api_version == "v3" else RentalFilter

    def get_permissions(self) -> list[Any]:
        if self.action in ("update", "partial_update", "destroy", "bring_back"):
            return [IsAdminUser()]
        return [IsAuthenticated()]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        shape = SERIALIZERS[self.api_version]
        if self.action == "create":
            # The OpenAPI document shows the fields for staff too.
            desk = self.request.user.is_staff or getattr(self, "swagger_fake_view", False)
            return shape.RentalDeskIn if desk else shape.RentalIn
        if self.action in ("update", "partial_update"):
            return shape.RentalChange
        return v3.ReturnIn if self.action == "bring_back" else shape.RentalOut

    def get_response_serializer_class(self) -> type[Serializer[Any]] | None:
        return None if self.action == "destroy" else SERIALIZERS[self.api_version].RentalOut

    def get_queryset(self) -> QuerySet[Rental]:
        rentals = Rental.objects.order_by("-ref")
        # The OpenAPI document is generated without a user.
        if getattr(self, "swagger_fake_view", False):
            return rentals
        if self.request.method in SAFE_METHODS:
            rentals = rentals.with_terms()
        else:
            # A change locks the member and the book, and reads the rental again.
            rentals = rentals.select_related("user", "copy__book")
        return (rentals if self.shows_void else rentals.not_void()).for_user(self.caller)

    @property
    def shows_void(self) -> bool:
        """Whether a void rental can be read: by staff, in the version that says that it is void."""
        return self.api_version == "v3" and self.caller.is_staff

    def list(self, request: Request, **kwargs: Any) -> Response:
        """List rentals

        Members see their own; staff see all.
        """
        rentals = Rental.objects.with_prices().order_by("-ref").for_user(self.caller)
        if not (self.shows_void and "void" in request.query_params):
            rentals = rentals.not_void()
        page = self.paginate_queryset(self.filter_queryset(rentals))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Get a rental"""
        return self._response(self.get_object())

    @idempotent
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Rent a book"""
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        wish = given.validated_data
        member = wish.get("user", self.caller)

        def rent() -> Rental:
            return services.rent_book(
                member=member,
                for_self=member == self.caller,
                book=wish["book"],
                copy=wish.get("copy"),
                at=wish.get("date_rented") or self.now,
                now=self.now,
                returned_at=wish.get("date_returned"),
                actor=self.caller,
                reason=wish.get("reason"),
            )

        ref = wish.pop("client_ref", None)
        if ref is None:
            return self._response(rent(), status.HTTP_201_CREATED)
        sent = {**wish, "made": "rental", "user": member}
        rental, is_new = client_refs.make_once(
            account=self.caller, ref=ref, content=sent, make=rent, at=self.now
        )
        answer = self._response(rental, status.HTTP_201_CREATED)
        return answer if is_new else mark_as_replayed(answer)

    def update(self, request: Request, **kwargs: Any) -> Response:
        """Return a book by setting the rental's status to 1"""
        rental = self.get_object()
        given = self.get_serializer(data=request.data, partial=self.action == "partial_update")
        given.is_valid(raise_exception=True)
        if given.validated_data.get("status") == Status.RETURNED:
            return self._bring_back(rental, given.validated_data)
        says_so = "status" in given.validated_data
        self.if_unmodified(
            rental,
            lambda: services.refuse_unless_open(rental) if says_so else None,
            lock=services.lock_rental,
        )
        return self._response(rental)

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Return a book by setting the rental's status to 1"""
        return self.update(request, **kwargs)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Void a rental

        Undoes a rental that was made by mistake: reverses its charge, if there is one. If the book is out,
        its copy is missing until it is returned or put back in service.
        """
        rental = self.get_object()
        self.if_unmodified(
            rental,
            lambda: services.void_rental(rental=rental, at=self.now, actor=self.caller),
            lock=services.lock_rental,
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @idempotent
    def bring_back(self, request: Request, **kwargs: Any) -> Response:
        """Return a book"""
        rental = self.get_object()
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        return self._bring_back(rental, given.validated_data)

    @idempotent
    @swagger_auto_schema(request_body=no_body)
    def renew(self, request: Request, **kwargs: Any) -> Response:
        """Renew a rental"""
        rental = self.get_object()
        # The body is ignored, but one that cannot be parsed is refused.
        _ = request.data
        renewed = self.if_unmodified(
            rental, lambda: services.renew_rental(rental=rental, at=self.now), lock=services.lock_rental
        )
        return self._response(renewed)

    def _bring_back(self, rental: Rental, given: dict[str, Any]) -> Response:
        at = given.get("date_returned")
        reason = given.get("reason")
        returned = self.if_unmodified(
            rental,
            lambda: services.return_rental(
                rental=rental, at=at or self.now, actor=self.caller, now=self.now, reason=reason
            ),
            lock=services.lock_rental,
        )
        return self._response(returned)

    def _response(self, rental: Rental, status_code: int = status.HTTP_200_OK) -> Response:
        return self.detail_response(self._represent(rental), status_code)

    def represent(self, pk: Any) -> Any:
        return self._represent(self.get_queryset().get(pk=pk))

    def _represent(self, rental: Rental) -> Any:
        answer = SERIALIZERS[self.api_version].RentalOut
        return answer(rental, context=self.get_serializer_context()).data


class MemberViewSet(ResourceViewSet[Any]):
    """The rentals, the balance and the statement of one member."""

    tag = "rentals"
    lookup_url_kwarg = "user_id"
    queryset = User.objects.all()
    filter_backends: list[Any] = []

    def get_permissions(self) -> list[Any]:
        return [IsAuthenticated()]

    def get_serializer_class(self) -> type[Serializer[Any]]:
        shape = SERIALIZERS[self.api_version]
        if self.action == "statement":
            return v3.StatementOut
        return shape.BalanceOut if self.action == "balance" else shape.RentalOut

    def get_response_serializer_class(self) -> type[Serializer[Any]]:
        return self.get_serializer_class()

    def get_member(self) -> User:
        if self.kwargs["user_id"] == str(self.caller.pk):
            return self.caller
        return get_object_or_404(User.objects.for_user(self.caller), pk=self.kwargs["user_id"])

    def rentals(self, request: Request, **kwargs: Any) -> Response:
        """List a member's rentals"""
        page = self.paginate_queryset(
            Rental.objects.not_void().with_prices().order_by("-ref").filter(user=self.get_member())
        )
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def balance(self, request: Request, **kwargs: Any) -> Response:
        """Get a member's balance"""
        member = self.get_member()
        shape = SERIALIZERS[self.api_version]
        return Response(shape.balance_of(member, ledger.balance(member, at=self.now)))

    def statement(self, request: Request, **kwargs: Any) -> Response:
        """Get a member's statement

        What the member owes, with the open rentals and one page of the ledger entries that make it up.
        """
        member = self.get_member()
        balance = ledger.balance_with_books(member, at=self.now)
        entries = (
            LedgerEntry.objects.filter(user=member)
            .select_related("reverses", "reversed_by")
            .order_by("number")
        )
        page = self.paginate_queryset(entries)
        context = self.get_serializer_context()
        listed = self.get_paginated_response(v3.EntryOut(page, many=True, context=context).data).data
        return Response(
            v3.balance_of(member, balance)
            | {
                "open_rentals": v3.RentalOut(balance.open_rentals, many=True, context=context).data,
                "entries": listed["results"],
                "next": listed["next"],
                "previous": listed["previous"],
            }
        )

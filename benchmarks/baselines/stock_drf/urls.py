"""Views and URLs of the measured requests."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import include, path
from django.utils import timezone
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from benchmarks.baselines.stock_drf.models import Book, Copy, Entry, Hold, Rental
from benchmarks.baselines.stock_drf.renting import rent_book


class BookSerializer(serializers.ModelSerializer[Book]):
    book_type = serializers.IntegerField(source="kind")
    copies = serializers.IntegerField()
    available = serializers.IntegerField()

    class Meta:
        model = Book
        fields = [
            "id",
            "name",
            "author",
            "description",
            "cover",
            "book_type",
            "isbn",
            "published",
            "language",
            "copies",
            "available",
        ]


def _counted(copies: QuerySet[Copy]) -> Coalesce:
    by_book = copies.filter(book=OuterRef("pk")).order_by().values("book").annotate(number=Count("pk"))
    return Coalesce(Subquery(by_book.values("number")), 0)


class BookViewSet(viewsets.ModelViewSet[Book]):
    serializer_class = BookSerializer

    def get_queryset(self) -> QuerySet[Book]:
        in_service = Copy.objects.filter(status="in_service")
        out = Rental.objects.filter(copy=OuterRef("pk"), returned_at=None, voided_at=None)
        put_aside = Hold.objects.filter(copy=OuterRef("pk"), ended_at=None)
        free = in_service.filter(~Exists(out), ~Exists(put_aside))
        return Book.objects.annotate(copies=_counted(in_service), available=_counted(free)).order_by("id")


def cost(rental: Rental, now: datetime) -> Decimal:
    days = max(1, -((rental.rented_at - now).days))
    rate = rental.rate
    first = min(days, rate.first_days)
    return max(rate.minimum, rate.first_days_rate * first + rate.daily_rate * (days - first))


class RentalSerializer(serializers.ModelSerializer[Rental]):
    book = serializers.IntegerField(source="copy.book_id")
    price_list = serializers.CharField(source="rate.price_list.name")
    charge = serializers.DecimalField(
        source="rent_entry.amount", max_digits=12, decimal_places=2, default=None
    )
    status = serializers.SerializerMethodField()
    overdue = serializers.SerializerMethodField()
    running_cost = serializers.SerializerMethodField()

    class Meta:
        model = Rental
        fields = [
            "ref",
            "user",
            "book",
            "copy",
            "rented_at",
            "returned_at",
            "status",
            "due_at",
            "renewals",
            "overdue",
            "price_list",
            "charge",
            "running_cost",
        ]

    def get_status(self, rental: Rental) -> int:
        return 2 if rental.returned_at is None else 1

    def get_overdue(self, rental: Rental) -> bool:
        return rental.returned_at is None and rental.due_at < timezone.now()

    def get_running_cost(self, rental: Rental) -> str | None:
        return str(cost(rental, timezone.now())) if rental.returned_at is None else None


class RentSerializer(serializers.Serializer[Any]):
    book = serializers.IntegerField(min_value=1)


class RentalViewSet(viewsets.ModelViewSet[Rental]):
    serializer_class = RentalSerializer
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Rental]:
        rentals = Rental.objects.filter(voided_at=None, user=self.request.user)
        return rentals.select_related("copy", "rate__price_list", "rent_entry").order_by("-ref")

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = RentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        rental = rent_book(request.user, asked.validated_data["book"], timezone.now())  # type: ignore[arg-type]  # The stubs expect the shop's user model.
        return Response(self.get_serializer(rental).data, status=status.HTTP_201_CREATED)

    @action(detail=False)
    def balance(self, request: Request, **kwargs: Any) -> Response:
        posted = Entry.objects.filter(user=request.user).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
        now = timezone.now()
        running = sum(
            (cost(rental, now) for rental in self.get_queryset().filter(returned_at=None)), Decimal(0)
        )
        return Response(
            {
                "user_id": request.user.pk,
                "balance": str(posted + running),
                "posted": str(posted),
                "running": str(running),
            }
        )


router = DefaultRouter()
router.register("books", BookViewSet, basename="book")
router.register("rentals", RentalViewSet, basename="rental")
urlpatterns = [path("", include(router.urls))]

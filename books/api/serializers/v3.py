"""Serializers of books, copies and quotes for API version 3, the current one."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from books.api.fields import (
    KINDS,
    CoverField,
    CoverURLField,
    IsbnField,
    LanguageField,
    cover_url,
    number_of_copies,
    replacement_price,
)
from books.models import BARCODE_TAKEN, EARLIEST_YEAR, LATEST_YEAR, Book, Copy, Kind
from lori_assignment.rest.fields import Amount, Choice, PlainInteger, PlainKey

EXAMPLE = {
    "name": "The Dispossessed",
    "author": "Ursula K. Le Guin",
    "description": "A physicist leaves his moon of anarchists for the planet it turned its back on.",
    "book_type": 2,
    "isbn": "9780061054884",
    "published": 1974,
    "language": "en",
}


class BookIn(serializers.ModelSerializer[Book]):
    book_type = Choice(choices=Kind.choices, source="kind", required=False, help_text=KINDS)
    image = CoverField(
        source="cover",
        required=False,
        allow_null=True,
        write_only=True,
        help_text="JPEG, PNG or WebP, named to match, uploaded as a multipart form; null removes it.",
    )
    isbn = IsbnField(required=False, help_text="ISBN-10 or ISBN-13, with or without hyphens, or empty.")
    published = PlainInteger(
        required=False,
        allow_null=True,
        min_value=EARLIEST_YEAR,
        max_value=LATEST_YEAR,
        help_text="Year of first publication; negative for BC.",
    )
    language = LanguageField(required=False, help_text="Language code, such as en or fr.")
    copies = number_of_copies()

    class Meta:
        model = Book
        fields = [
            "name",
            "author",
            "description",
            "image",
            "book_type",
            "isbn",
            "published",
            "language",
            "copies",
        ]
        ref_name = "BookV3In"
        swagger_schema_fields = {"example": EXAMPLE | {"copies": 2}}


class BookOut(serializers.ModelSerializer[Book]):
    book_type = Choice(choices=Kind.choices, source="kind", help_text=KINDS)
    image = CoverURLField(source="cover", allow_null=True)
    copies = serializers.IntegerField(source="copies_in_service", help_text="Copies in service.")
    available = serializers.IntegerField(help_text="How many of them can be rented now.")

    class Meta:
        model = Book
        fields = [
            "id",
            "name",
            "author",
            "description",
            "image",
            "book_type",
            "isbn",
            "published",
            "language",
            "copies",
            "available",
        ]
        ref_name = "BookV3"
        swagger_schema_fields = {"example": {"id": 7, **EXAMPLE, "image": None, "copies": 2, "available": 1}}

    def to_representation(self, book: Any) -> dict[str, Any]:
        return {
            "id": book.pk,
            "name": book.name,
            "author": book.author,
            "description": book.description,
            "image": cover_url(book.cover),
            "book_type": book.kind,
            "isbn": book.isbn,
            "published": book.published,
            "language": book.language,
            "copies": book.copies_in_service,
            "available": book.available,
        }


class QuoteIn(serializers.Serializer[object]):
    days = PlainInteger(min_value=1, max_value=3650)

    class Meta:
        ref_name = "QuoteV3In"


class QuoteLine(serializers.Serializer[object]):
    what = serializers.ChoiceField(choices=["first_days", "daily", "minimum", "late_fee", "cap"])
    days = serializers.IntegerField(required=False)
    rate = Amount(required=False)
    amount = Amount(whole_digits=14)

    class Meta:
        ref_name = "QuoteLineV3"


class QuoteOut(serializers.Serializer[object]):
    book = serializers.IntegerField()
    price_list = serializers.CharField()
    currency = serializers.CharField()
    days = serializers.IntegerField()
    late_days = serializers.IntegerField(help_text="How many of these days are past the due date.")
    lines = QuoteLine(many=True)
    total = Amount(whole_digits=14)

    class Meta:
        ref_name = "QuoteV3"
        swagger_schema_fields = {
            "example": {
                "book": 7,
                "price_list": "Tiered",
                "currency": "USD",
                "days": 3,
                "late_days": 0,
                "lines": [
                    {"what": "first_days", "days": 2, "rate": "1.00", "amount": "2.00"},
                    {"what": "daily", "days": 1, "rate": "1.50", "amount": "1.50"},
                ],
                "total": "3.50",
            }
        }


class CopyIn(serializers.ModelSerializer[Copy]):
    book = PlainKey(queryset=Book.objects.all())
    barcode = serializers.CharField(
        max_length=40,
        required=False,
        validators=[UniqueValidator(Copy.objects.all(), message=BARCODE_TAKEN)],
        help_text="Generated if left out.",
    )
    replacement_price = replacement_price()

    class Meta:
        model = Copy
        fields = ["book", "barcode", "condition", "status", "replacement_price"]
        ref_name = "CopyV3In"
        swagger_schema_fields = {
            "example": {"book": 7, "barcode": "7-3", "condition": "new", "replacement_price": "24.90"}
        }


class CopyChange(serializers.ModelSerializer[Copy]):
    """A copy without its book, which cannot be changed."""

    barcode = serializers.CharField(
        max_length=40, validators=[UniqueValidator(Copy.objects.all(), message=BARCODE_TAKEN)]
    )
    replacement_price = replacement_price()

    class Meta:
        model = Copy
        fields = ["barcode", "condition", "status", "replacement_price"]
        ref_name = "CopyV3Change"
        swagger_schema_fields = {"example": {"barcode": "7-3", "condition": "worn", "status": "in_repair"}}


class CopyOut(serializers.ModelSerializer[Copy]):
    available = serializers.BooleanField(help_text="In service, and neither on loan nor set aside.")

    class Meta:
        model = Copy
        fields = ["id", "book", "barcode", "condition", "status", "replacement_price", "available"]
        ref_name = "CopyV3"
        swagger_schema_fields = {
            "example": {
                "id": 12,
                "book": 7,
                "barcode": "7-3",
                "condition": "new",
                "status": "in_service",
                "replacement_price": "24.90",
                "available": True,
            }
        }

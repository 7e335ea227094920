"""Serializers of books for API versions 1 and 2. Frozen: their shape is that of the first service."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from books.api.fields import KINDS, CoverField, CoverURLField, cover_url, number_of_copies
from books.models import Book, Kind
from lori_assignment.rest.fields import Choice

EXAMPLE = {
    "name": "The Dispossessed",
    "description": "A physicist leaves his moon of anarchists for the planet it turned its back on.",
    "author": "Ursula K. Le Guin",
    "book_type": 2,
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
    copies = number_of_copies()

    class Meta:
        model = Book
        fields = ["name", "description", "author", "image", "book_type", "copies"]
        ref_name = "BookV1V2In"
        swagger_schema_fields = {"example": EXAMPLE | {"copies": 2}}


class BookOut(serializers.ModelSerializer[Book]):
    book_type = Choice(choices=Kind.choices, source="kind", help_text=KINDS)
    image = CoverURLField(source="cover", allow_null=True)

    class Meta:
        model = Book
        fields = ["id", "name", "description", "author", "image", "book_type"]
        ref_name = "BookV1V2"
        swagger_schema_fields = {"example": {"id": 7, **EXAMPLE, "image": None}}

    def to_representation(self, book: Any) -> dict[str, Any]:
        return {
            "id": book.pk,
            "name": book.name,
            "description": book.description,
            "author": book.author,
            "image": cover_url(book.cover),
            "book_type": book.kind,
        }

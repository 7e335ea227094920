"""Serializer fields of books that all API versions share."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from books.covers import clean_cover
from books.isbn import normalize_isbn
from books.languages import language_code
from books.models import ISBN_TAKEN, Book
from books.stock import MAX_COPIES_AT_ONCE
from lori_assignment.http.site_urls import absolute_url
from lori_assignment.rest.fields import Amount, PlainInteger

KINDS = "1: regular (standard), 2: fiction, 3: novel."


class CoverField(serializers.Field[Any, Any, Any, Any]):
    """A cover uploaded in a multipart form and cleaned by `clean_cover`; null removes it.

    The URL that the API returns for the current cover leaves it unchanged, so a client can send back the
    representation that it received.
    """

    def to_internal_value(self, data: Any) -> Any:
        book = getattr(self.parent, "instance", None)
        if book and book.cover and isinstance(data, str) and data.endswith(book.cover.url):
            raise serializers.SkipField
        upload = serializers.FileField().run_validation(data)
        try:
            return clean_cover(upload)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages) from error


class CoverURLField(serializers.ImageField):
    def to_representation(self, value: Any) -> Any:
        return cover_url(value)


def cover_url(cover: Any) -> str | None:
    """Return the absolute URL of a cover, whatever the request's Host, or None without a cover."""
    return absolute_url(cover.url) if cover else None


class IsbnField(serializers.CharField):
    """An ISBN in any spelling, or empty; stored as thirteen digits."""

    default_error_messages = {"not_isbn": _("Enter a valid ISBN of 10 or 13 digits.")}

    def __init__(self, **options: Any) -> None:
        options.setdefault("validators", [UniqueValidator(Book.objects.exclude(isbn=""), message=ISBN_TAKEN)])
        super().__init__(allow_blank=True, max_length=40, **options)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text:
            return ""
        isbn = normalize_isbn(text)
        if isbn is None:
            self.fail("not_isbn")
        return isbn


class LanguageField(serializers.CharField):
    """A language code of any kind, or empty; stored as the shortest code."""

    default_error_messages = {"not_language": _("Enter a language code such as en or fr.")}

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_blank=True, max_length=40, **options)

    def to_internal_value(self, data: Any) -> str:
        language = language_code(super().to_internal_value(data))
        if language is None:
            self.fail("not_language")
        return language


def number_of_copies() -> PlainInteger:
    """Return the field for the number of copies of a new book; ignored when a book is changed."""
    return PlainInteger(write_only=True, default=1, min_value=0, max_value=MAX_COPIES_AT_ONCE)


def replacement_price() -> Amount:
    return Amount(
        required=False,
        allow_null=True,
        positive=True,
        help_text="The most a rental can cost, including late fees; null for no limit.",
    )

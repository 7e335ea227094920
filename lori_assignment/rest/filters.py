"""Filters that parse their query parameters strictly."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters as filters
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.request import Request

from lori_assignment.rest.fields import PLAIN_DIGITS, Instant


class LazyFilterBackend(DjangoFilterBackend):
    """Builds the filterset, which copies all its fields, only if the request has one of its parameters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        known = self.get_filterset_class(view, queryset)
        if known is None or known.base_filters.keys().isdisjoint(request.query_params):
            return queryset
        narrowed: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return narrowed


class KeyFilter(filters.CharFilter):
    """The id of an object, in plain digits."""

    def __init__(self, **options: Any) -> None:
        digits = RegexValidator(rf"\A{PLAIN_DIGITS}\Z", _("Enter an ID as a whole number."))
        super().__init__(validators=[digits], **options)


class InstantField(forms.CharField):
    """A form field that parses a time as the serializer field `Instant` does."""

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return Instant().run_validation(text)
        except serializers.ValidationError as error:
            raise ValidationError([str(message) for message in error.detail]) from error


class InstantFilter(filters.Filter):
    """A time or a date, which means its beginning in the shop's time zone."""

    field_class = InstantField


class OneOfFilter(filters.TypedChoiceFilter):
    """A choice whose error lists the allowed values."""

    def __init__(self, *, choices: list[tuple[Any, Any]], **options: Any) -> None:
        allowed = ", ".join(str(choice) for choice, _label in choices)
        message = format_lazy(_("Use one of: {allowed}."), allowed=allowed)
        super().__init__(choices=choices, error_messages={"invalid_choice": message}, **options)


class StrictBooleanFilter(OneOfFilter):
    """`true` or `false`. django-filter's own filter ignores every other value."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda text: text == "true", **options)

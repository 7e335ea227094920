"""Query parameters that are read strictly. A leaf: imports django-filter only."""

from __future__ import annotations

from typing import Any

import django_filters as filters
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from lori_assignment.api_fields import PLAIN_DIGITS


class KeyFilter(filters.CharFilter):
    """The id of an object, in plain digits."""

    def __init__(self, **options: Any) -> None:
        digits = RegexValidator(rf"\A{PLAIN_DIGITS}\Z", _("An id in plain digits is required."))
        super().__init__(validators=[digits], **options)


class TrueFalseFilter(filters.TypedChoiceFilter):
    """`true` or `false`. django-filter's own takes everything else as nothing said."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            choices=[("true", "true"), ("false", "false")], coerce=lambda text: text == "true", **options
        )

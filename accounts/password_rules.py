"""Rejects passwords made of the shop's own words, in addition to Django's validators.

There is no rule about characters: letters alone, digits alone, spaces and any script are allowed. A password
is weak if other people use it or if it is easy to guess.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# Words that suggest themselves in this shop, besides those of its name and host; listed in docs/security.md.
VOCABULARY = (
    "admin",
    "books",
    "book",
    "library",
    "member",
    "password",
    "reader",
    "rental",
    "rent",
    "shop",
    "staff",
)
# The minimum length of a password: what is left has to be long enough as well.
MIN_REMAINING_LENGTH = 8
MAX_LENGTH = 128
TOO_LONG = gettext_lazy("This password is too long. It must contain at most 128 characters.")


def validate_length(password: str) -> None:
    """Reject a password of more than MAX_LENGTH characters, which would cost work to compare and hash."""
    if len(password) > MAX_LENGTH:
        raise ValidationError(TOO_LONG, code="password_too_long")


class MaximumLengthValidator:
    """Applies `validate_length` to new passwords, also of the administration and of commands."""

    def validate(self, password: str, user: object = None) -> None:
        validate_length(password)

    def get_help_text(self) -> str:
        return _("Your password must contain at most 128 characters.")


def normalize_password(password: str) -> str:
    """Return the spelling that is hashed."""
    return unicodedata.normalize("NFKC", password)


class _NormalizedMixin:
    """Validates what is hashed, since `ｐａｓｓｗｏｒｄ` would pass; ignores what is too long."""

    def validate(self, password: str, user: object = None) -> None:
        if len(password) <= MAX_LENGTH:
            super().validate(normalize_password(password), user)  # type: ignore[misc]  # of the other base


class UserAttributeSimilarityValidator(
    _NormalizedMixin, password_validation.UserAttributeSimilarityValidator
):
    pass


class MinimumLengthValidator(_NormalizedMixin, password_validation.MinimumLengthValidator):
    pass


class CommonPasswordValidator(_NormalizedMixin, password_validation.CommonPasswordValidator):
    pass


class ShopVocabularyValidator:
    """Requires a password to be long enough without the shop's words."""

    def validate(self, password: str, user: object = None) -> None:
        if len(password) > MAX_LENGTH:
            return
        folded = normalize_password(password).casefold()
        left = _vocabulary_pattern().sub("", folded)
        if left != folded and len(left) < MIN_REMAINING_LENGTH:
            raise ValidationError(
                _(
                    "This password is too easy to guess. Don't build it from the shop's name or words "
                    "about renting books."
                ),
                code="password_of_the_shop",
            )

    def get_help_text(self) -> str:
        return _("Don't build your password from the shop's name or words about renting books.")


def _vocabulary_pattern() -> re.Pattern[str]:
    """Match longer words first, so that `books` is removed whole."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    named = [*settings.SITE_NAME.casefold().split(), *re.findall(r"[^\W\d_]{3,}", host)]
    return re.compile("|".join(map(re.escape, sorted({*VOCABULARY, *named}, key=len, reverse=True))))

"""Rejects passwords made of the shop's own words, in addition to Django's validators.

There is no rule about characters, except that one must be visible: letters alone, digits alone, spaces and
any script are allowed. A password is weak if other people use it or if it is easy to guess.
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
# Before it is normalized: a letter can be typed as itself and up to three accents.
MAX_RAW_LENGTH = 4 * MAX_LENGTH
TOO_LONG = gettext_lazy("This password is too long. It must contain at most 128 characters.")


def normalize_password(password: str) -> str:
    """Return the spelling that is hashed."""
    return unicodedata.normalize("NFKC", password)


def is_too_long(password: str) -> bool:
    """Return whether what is hashed has more than MAX_LENGTH characters.

    NFKC can shorten a password and lengthen it, and takes time for a long one.
    """
    return len(password) > MAX_RAW_LENGTH or len(normalize_password(password)) > MAX_LENGTH


def validate_length(password: str) -> None:
    """Reject a password that would cost too much work to compare and hash."""
    if is_too_long(password):
        raise ValidationError(TOO_LONG, code="password_too_long")


class MaximumLengthValidator:
    """Applies `validate_length` to new passwords, also of the administration and of commands."""

    def validate(self, password: str, user: object = None) -> None:
        validate_length(password)

    def get_help_text(self) -> str:
        return _("Your password must contain at most 128 characters.")


class _NormalizedMixin:
    """Validates what is hashed, since `ｐａｓｓｗｏｒｄ` would pass; ignores what is too long."""

    def validate(self, password: str, user: object = None) -> None:
        if not is_too_long(password):
            super().validate(normalize_password(password), user)  # type: ignore[misc]  # of the other base


class UserAttributeSimilarityValidator(
    _NormalizedMixin, password_validation.UserAttributeSimilarityValidator
):
    pass


class MinimumLengthValidator(password_validation.MinimumLengthValidator):
    """Counts what was typed and what is hashed, since NFKC makes 18 characters of U+FDFA."""

    def validate(self, password: str, user: object = None) -> None:
        if is_too_long(password):
            return
        shortest = min(password, normalize_password(password), key=len)
        super().validate(shortest if _has_visible_character(shortest) else "")


def _has_visible_character(text: str) -> bool:
    """Return whether `text` has more than spaces, control and format characters."""
    return any(unicodedata.category(char) not in ("Zs", "Zl", "Zp", "Cc", "Cf") for char in text)


class CommonPasswordValidator(_NormalizedMixin, password_validation.CommonPasswordValidator):
    pass


class ShopVocabularyValidator:
    """Requires a password to be long enough without the shop's words."""

    def validate(self, password: str, user: object = None) -> None:
        if is_too_long(password):
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

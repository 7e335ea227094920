"""What a password may not be, beside what Django asks: none that is made of the shop's own words.

There is no rule about its signs: letters alone, digits alone, blanks and any script are as good as any
other. What makes a password weak is that others use it, or that it is near at hand.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# What comes to mind in this shop first; docs/security.md lists them, with those of the shop's own name.
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
# As many signs as a password has at least: what is left has to be a password by itself.
MIN_REMAINING_LENGTH = 8


class ShopVocabularyValidator:
    """The shop's words count for nothing: without them a password has to be long enough all the same."""

    def validate(self, password: str, user: object = None) -> None:
        """Raises ValidationError."""
        folded = password.casefold()
        left = _vocabulary_pattern().sub("", folded)
        if left != folded and len(left) < MIN_REMAINING_LENGTH:
            raise ValidationError(
                _("This password is too near at hand in this shop."), code="password_of_the_shop"
            )

    def get_help_text(self) -> str:
        return _("It is not made of the name of the shop and what is done there.")


def _vocabulary_pattern() -> re.Pattern[str]:
    """The longest first, so that of `books` no letter is left."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    named = [*settings.SITE_NAME.casefold().split(), *re.findall(r"[^\W\d_]{3,}", host)]
    return re.compile("|".join(map(re.escape, sorted({*VOCABULARY, *named}, key=len, reverse=True))))

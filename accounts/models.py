"""Who you are: one kind of account for members, staff (`is_staff`) and superusers."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, AnonymousUser, UserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

USERNAME_TAKEN = _("An account with this username exists already.")
EMAIL_TAKEN = _("An account with this e-mail address exists already.")

# No @: a username that looks like another member's e-mail address would make signing in ambiguous.
username_validators = [
    RegexValidator(
        r"\A[\w.+-]+\Z",
        _("A username has letters, digits and the signs . + - _ only."),
        code="invalid_username",
    )
]

# What staff type to find somebody; on PostgreSQL the index account_by_trigrams has all of them.
SEARCH_FIELDS = ("username", "email", "name", "phone")

# What a closed account is called, with its number. Nobody can sign up with a name that has a colon in it.
CLOSED_PREFIX = "closed:"


class AccountManager(UserManager["User"]):
    # Migrations import no code of ours.
    use_in_migrations = False

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username)

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """In lower case: allauth looks for an address by that spelling only."""
        return (email or "").lower()

    def for_user(self, user: User | AnonymousUser) -> models.QuerySet[User]:
        """The accounts that `user` may see: staff all, members their own."""
        return self.all() if user.is_staff else self.filter(pk=user.pk)  # type: ignore[misc]  # a visitor's is None

    def search(self, text: str) -> models.QuerySet[User]:
        """The accounts with each word of `text`, in any case, in one of SEARCH_FIELDS; none for no words."""
        words = text.split()
        found = self.all() if words else self.none()
        for word in words:
            found = found.filter(Q.create([(f"{field}__icontains", word) for field in SEARCH_FIELDS], Q.OR))
        return found


class User(AbstractUser):
    # Whoever signs in types these in any case, so two accounts must not differ by case alone.
    username = models.CharField(
        _("username"),
        max_length=150,
        unique=True,
        validators=username_validators,
        error_messages={"unique": USERNAME_TAKEN},
    )
    email = models.EmailField(_("e-mail address"), blank=True)
    name = models.CharField(_("name"), max_length=200, blank=True)
    phone = models.CharField(_("phone"), max_length=50, blank=True)
    address = models.TextField(_("address"), max_length=500, blank=True)
    # The choices are not the column's: a language that the shop gives up must not make accounts invalid.
    language = models.CharField(
        _("language"),
        max_length=10,
        blank=True,
        default="",
        # The code before this column inserts rows without it.
        db_default="",
        help_text=_("Of pages and mail. Empty: the shop's own."),
    )
    first_name = None  # type: ignore[assignment]  # people have one name here, written as they write it
    last_name = None  # type: ignore[assignment]  # as above

    objects: ClassVar[AccountManager] = AccountManager()

    class Meta(AbstractUser.Meta):
        verbose_name = _("account")  # type: ignore[assignment]  # the stubs say str
        verbose_name_plural = _("accounts")  # type: ignore[assignment]  # as above
        constraints = [
            # UPPER, because that is what Django's iexact asks PostgreSQL for: the index serves both.
            models.UniqueConstraint(
                Upper("username"),
                name="account_username_unique_in_any_case",
                violation_error_message=USERNAME_TAKEN,
            ),
            models.UniqueConstraint(
                Upper("email"),
                condition=~Q(email=""),
                name="account_email_unique_in_any_case",
                violation_error_message=EMAIL_TAKEN,
            ),
            models.CheckConstraint(
                condition=Q(is_superuser=False) | Q(is_staff=True),
                name="account_superuser_is_staff",
                violation_error_message=_("A superuser is staff too."),
            ),
        ]
        # The desk's lists, of what few are.
        indexes = [
            models.Index(fields=["username"], condition=Q(is_staff=True), name="account_staff"),
            models.Index(fields=["username"], condition=Q(is_superuser=True), name="account_superusers"),
            models.Index(fields=["username"], condition=Q(is_active=False), name="account_inactive"),
        ]

    def change_profile(self, **fields: str) -> None:
        """Write `name`, `phone` and `address`, those that are given."""
        self._update_fields(**fields)

    def choose_language(self, language: str) -> None:
        """Speak `language` to this person from now on; empty for the shop's own.

        Raises ValidationError for one that the shop does not speak.
        """
        if language and language not in dict(settings.LANGUAGES):
            raise ValidationError(_("The shop does not speak this language."), code="unknown_language")
        self._update_fields(language=language)

    def _update_fields(self, **fields: str) -> None:
        for field, value in fields.items():
            setattr(self, field, value)
        # A closed account stays empty, though a request that was under way then may come in late.
        others = type(self).objects.exclude(username__startswith=CLOSED_PREFIX)
        if fields:
            others.filter(pk=self.pk).update(**fields)

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name or self.username


class TokenFamily(models.Model):
    """All tokens that descend from one sign-in. The row is their life: without it none of them works."""

    id = models.CharField(primary_key=True, max_length=32, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="token_families")
    # The one refresh token that renews now, by its jti; an older one has been used.
    current = models.CharField(max_length=32)
    # Its last pair was given for a refresh token alone, and not to the browser whose session it is of.
    renewed_outside_browser = models.BooleanField(default=False, db_column="left_its_browser")
    began_at = models.DateTimeField()
    # When its last refresh token runs out.
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("token family")
        verbose_name_plural = _("token families")

    def __str__(self) -> str:
        return self.pk


class PasswordAttempts(models.Model):
    """How often the right password was not given for a key, whose meaning `accounts.login_throttle` knows."""

    key = models.CharField(primary_key=True, max_length=64, editable=False)
    failures = models.PositiveIntegerField()
    # How many are let through.
    most = models.PositiveIntegerField()
    # Seconds since 1970, for arithmetic that both databases do alike: when the count begins anew, ...
    ends = models.BigIntegerField()
    # ... and until when the right password was given here lately.
    known_until = models.BigIntegerField()

    class Meta:
        verbose_name = _("password attempts")
        verbose_name_plural = _("password attempts")

    def __str__(self) -> str:
        return self.pk

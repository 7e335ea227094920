"""Defines the account, one kind for members, staff (`is_staff`) and superusers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, AnonymousUser, UserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from accounts.password_rules import validate_length
from accounts.signals import access_revoked
from lori_assignment.db.word_search import contains_words

USERNAME_TAKEN = _("An account with this username already exists.")
EMAIL_TAKEN = _("An account with this e-mail address already exists.")

# No @: a username that looks like another member's e-mail address would make signing in ambiguous.
username_validators = [
    RegexValidator(
        r"\A[\w.+-]+\Z",
        _("A username can only contain letters, digits and . + - _"),
        code="invalid_username",
    )
]

# The fields that staff search; on PostgreSQL the index account_by_trigrams covers them all.
SEARCH_FIELDS = ("username", "email", "name", "phone")

# The username of a closed account is this and its id. Usernames that people choose cannot have a colon.
CLOSED_PREFIX = "closed:"


class AccountManager(UserManager["User"]):
    # Migrations must not import application code.
    use_in_migrations = False

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username)

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **more: Any
    ) -> User:
        """Django's command takes any password from its environment, or once its rules were overridden."""
        if password:
            try:
                validate_length(password)
            except ValidationError as error:
                raise ValidationError(f"password: {error.message}") from error
        return super().create_superuser(username, email, password, **more)

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """Convert to lower case, the only spelling that allauth looks up."""
        return (email or "").lower()

    def for_user(self, user: User | AnonymousUser) -> models.QuerySet[User]:
        """Return the accounts that `user` may see: all for staff, their own for members."""
        return self.all() if user.is_staff else self.filter(pk=user.pk)  # type: ignore[misc]  # None for AnonymousUser

    def search(self, text: str) -> models.QuerySet[User]:
        """Match the words of `text` in any of SEARCH_FIELDS; see `contains_words`."""
        return self.filter(contains_words(text, SEARCH_FIELDS))


class User(AbstractUser):
    # People sign in with these in any case, so two accounts must not differ by case alone.
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
    # No `choices`: removing a language from the shop must not make accounts invalid.
    language = models.CharField(
        _("language"),
        max_length=10,
        blank=True,
        default="",
        # During a deployment the previous release inserts rows without this column.
        db_default="",
        help_text=_("For pages and e-mails. Leave blank for the shop's default."),
    )
    first_name = None  # type: ignore[assignment]  # `name` holds the whole name
    last_name = None  # type: ignore[assignment]  # as above

    objects: ClassVar[AccountManager] = AccountManager()

    class Meta(AbstractUser.Meta):
        verbose_name = _("account")  # type: ignore[assignment]  # the stubs say str
        verbose_name_plural = _("accounts")  # type: ignore[assignment]  # as above
        constraints = [
            # Upper(), because Django's iexact uses UPPER on PostgreSQL, so that the index serves both.
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
                violation_error_message=_("A superuser must also be staff."),
            ),
        ]
        # For the administration's lists of these accounts, each a small part of all.
        indexes = [
            models.Index(fields=["username"], condition=Q(is_staff=True), name="account_staff"),
            models.Index(fields=["username"], condition=Q(is_superuser=True), name="account_superusers"),
            models.Index(fields=["username"], condition=Q(is_active=False), name="account_inactive"),
        ]

    def save(self, *args: Any, **options: Any) -> None:
        """Save the account, and send `access_revoked` if its password is new.

        It is not if the account is new, or if Django only hashed the same password with a better algorithm.
        """
        if self._password is None or self._state.adding:  # type: ignore[attr-defined]  # the stubs leave it out
            super().save(*args, **options)
            return
        with transaction.atomic():
            super().save(*args, **options)
            access_revoked.send(type(self), user=self)

    def change_profile(self, **fields: str) -> None:
        """Save whichever of `name`, `phone` and `address` are given."""
        self._update_fields(**fields)

    def choose_language(self, language: str) -> None:
        """Set the language of this person's pages and mail; empty means the shop's default.

        Raises ValidationError for a language that is not in LANGUAGES.
        """
        if language and language not in dict(settings.LANGUAGES):
            raise ValidationError(_("This language isn't available."), code="unknown_language")
        self._update_fields(language=language)

    def _update_fields(self, **fields: str) -> None:
        for field, value in fields.items():
            setattr(self, field, value)
        # A request that began before the account was closed must not fill it again.
        others = type(self).objects.exclude(username__startswith=CLOSED_PREFIX)
        if fields:
            others.filter(pk=self.pk).update(**fields)

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name or self.username


class TokenFamily(models.Model):
    """All tokens that descend from one login. They are valid only while this row exists."""

    id = models.CharField(primary_key=True, max_length=32, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="token_families")
    # The jti of the only refresh token that can be used; older ones have been.
    current = models.CharField(max_length=32)
    # The jti of the token for which a program got the current one; for some seconds it gets that again.
    previous = models.CharField(max_length=32, blank=True, default="", db_default="")
    # When the current refresh token was issued; null if a release without this column issued it.
    renewed_at = models.DateTimeField(null=True)
    # Whether the last pair was issued for a refresh token alone, not to the browser that owns the session.
    renewed_outside_browser = models.BooleanField(default=False, db_column="left_its_browser")
    began_at = models.DateTimeField()
    # When the current refresh token expires.
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("token family")
        verbose_name_plural = _("token families")

    def __str__(self) -> str:
        return self.pk


class PasswordAttempts(models.Model):
    """Counts failed attempts for a key of `accounts.login_throttle`."""

    key = models.CharField(primary_key=True, max_length=64, editable=False)
    failures = models.PositiveIntegerField()
    # How many are allowed.
    most = models.PositiveIntegerField()
    # Unix times in seconds, whose arithmetic is the same in both databases: when the count is reset, ...
    ends = models.BigIntegerField()
    # ... and until when a right password counts as recent.
    known_until = models.BigIntegerField()

    class Meta:
        verbose_name = _("password attempts")
        verbose_name_plural = _("password attempts")

    def __str__(self) -> str:
        return self.pk

"""Opens accounts and sets their e-mail address, for the pages, the API and the commands."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import EMAIL_TAKEN, USERNAME_TAKEN, User
from lori_assignment.observability.security_log import log_event


def open_account(
    *, username: str, email: str, password: str, superuser: bool = False, **profile: str
) -> User:
    """Create an account; `profile` may have `name`, `phone` and `address`.

    Raises ValidationError with messages by field (`username`, `email`, `password` …).
    """
    user = User(username=username, email=email, is_staff=superuser, is_superuser=superuser, **profile)
    user.clean()  # Normalizes username and e-mail address, so it comes before the checks.
    errors = _field_errors(user) | _taken_errors(user)
    try:
        validate_password(password, user)
    except ValidationError as error:
        errors["password"] = error.messages
    if errors:
        raise ValidationError(errors)

    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
            reset_email_address(user)
    except IntegrityError:
        # The username or address was taken between the check and the save.
        taken = _taken_errors(user)
        if not taken:
            raise
        raise ValidationError(taken) from None
    log_event("account_opened", account=user.pk)
    return user


def change_email(user: User, email: str) -> None:
    """Make `email` the account's only address, unverified. Raises ValidationError by field."""
    try:
        with transaction.atomic():
            user.email = User.objects.normalize_email(email)
            user.save(update_fields=["email"])
            reset_email_address(user)
    except IntegrityError:
        raise ValidationError({"email": [str(EMAIL_TAKEN)]}) from None


def reset_email_address(user: User) -> None:
    """Replace allauth's addresses of the account with `user.email`, unverified."""
    EmailAddress.objects.filter(user=user).delete()
    if user.email:
        EmailAddress.objects.create(user=user, email=user.email, primary=True)


def _field_errors(user: User) -> dict[str, list[str]]:
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        return error.message_dict
    return {}


def _taken_errors(user: User) -> dict[str, list[str]]:
    taken = {}
    if User.objects.filter(username__iexact=user.username).exists():
        taken["username"] = [str(USERNAME_TAKEN)]
    if user.email and is_email_taken(user.email):
        taken["email"] = [str(EMAIL_TAKEN)]
    return taken


def is_email_taken(email: str, *, excluding: User | None = None) -> bool:
    """Return whether `email` is an account's address, or one that an account has confirmed."""
    owners = User.objects.filter(email__iexact=email)
    confirmed = EmailAddress.objects.filter(email=email.lower(), verified=True)
    if excluding is not None:
        owners = owners.exclude(pk=excluding.pk)
        confirmed = confirmed.exclude(user=excluding)
    return owners.exists() or confirmed.exists()

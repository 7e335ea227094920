"""Opening an account, for the API and the commands."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import EMAIL_TAKEN, USERNAME_TAKEN, User


def open_account(
    *, username: str, email: str, password: str, superuser: bool = False, **profile: str
) -> User:
    """A new account; `profile` may have `name`, `phone` and `address`.

    Raises ValidationError with the sentences by field (`username`, `email`, `password` …).
    """
    user = User(username=username, email=email, is_staff=superuser, is_superuser=superuser, **profile)
    user.clean()  # Normalises both names, so it comes before the checks.
    errors = _field_errors(user) | _taken(user)
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
            record_address(user)
    except IntegrityError:
        # Somebody took the name or the address between the look and the write.
        taken = _taken(user)
        if not taken:
            raise
        raise ValidationError(taken) from None
    return user


def record_address(user: User) -> None:
    """Make allauth's own list say that `user.email` is the account's one address, not yet verified."""
    EmailAddress.objects.filter(user=user).delete()
    if user.email:
        EmailAddress.objects.create(user=user, email=user.email, primary=True)


def _field_errors(user: User) -> dict[str, list[str]]:
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        return error.message_dict
    return {}


def _taken(user: User) -> dict[str, list[str]]:
    taken = {}
    if User.objects.filter(username__iexact=user.username).exists():
        taken["username"] = [str(USERNAME_TAKEN)]
    of_another = EmailAddress.objects.filter(email=user.email, verified=True)
    if user.email and (User.objects.filter(email__iexact=user.email).exists() or of_another.exists()):
        taken["email"] = [str(EMAIL_TAKEN)]
    return taken

"""Collects the personal data of an account; `rentals.personal_data` exports it with everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from accounts.models import TokenFamily, User

# A named part of the export: one row, or any number of them.
Part = tuple[str, dict[str, Any] | Iterable[Mapping[str, Any]]]


def personal_data_of(user: User) -> Iterator[Part]:
    """Yield the parts, whose rows are read one by one, without the secrets used to sign in."""
    yield (
        "account",
        {
            "number": user.pk,
            "username": user.username,
            "email": user.email,
            "name": user.name,
            "phone": user.phone,
            "address": user.address,
            "language": user.language,
            "is_active": user.is_active,
            "is_staff": user.is_staff,
            "is_superuser": user.is_superuser,
            "groups": list(user.groups.values_list("name", flat=True)),
            "permissions": list(user.user_permissions.values_list("codename", flat=True)),
            "date_joined": user.date_joined,
            "last_login": user.last_login,
            "has_password": user.has_usable_password(),
        },
    )
    yield (
        "email_addresses",
        EmailAddress.objects.filter(user=user).order_by("pk").values("email", "verified", "primary"),
    )
    yield (
        "second_factors",
        (
            {
                "kind": one.type,
                "name": one.data.get("name", ""),
                "created_at": one.created_at,
                "last_used_at": one.last_used_at,
            }
            for one in Authenticator.objects.filter(user=user).order_by("pk").iterator()
        ),
    )
    yield (
        "sessions",
        UserSession.objects.filter(user=user)
        .order_by("pk")
        .values("ip", "user_agent", "created_at", "last_seen_at")
        .iterator(),
    )
    yield (
        "tokens",
        TokenFamily.objects.filter(user=user)
        .order_by("began_at", "pk")
        .values("began_at", "expires_at")
        .iterator(),
    )
    account = Q(content_type=ContentType.objects.get_for_model(User), object_id=str(user.pk))
    yield (
        "administration_log",
        LogEntry.objects.filter(account | Q(user=user))
        .order_by("pk")
        .values("action_time", "object_repr", "change_message")
        .iterator(),
    )

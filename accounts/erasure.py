"""Erases a person's data. `rentals.account_closing`, its one caller, says whether an account may close."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Model, QuerySet

from accounts.models import CLOSED_PREFIX, TokenFamily, User
from lori_assignment.models import IdempotencyRecord
from lori_assignment.observability.security_log import log_event


def erase_personal_data(user: User) -> None:
    """Empty the account of everything that says whose it was; the caller holds its lock.

    The row stays, since rentals and ledger entries point to it, under a name that nobody can take: the
    username and the e-mail address are free for a new account. Nothing opens it again.
    """
    for owned in (
        EmailAddress.objects.filter(user=user),
        Authenticator.objects.filter(user=user),
        UserSession.objects.filter(user=user),
    ):
        _anonymize_admin_log(owned)
    _anonymize_admin_log(User.objects.filter(pk=user.pk))

    keys = UserSession.objects.filter(user=user).values_list("session_key", flat=True)
    Session.objects.filter(session_key__in=list(keys)).delete()
    UserSession.objects.filter(user=user).delete()
    TokenFamily.objects.filter(user=user).delete()
    Authenticator.objects.filter(user=user).delete()
    EmailAddress.objects.filter(user=user).delete()
    IdempotencyRecord.objects.filter(user=user).delete()
    user.groups.clear()
    user.user_permissions.clear()

    user.username = f"{CLOSED_PREFIX}{user.pk}"
    user.email = user.name = user.phone = user.address = user.language = ""
    # Of the sessions that no list knows, this ends the last: they carry a hash of the password.
    user.set_unusable_password()
    user.is_active = False
    user.last_login = None
    user.save()
    log_event("account_closed", account=user.pk)


def _anonymize_admin_log(rows: QuerySet[Model]) -> None:
    """The administration's log calls what was changed by what it was called then."""
    kind = ContentType.objects.get_for_model(rows.model)
    numbers = [str(pk) for pk in rows.values_list("pk", flat=True)]
    LogEntry.objects.filter(content_type=kind, object_id__in=numbers).update(object_repr=CLOSED_PREFIX)

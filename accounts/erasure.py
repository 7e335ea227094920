"""Erases a person's data. Its only caller, `rentals.account_closing`, decides if an account may close."""

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
    """Remove everything that identifies the person from the account, whose row the caller has locked.

    The row stays, because rentals and ledger entries refer to it, but under a reserved username, so that the
    old username and e-mail address can be used for a new account. Nobody can sign in to it again.
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
    # Also ends sessions without a UserSession row: every session holds a hash of the password.
    user.set_unusable_password()
    user.is_active = False
    user.last_login = None
    user.save()
    log_event("account_closed", account=user.pk)


def _anonymize_admin_log(rows: QuerySet[Model]) -> None:
    """Overwrite the names of `rows` in the admin log, which records them with every change."""
    kind = ContentType.objects.get_for_model(rows.model)
    numbers = [str(pk) for pk in rows.values_list("pk", flat=True)]
    LogEntry.objects.filter(content_type=kind, object_id__in=numbers).update(object_repr=CLOSED_PREFIX)

"""Mail of the shop to an account, written from the templates in templates/mail/."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import User

logger = logging.getLogger(__name__)

_kept_back = ContextVar("mail_kept_back", default=False)


@contextmanager
def without_mail() -> Iterator[None]:
    """Nobody is written to from within, for history that is played and not happening."""
    token = _kept_back.set(True)
    try:
        yield
    finally:
        _kept_back.reset(token)


def mail_member(member: User, template: str, **facts: Any) -> None:
    """Mail templates/mail/`template`.txt and its `…_subject.txt`, in the member's language and the
    shop's time zone.

    To be called after the commit. A mail server that fails is logged and stops nothing: what the
    mail tells has happened.
    """
    if _kept_back.get() or not (member.is_active and member.email):
        return
    facts |= {"member": member, "site_name": settings.SITE_NAME}
    language = member.language or settings.LANGUAGE_CODE
    with translation.override(language), timezone.override(timezone.get_default_timezone()):
        subject = render_to_string(f"mail/{template}_subject.txt", facts)
        body = render_to_string(f"mail/{template}.txt", facts)
    try:
        send_mail(
            # A title may have a line break; a subject must not.
            f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{' '.join(subject.split())}",
            body,
            settings.DEFAULT_FROM_EMAIL,
            [member.email],
        )
    except OSError:
        logger.exception("A mail (%s) to account %s could not be sent.", template, member.pk)

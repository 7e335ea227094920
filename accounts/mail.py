"""Mail of the shop to an account, written from the templates in templates/mail/, and when it goes out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import User

logger = logging.getLogger(__name__)

# Starts its threads with the first mail, and so in the worker and not before the fork. A worker that stops
# waits for them; one that is killed loses what waits here, and who asked for it asks again.
_executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mail")

_suppressed = ContextVar("mail_kept_back", default=False)


@contextmanager
def suppress_mail() -> Iterator[None]:
    """Nobody is written to from within, for history that is played and not happening."""
    token = _suppressed.set(True)
    try:
        yield
    finally:
        _suppressed.reset(token)


def mail_member(member: User, template: str, **facts: Any) -> None:
    """Mail templates/mail/`template`.txt and its `…_subject.txt`, in the member's language and the
    shop's time zone.

    To be called after the commit. A mail server that fails is logged and stops nothing: what the
    mail tells has happened.
    """
    if _suppressed.get() or not (member.is_active and member.email):
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


def send_on_commit(send: Callable[[], object]) -> None:
    """Do `send` when what is done now is committed: of what never was, nobody is told."""
    if settings.MAIL_IN_BACKGROUND:
        transaction.on_commit(send, robust=True)
    else:
        send()


def send_in_background(send: Callable[[], object]) -> None:
    """Do `send`, which looks somebody up and mails them, when what is done now is committed, in a thread.

    The answer does not wait for it: neither the look-up nor the mail server tells by its time whether there
    is such an account.
    """
    if settings.MAIL_IN_BACKGROUND:
        transaction.on_commit(lambda: _executor.submit(copy_context().run, _send_logging_errors, send))
    else:
        send()


def _send_logging_errors(send: Callable[[], object]) -> None:
    try:
        send()
    except Exception:
        logger.exception("A mail that was to go out afterwards failed.")
    finally:
        # Of this thread's own, which may wait for its next mail for hours.
        connection.close()

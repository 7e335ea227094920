"""Mails members from the templates in templates/mail/, and sends mail after the commit or in a thread."""

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

# Starts its threads with the first mail, so in the worker and not before the fork. A worker that stops waits
# for them; one that is killed loses its pending mails, which people then have to request again.
_executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mail")

_suppressed = ContextVar("mail_kept_back", default=False)


@contextmanager
def suppress_mail() -> Iterator[None]:
    """Send no mail to members within the context, where past events are replayed."""
    token = _suppressed.set(True)
    try:
        yield
    finally:
        _suppressed.reset(token)


def mail_member(member: User, template: str, **facts: Any) -> None:
    """Mail templates/mail/`template`.txt with its `…_subject.txt` to `member`.

    Uses the member's language and the shop's time zone. Must be called after the commit: errors of the mail
    server are logged and not raised, because the event has already happened.
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
            # A book's title may contain a line break; a subject must not.
            f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{' '.join(subject.split())}",
            body,
            settings.DEFAULT_FROM_EMAIL,
            [member.email],
        )
    except OSError:
        logger.exception("E-mail %s to account %s couldn't be sent.", template, member.pk)


def send_on_commit(send: Callable[[], object]) -> None:
    """Call `send` after the current transaction commits, and not at all if it is rolled back."""
    if settings.MAIL_IN_BACKGROUND:
        transaction.on_commit(send, robust=True)
    else:
        send()


def send_in_background(send: Callable[[], object]) -> None:
    """Call `send`, which looks up an account and mails it, in a thread after the commit.

    The response does not wait for it, so its timing does not reveal whether the account exists.
    """
    if settings.MAIL_IN_BACKGROUND:
        transaction.on_commit(lambda: _executor.submit(copy_context().run, _send_logging_errors, send))
    else:
        send()


def _send_logging_errors(send: Callable[[], object]) -> None:
    try:
        send()
    except Exception:
        logger.exception("Sending an e-mail after the commit failed.")
    finally:
        # This thread's own connection; the next mail may be hours away.
        connection.close()

"""Exceptions that any part of the shop may raise: a rule refuses, or a limit is reached."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

KIB = 1024
MIB = 1024 * KIB


class Refusal(Exception):
    """A rule refuses a well-formed and permitted request; the API answers 409.

    Programs branch on `code`, which never changes once released; people read `message`.
    `reasons` has every refusal if several rules refuse, otherwise only this one.
    """

    code = "refused"
    message: str | Promise = "This can't be done."
    # Seconds after which a retry may succeed; None where time alone changes nothing.
    retry_after: int | None = None

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        self.message = str(message if message is not None else self.message)
        self.code = code or self.code
        self.reasons: tuple[Refusal, ...] = (self,)
        super().__init__(self.message)


def refuse(reasons: Sequence[Refusal]) -> None:
    """Raise the first of `reasons` with all of them attached; return if there are none."""
    if reasons:
        first = reasons[0]
        first.reasons = tuple(reasons)
        raise first


class Throttled(Exception):  # Named for what happened, as Refusal is.
    """There were too many attempts; the API answers 429. The next is possible in `seconds`."""

    code = "throttled"
    message = gettext_lazy("Too many attempts. Wait a few minutes and try again.")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(seconds)


class Busy(Throttled):
    """The server is busy with other requests. The client exceeded no limit and may retry in `seconds`."""

    message = gettext_lazy("The shop is busy at the moment.")


class BodyTooLarge(RequestDataTooBig):
    """The body of a request has more than `most` bytes; the answer is 413."""

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"The request body has more than {most} bytes.")


def describe_limit(error: Exception) -> str | None:
    """Say what is allowed where a body was too large or had too many fields; None for any other error."""
    if isinstance(error, TooManyFieldsSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        return gettext("The request has too many fields. The limit is %(most)d.") % {"most": most}
    if not isinstance(error, RequestDataTooBig):
        return None
    # Django's own error has no limit: the text of a form with files, read to the limit of other bodies.
    most = error.most if isinstance(error, BodyTooLarge) else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    size = f"{most // MIB} MiB" if most >= MIB else f"{most // KIB} KiB"
    return gettext("The request body is too large. The limit is %(size)s.") % {"size": size}

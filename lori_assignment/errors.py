"""Errors that any part of the shop raises: a rule refuses, or a limit is reached."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy


class Refusal(Exception):
    """A rule says no to something well-formed and permitted; the API answers 409.

    Programs branch on `code`, which never changes once released; people read `message`.
    `reasons` holds every refusal when several rules say no, else only this one.
    """

    code = "refused"
    message: str | Promise = "This cannot be done."
    # Where time alone may change the answer: after how many seconds to ask again.
    retry_after: int | None = None

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        self.message = str(message if message is not None else self.message)
        self.code = code or self.code
        self.reasons: tuple[Refusal, ...] = (self,)
        super().__init__(self.message)


def refuse(reasons: Sequence[Refusal]) -> None:
    """Raise the first of `reasons`, carrying them all; return when there is none."""
    if reasons:
        first = reasons[0]
        first.reasons = tuple(reasons)
        raise first


class Throttled(Exception):  # Named for what happened, as Refusal is.
    """Too many attempts for now; the API answers 429. Another may be made in `seconds`."""

    code = "throttled"
    message = gettext_lazy("Too many attempts.")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(seconds)


class Busy(Throttled):
    """The shop is busy with other people, and free again in `seconds`: no limit was exceeded."""

    message = gettext_lazy("Others are being served at this very moment.")

"""Exceptions that any part of the shop may raise: a rule refuses, or a limit is reached."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy


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

"""One name for one request: in its answer as X-Request-ID, and in every line that is logged on its way.

Who asks may bring the name along, so that its own log and ours tell one story.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

HEADER = "X-Request-ID"
NONE = "-"
# What is told again, in a header and in logs, must not be able to say anything else there.
ACCEPTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}", re.ASCII)

_current = ContextVar("request_id", default=NONE)


def request_id() -> str:
    """That of the request which this thread answers, else NONE."""
    return _current.get()


def with_request_id(application: Application) -> Application:
    """The outermost of all that answers, so that every answer has one."""

    def named(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        name = given if ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        _current.set(name)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, (HEADER, name)], *more)

        return application(environ, start)

    return named


def _forget(**_: Any) -> None:
    """The server's own lines between two requests belong to none. It logs an answer before this."""
    _current.set(NONE)


request_finished.connect(_forget, dispatch_uid="forget the request's name")


class WithRequestId(logging.Filter):
    """Puts the name on every record, as `request_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id()
        return True

"""Formats and redacts the logs of the application and of gunicorn.

LOG_FORMAT=line is for people; LOG_FORMAT=json writes one object per line to standard output, for a log
collector. In neither format can logged text forge a record. Tokens and secret paths are left out, and so are
personal data: clients' addresses, user agents, query strings, e-mail addresses, and the rows that a database
quotes in an error.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

from django_guid.log_filters import CorrelationId
from gunicorn.config import Config
from gunicorn.glogging import Logger
from pythonjsonlogger.json import JsonFormatter

# Secret paths: a member's calendar, a password reset, the confirmation of an e-mail address. The logs of
# proxies in front have to be redacted separately.
SECRET_PARTS = re.compile(r"(/rentals/calendar/|/user/password/reset/key/|/user/confirm-email/)[^\s\"'/?]+")

# Tokens; e-mail addresses, for example in the response of a mail server; and the details of a PostgreSQL
# error, which quote rows and statements. Each pattern matches from the beginning of a word only, so that a
# crafted line does not take long.
TOKENS = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w.-]+")
_WORD = r"[^\s@<>(){}\[\]\"',;:=/?&]"
ADDRESSES = re.compile(rf"(?<!{_WORD}){_WORD}+(@|%40)[\w-]+(\.[\w-]+)+")
# How gunicorn's message about a malformed request begins.
INVALID_REQUEST = "Invalid request"
# In that message.
CLIENT_ADDRESS = re.compile(r"( from ip=)\S+")
QUOTED_ROWS = re.compile(r"((?:DETAIL|CONTEXT|LINE \d+):)[^\n]*")

# Characters that would start a line or control the reader's terminal, with their escapes in Python.
_CONTROLS = {
    number: chr(number).encode("unicode_escape").decode()
    for number in (*range(32), *range(127, 160), 0x2028, 0x2029)
}
_CONTROLS_EXCEPT_NEWLINE = {number: escape for number, escape in _CONTROLS.items() if chr(number) != "\n"}

# Requested every few seconds, so they are logged only when they fail.
QUIET = {"/healthz", "/readyz", "/metrics"}


def redact(text: str) -> str:
    text = SECRET_PARTS.sub(r"\1…", text)
    text = CLIENT_ADDRESS.sub(r"\1…", text)
    text = QUOTED_ROWS.sub(r"\1 …", text)
    return ADDRESSES.sub("…@…", TOKENS.sub("…", text))


class ClientErrorFilter(logging.Filter):
    """Makes one line of a response that is the client's fault: a warning without a traceback.

    Django logs some of them as errors, with a traceback. Those of `django.security` also quote what the
    client sent, such as its Host header; they are named by their kind instead.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if 400 <= getattr(record, "status_code", 0) < 500:
            record.exc_info = record.exc_text = None
            if record.name.startswith("django.security."):
                path = getattr(getattr(record, "request", None), "path", "")
                record.msg, record.args = "%s: %s", (record.name.rpartition(".")[2], path)
            if record.levelno > logging.WARNING:
                record.levelno, record.levelname = logging.WARNING, "WARNING"
                return logging.getLogger().isEnabledFor(logging.WARNING)
        return True


class LineFormatter(logging.Formatter):
    """Writes a record as one line. A traceback follows indented, so that none of it looks like a record."""

    # In UTC, whatever the shop's time zone: so lines of several machines, and of the night on which the
    # clocks go back, sort correctly.
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # Its name in `logging`.
        return super().formatMessage(record).translate(_CONTROLS)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return self._indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return self._indented(super().formatStack(stack_info))

    def _indented(self, text: str) -> str:
        return "    " + text.translate(_CONTROLS_EXCEPT_NEWLINE).replace("\n", "\n    ")


class JSONFormatter(JsonFormatter):
    """Writes a record as one JSON object, with fixed fields: libraries attach whole requests to a record."""

    FACTS = ("method", "path", "status", "bytes", "milliseconds")
    # Set by observability.security_log.
    SECURITY = ("event", "account", "actor", "client", "door", "how", "kind", "which")

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = redact(record.getMessage())
        log_data["request_id"] = getattr(record, "request_id", None)
        log_data["process"] = record.process
        log_data |= {name: vars(record)[name] for name in self.FACTS if name in vars(record)}
        if record.name == "security":
            log_data |= {name: vars(record)[name] for name in self.SECURITY if name in vars(record)}
        for name in ("exc_info", "stack_info"):
            if name in message_dict:
                log_data[name] = redact(message_dict[name])


class GunicornLogger(Logger):
    """Formats gunicorn's error log and access log like the application's."""

    error_fmt = "%(asctime)s [%(process)d] [%(levelname)s] [%(request_id)s] %(message)s"
    access_fmt = "%(asctime)s [%(process)d] [%(request_id)s] %(message)s"

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        # The settings, which validate the value, are not loaded yet.
        self.as_json = os.environ.get("LOG_FORMAT") == "json"
        for log, fmt in ((self.error_log, self.error_fmt), (self.access_log, self.access_fmt)):
            for handler in log.handlers:
                handler.setFormatter(JSONFormatter() if self.as_json else LineFormatter(fmt, self.datefmt))
                handler.filters = [CorrelationId("request_id")]
                if self.as_json and type(handler) is logging.StreamHandler:
                    handler.setStream(sys.stdout)

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if msg.startswith(INVALID_REQUEST):
            # What follows is the client's address, and the line that could not be read.
            msg, args = f"{INVALID_REQUEST} (%s)", (type(sys.exception()).__name__,)
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        error = sys.exception()
        if isinstance(error, (ConnectionError, TimeoutError)):
            # The client's network, not an error of the shop.
            self.error_log.warning("A connection ended (%s)", type(error).__name__)
        else:
            super().exception(msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        # Not PATH_INFO, which Django replaces with what it has decoded.
        asked = str(environ.get("RAW_URI", "")).partition("?")[0]
        path = unquote_to_bytes(asked).decode(errors="replace")
        status = int(str(resp.status).split(maxsplit=1)[0])
        if status < 400 and path.removesuffix("/") in QUIET:
            return
        if self.access_log_enabled:
            # Neither the query string nor the client's address: both are personal data.
            facts = {
                "method": environ.get("REQUEST_METHOD"),
                "path": redact(path),
                "status": status,
                "bytes": getattr(resp, "sent", None),
                "milliseconds": round(request_time.total_seconds() * 1000, 1),
            }
            said = "%(method)s %(path)s %(status)s"
            if not self.as_json:
                said += " %(bytes)s bytes %(milliseconds)s ms"
            self.access_log.info(said, facts, extra=facts)

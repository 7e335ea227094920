"""How the shop and its server log, and what must not be read there.

LOG_FORMAT=line is for people, and json, one object a line on standard output, for what collects logs. In
both a line is one record: nothing that is logged can make a line of its own. Some of the shop's addresses
are secrets that open something, and so are tokens; they are left out. So is what tells of persons: who asked,
by which program and for what, e-mail addresses, and the rows that a database quotes when it refuses one.
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

# A member's calendar, a new password, the proof of an e-mail address. Proxies in front of the shop keep
# logs of their own.
SECRET_PARTS = re.compile(r"(/rentals/calendar/|/user/password/reset/key/|/user/confirm-email/)[^\s\"'/?]+")

# Tokens; e-mail addresses, as in what a mail server says; and what PostgreSQL adds to an error, which quotes
# rows and statements. Each is looked for from the beginning of a word only: a line of a stranger's making
# must not take long.
TOKENS = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w.-]+")
_WORD = r"[^\s@<>(){}\[\]\"',;:=/?&]"
ADDRESSES = re.compile(rf"(?<!{_WORD}){_WORD}+(@|%40)[\w-]+(\.[\w-]+)+")
# What gunicorn says of a request that is none.
CLIENT_ADDRESS = re.compile(r"( from ip=)\S+")
QUOTED_ROWS = re.compile(r"((?:DETAIL|CONTEXT|LINE \d+):)[^\n]*")

# What would begin a line of its own, or steer the terminal of whoever reads: as Python writes it in a string.
_CONTROLS = {
    number: chr(number).encode("unicode_escape").decode()
    for number in (*range(32), *range(127, 160), 0x2028, 0x2029)
}
_CONTROLS_EXCEPT_NEWLINE = {number: escape for number, escape in _CONTROLS.items() if chr(number) != "\n"}

# Those that answer for health come every few seconds; as long as all is well they are not worth a line.
QUIET = {"/healthz", "/readyz", "/metrics"}


def redact(text: str) -> str:
    text = SECRET_PARTS.sub(r"\1…", text)
    text = CLIENT_ADDRESS.sub(r"\1…", text)
    text = QUOTED_ROWS.sub(r"\1 …", text)
    return ADDRESSES.sub("…@…", TOKENS.sub("…", text))


class LineFormatter(logging.Formatter):
    """One line for a record. A traceback follows indented, so that no line of it looks like a record."""

    # In UTC, whatever zone the shop is in: lines of several machines, and of the night on which clocks go
    # back, stand in one order.
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
    """One JSON object for a record. Only these fields: others hang whole requests on a record."""

    FACTS = ("method", "path", "status", "bytes", "milliseconds")
    # Of observability.security_log.
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
    """The server's own log, and that of requests."""

    error_fmt = "%(asctime)s [%(process)d] [%(levelname)s] [%(request_id)s] %(message)s"
    access_fmt = "%(asctime)s [%(process)d] [%(request_id)s] %(message)s"

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        # The settings, which refuse any other value, are not loaded yet.
        self.as_json = os.environ.get("LOG_FORMAT") == "json"
        for log, fmt in ((self.error_log, self.error_fmt), (self.access_log, self.access_fmt)):
            for handler in log.handlers:
                handler.setFormatter(JSONFormatter() if self.as_json else LineFormatter(fmt, self.datefmt))
                handler.filters = [CorrelationId("request_id")]
                if self.as_json and type(handler) is logging.StreamHandler:
                    handler.setStream(sys.stdout)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        # Not PATH_INFO, in whose place Django may have put what it read there.
        asked = str(environ.get("RAW_URI", "")).partition("?")[0]
        path = unquote_to_bytes(asked).decode(errors="replace")
        status = int(str(resp.status).split(maxsplit=1)[0])
        if status < 400 and path.removesuffix("/") in QUIET:
            return
        if self.access_log_enabled:
            # Neither what was asked for behind the `?`, nor who asked: that would be of a person.
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

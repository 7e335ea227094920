"""What must not be read in a log: some of the shop's addresses are secrets that open something."""

from __future__ import annotations

import logging
import re
from typing import Any

from gunicorn.glogging import Logger

# A member's calendar, a new password, the proof of an e-mail address. Proxies in front of the shop keep
# logs of their own.
SECRET_PARTS = re.compile(r"(/rentals/calendar/|/user/password/reset/key/|/user/confirm-email/)[^\s\"'/?]+")


def without_secrets(text: str) -> str:
    return SECRET_PARTS.sub(r"\1…", text)


class WithoutSecrets(logging.Filter):
    """For the shop's own log, which names the addresses that were not found or failed."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        told = without_secrets(said)
        if told != said:
            record.msg, record.args = told, ()
        return True


class AccessLog(Logger):
    """For the server's log of requests."""

    def atoms(self, *facts: Any, **more: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(*facts, **more)
        return {
            name: without_secrets(value) if isinstance(value, str) else value for name, value in atoms.items()
        }

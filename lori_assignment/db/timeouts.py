"""Limits how long the server waits for PostgreSQL. Commands, such as a migration, may take longer."""

from __future__ import annotations

from typing import Any

# Each ends in a 503 and frees the waiting thread. A deadlock is detected after one second, before any of
# them, and gunicorn's clients wait longer than all of them.
TIMEOUTS = {
    # For a row that another transaction changes.
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    # A worker that hangs within a transaction must not keep its locks.
    "idle_in_transaction_session_timeout": "30s",
}


def set_timeouts(settings_of_database: dict[str, Any]) -> None:
    """Apply the limits to every connection that is opened with these settings from now on.

    They are options of the connection and not set by SET, so that a value for one transaction is reset to
    them. Options in DATABASE_URL come later and take precedence.
    """
    if "sqlite" in settings_of_database["ENGINE"]:  # Its limit is in the settings, also for commands.
        return
    said = settings_of_database["OPTIONS"].get("options", "")
    ours = " ".join(f"-c {name}={limit}" for name, limit in TIMEOUTS.items())
    settings_of_database["OPTIONS"]["options"] = f"{ours} {said}".rstrip()

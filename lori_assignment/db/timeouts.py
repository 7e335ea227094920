"""How long the serving shop waits for PostgreSQL. A command, as a migration or an import, may take long."""

from __future__ import annotations

from typing import Any

# Each ends in 503, and the thread that waited serves others. A deadlock is found after a second, so before
# the first of them; gunicorn's clients wait for longer than all of them.
TIMEOUTS = {
    # For a row that somebody else changes.
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    # A worker that hangs in the middle of its work must not keep what it has locked.
    "idle_in_transaction_session_timeout": "30s",
}


def set_timeouts(settings_of_database: dict[str, Any]) -> None:
    """Every connection that is made by these settings from now on has the limits.

    As options of the connection and not by SET, so that what is set for a transaction goes back to them.
    What DATABASE_URL says of them itself comes later, and wins.
    """
    if "sqlite" in settings_of_database["ENGINE"]:  # It has a limit of its own, for commands too.
        return
    said = settings_of_database["OPTIONS"].get("options", "")
    ours = " ".join(f"-c {name}={limit}" for name, limit in TIMEOUTS.items())
    settings_of_database["OPTIONS"]["options"] = f"{ours} {said}".rstrip()

"""A PostgreSQL backend that checks a persistent connection without a query."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base
from psycopg2 import Error


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Called at the first query of each request. Django's own version sends a `SELECT 1`.

        A server that closes a connection sends a message, which can be read here; nothing else arrives
        between two queries. So the server is queried only if there is something to read. If it vanished
        without a message, the next query waits until `tcp_user_timeout`, as a `SELECT 1` would.
        """
        try:
            looking = select.poll()
            looking.register(self.connection.fileno(), select.POLLIN)
            silent = not looking.poll(0)
        except (OSError, ValueError, Error):
            return False
        return silent or super().is_usable()

"""PostgreSQL, where a connection that is kept is looked at before it is used, and the server not asked."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base
from psycopg2 import Error


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Asked at the first query of each request, which Django answers by a `SELECT 1`.

        A server that ends a connection says so, and its word lies here to be read; nothing else does
        between two queries. So only where something lies there the server is asked. One that is gone
        without a word lets either wait until `tcp_user_timeout`.
        """
        try:
            looking = select.poll()
            looking.register(self.connection.fileno(), select.POLLIN)
            silent = not looking.poll(0)
        except (OSError, ValueError, Error):
            return False
        return silent or super().is_usable()

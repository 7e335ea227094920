"""PostgreSQL, where a connection that is kept is looked at before it is used, and the server not asked."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base
from psycopg2 import Error


class DatabaseWrapper(base.DatabaseWrapper):
    def init_connection_state(self) -> None:
        """Plans that are kept serve all values alike.

        For a member with 20,000 rentals PostgreSQL takes it that their next 25 lie together among all that
        there are, and reads 94,000 others before it has found them; the plan for nobody in particular
        goes by the member's index, and costs the same for everybody.
        """
        super().init_connection_state()
        if not self.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            with self.connection.cursor() as cursor:
                cursor.execute("SET plan_cache_mode TO force_generic_plan")

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

"""A PostgreSQL backend that takes the user name and password from a secret in AWS Secrets Manager.

RDS rotates the password. Open connections stay open. The next new one is refused; then the secret is read
again, and no restart is needed.
"""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from typing import Any

from psycopg2 import OperationalError

from lori_assignment.aws.secrets import SecretUnreadable, read_secret
from lori_assignment.db.backends.postgresql import base

logger = logging.getLogger(__name__)

Login = dict[str, str]

# For a refused connection the client gets no SQLSTATE (28P01), only this message.
REFUSED = "password authentication failed"


class DatabaseCredentials:
    """The user name and password, read once for all threads, and again when PostgreSQL refuses them."""

    def __init__(self, arn: str) -> None:
        self._arn = arn
        self._lock = threading.Lock()
        self._login: Login | None = None

    def login(self) -> Login:
        with self._lock:
            if self._login is None:
                self._login = self._read()
            return self._login

    def refresh_login(self, refused: Login) -> Login:
        """Return the current user name and password; the first thread that was refused reads them for all."""
        with self._lock:
            if self._login == refused:
                self._login = self._read()
            return self._login or refused

    def _read(self) -> Login:
        try:
            held = read_secret(self._arn)
            return {"user": held["username"], "password": held["password"]}
        except SecretUnreadable as problem:
            why = str(problem)
        except KeyError as missing:
            why = f"it has no {missing.args[0]}"
        # Without the secret the database cannot be reached, so this is the error that callers handle.
        raise OperationalError(f"The secret in DATABASE_SECRET_ARN can't be read: {why}.")


credentials_for = lru_cache(maxsize=None)(DatabaseCredentials)


class DatabaseWrapper(base.DatabaseWrapper):
    """Needs SECRET_ARN in the settings of the database."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        secret = credentials_for(self.settings_dict["SECRET_ARN"])
        login = secret.login()
        try:
            return super().get_new_connection(conn_params | login)
        except OperationalError as error:
            if REFUSED not in str(error):
                raise
            newer = secret.refresh_login(login)
            if newer == login:
                raise
            logger.info("The database password has changed; reloaded it from its secret.")
        return super().get_new_connection(conn_params | newer)

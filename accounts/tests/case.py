"""Paths, passwords and helpers that the tests of this app share."""

from __future__ import annotations

from contextlib import contextmanager
from unittest import mock

from allauth.mfa.totp.internal import auth as totp
from rest_framework.test import APIClient

from accounts import backends
from accounts.models import User
from lori_assignment.testing.cases import PASSWORD, CastTestCase

TOKEN = "/api-token-auth/"
REFRESH = "/api-token-refresh/"
VERIFY = "/api-token-verify/"
LOGIN = "/api/rest-auth/login/"
LOGOUT = "/api/rest-auth/logout/"
USER = "/api/rest-auth/user/"
REGISTER = "/api/rest-auth/registration/"
CHANGE = "/api/rest-auth/password/change/"
RESET = "/api/rest-auth/password/reset/"
CONFIRM = "/api/rest-auth/password/reset/confirm/"

WRONG = "not-the-fourth-chapter"
NEW = "another-chapter-of-it"


def make_hash_of_nobody():
    """Make the hash that a process makes once, at its first sign-in, for tests that count hashes."""
    backends._is_right(None, WRONG)


class SignInCase(CastTestCase):
    client_class = APIClient

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make_hash_of_nobody()

    def sign_in(self, login="alice", password=PASSWORD, door=TOKEN, **more):
        return self.client.post(door, {"username": login, "password": password, **more})

    def client_with_token(self, access):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"JWT {access}")
        return client

    def assert_headers_equal(self, responses):
        """Ignores the request id, which is random."""
        headers = [dict(response.headers) for response in responses]
        for each in headers:
            self.assertRegex(each.pop("X-Request-ID"), "^[0-9a-f]{32}$")
        for each in headers[1:]:
            self.assertEqual(each, headers[0])


def activate_totp(user: User) -> str:
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    return secret


@contextmanager
def frozen_clock(now: int):
    """Freeze the time for which TOTP codes are valid, in Unix seconds."""
    with mock.patch.object(totp, "time") as clock:
        clock.time.return_value = now
        yield


def totp_code(secret: str, now: int) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, now // 30))

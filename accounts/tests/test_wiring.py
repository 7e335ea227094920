from __future__ import annotations

import subprocess
import sys

from django.test import Client, SimpleTestCase
from django.urls import get_resolver

from accounts.api import auth_views, views
from accounts.tests.case import LOGOUT, SignInCase

IMPORT = """
import django; django.setup()
import sys, accounts.api.serializers.auth
sys.exit("dj_rest_auth.views" in sys.modules)
"""


class WiringTest(SimpleTestCase):
    def test_serializers_import_no_views(self):
        """dj_rest_auth's views import them while they are themselves being imported."""
        environment = {"DJANGO_SETTINGS_MODULE": "lori_assignment.settings", "DEBUG": "on"}
        run = subprocess.run(  # noqa: S603  # Runs the constant above.
            [sys.executable, "-c", IMPORT], env=environment, capture_output=True, text=True, check=False
        )
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_every_view_declares_its_schema(self):
        for path, view in auth_views.PATHS:
            with self.subTest(path=path):
                door = view()
                self.assertEqual(door.tag, "sign-in")
                door.get_response_serializer_class()
                for method in set(view.http_method_names) & {"get", "post", "put", "patch"}:
                    self.assertTrue(getattr(view, method).__doc__)
        for action in ("list", "retrieve", "update", "partial_update"):
            self.assertTrue(getattr(views.AccountViewSet, action).__doc__)

    def test_every_auth_view_is_throttled(self):
        for path, view in auth_views.PATHS:
            if view is not auth_views.UserDetails:
                of_tokens = path.endswith(("token-refresh", "token-verify", "token/refresh", "token/verify"))
                self.assertEqual(view.throttle_scope, "tokens" if of_tokens else "dj_rest_auth", path)
                self.assertEqual(
                    getattr(view, "family_throttle_scope", "") == "token_family", of_tokens, path
                )

    def test_unused_routes_of_dj_rest_auth_are_absent(self):
        """dj-rest-auth's bare `account_confirm_email` answered 500."""
        names = [name for name in get_resolver().reverse_dict if name == "account_confirm_email"]
        self.assertEqual(len(names), 1)
        self.assertEqual(Client().get("/user/confirm-email/x/").status_code, 200)


class LogoutTest(SignInCase):
    def test_web_session_continues(self):
        """Signing out an API client does not sign out the browser."""
        self.client.force_login(self.alice)
        refresh = self.sign_in().json()["refresh"]
        self.assertEqual(self.client.post(LOGOUT, {"refresh": refresh}).status_code, 200)
        self.assertIn("_auth_user_id", self.client.session)

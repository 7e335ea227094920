"""Error pages say what has happened and what to do."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from html import unescape
from typing import Any
from unittest import mock

from django.contrib.sessions.models import Session
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from django.utils import timezone

from accounts.tests.case import activate_totp, frozen_clock, totp_code
from accounts.tests.passkeys import SoftwarePasskey
from lori_assignment import urls
from lori_assignment.http.member_pages import FORM_OWNER, member_form, sign_form_owner, unsent_form
from lori_assignment.testing.cases import PASSWORD, CastTestCase


def too_big(request: HttpRequest) -> HttpResponse:
    raise RequestDataTooBig


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


@member_form
def note(request: HttpRequest) -> HttpResponse:
    """Show the data that is bound to a form."""
    typed = unsent_form(request)
    return HttpResponse(f"{request.method} {typed and typed.dict()} {request.POST.get('note', '')}")


def hidden_fields(page: HttpResponse) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.content.decode())
    return {name: unescape(value) for name, value in found if name in ("next", "unsent")}


urlpatterns = [
    *urls.urlpatterns,
    path("too-big/", too_big),
    path("api/too-big/", too_big),
    path("broken/", broken),
    path("note/", note),
]
handler400, handler403, handler404, handler500 = (
    urls.handler400,
    urls.handler403,
    urls.handler404,
    urls.handler500,
)


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_error_handlers")
class ErrorPageTest(CastTestCase):
    def test_oversized_request_is_413(self) -> None:
        self.assertContains(self.client.get("/too-big/"), "That's too large to send", status_code=413)
        answer = self.client.get("/api/too-big/")
        self.assertEqual((answer.status_code, answer.json()["code"]), (413, "too_large"))

    def test_crash_page_reveals_nothing(self) -> None:
        with self.assertLogs("django.request", "ERROR"):
            answer = Client(raise_request_exception=False).get("/broken/")
        self.assertContains(answer, "Something went wrong on our side", status_code=500)
        self.assertNotContains(answer, "ZeroDivision", status_code=500)

    def test_every_page_forbids_foreign_scripts(self) -> None:
        for address in ("/", "/no-such-page/", "/user/login/", "/admin/login/"):
            with self.subTest(address):
                policy = self.client.get(address, follow=True).headers["Content-Security-Policy"]
                self.assertIn("script-src 'self';", f"{policy};")
                self.assertNotIn("unsafe", policy)


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_error_handlers")
class CsrfFailureTest(CastTestCase):
    """A form whose CSRF token is not valid any more."""

    def send(
        self, address: str = "/note/", *, origin: str = "http://testserver", **typed: str
    ) -> HttpResponse:
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.alice)
        return client.post("/note/", typed, headers={"Origin": origin})

    def test_own_form_can_be_resubmitted(self) -> None:
        answer = self.send(note="Ring <twice>")
        self.assertContains(answer, "Your session ended or changed", status_code=403)
        self.assertContains(answer, 'name="note" value="Ring &lt;twice&gt;"', status_code=403)
        self.assertContains(answer, "Send again", status_code=403)

    def test_form_with_a_password_is_not_shown(self) -> None:
        for name in ("password", "oldpassword", "password1", "otp", "code"):
            answer = self.send(**{name: "the-fourth-chapter"})
            self.assertNotContains(answer, "the-fourth-chapter", status_code=403)
            self.assertNotContains(answer, "Send again", status_code=403)

    def test_form_of_another_site_is_not_offered(self) -> None:
        answer = self.send(origin="http://elsewhere.example", note="Rent me")
        self.assertNotContains(answer, "Rent me", status_code=403)
        self.assertNotContains(answer, "Send again", status_code=403)

    def test_api_call_gets_json(self) -> None:
        client = Client(enforce_csrf_checks=True)
        answer = client.post("/api/too-big/")
        self.assertEqual((answer.status_code, answer.json()["code"]), (403, "csrf_failed"))


@override_settings(ROOT_URLCONF="lori_assignment.tests.test_error_handlers")
class ExpiredSessionTest(CastTestCase):
    """A form that was sent after its session had ended."""

    def send(self, **typed: str) -> Any:
        return self.client.post("/note/", {FORM_OWNER: sign_form_owner(self.alice), **typed})

    def sign_in(self, page: HttpResponse, **more: str) -> Any:
        """Send the form of a sign-in page with its hidden fields."""
        form = {"login": "alice", "password": PASSWORD, **hidden_fields(page), **more}
        return self.client.post("/user/login/", form)

    def test_form_returns_after_signing_in(self) -> None:
        page = self.send(note="Ring twice", password="secret")
        self.assertContains(page, "Sign in")
        self.assertNotContains(page, "secret")
        self.assertIn("no-store", page.headers["Cache-Control"])
        self.assertEqual(Session.objects.count(), 0)
        self.assertRedirects(self.sign_in(page), "/note/", fetch_redirect_response=False)
        self.assertContains(self.client.get("/note/"), "GET {'note': 'Ring twice'}")
        self.assertContains(self.client.get("/note/"), "GET None")

    def test_form_that_names_no_member_is_dropped(self) -> None:
        for owner in ("", str(self.alice.pk), sign_form_owner(self.alice) + "x"):
            answer = self.send(note="Ring twice", **{FORM_OWNER: owner})
            self.assertRedirects(answer, "/user/login/?next=/note/")

    def test_form_survives_a_wrong_password_and_a_failed_passkey(self) -> None:
        page = self.sign_in(self.send(note="Ring twice"), password="wrong")
        self.assertContains(page, "Sign in")
        page = self.client.post("/user/2fa/webauthn/login/", hidden_fields(page) | {"credential": "{}"})
        self.assertContains(page, "This field is required")
        self.assertEqual(self.sign_in(page).headers["Location"], "/note/")
        self.assertContains(self.client.get("/note/"), "Ring twice")

    def test_form_survives_the_second_factor(self) -> None:
        secret = activate_totp(self.alice)
        page = self.sign_in(self.send(note="Ring twice"))
        self.assertContains(page, "Two-factor sign-in")
        page = self.client.post("/user/2fa/authenticate/", hidden_fields(page) | {"code": "000000"})
        self.assertContains(page, "Two-factor sign-in")
        self.assertEqual(Session.objects.count(), 0)
        with frozen_clock(1_800_000_000):
            form = hidden_fields(page) | {"code": totp_code(secret, 1_800_000_000)}
            answer = self.client.post("/user/2fa/authenticate/", form)
        self.assertEqual(answer.headers["Location"], "/note/")
        self.assertContains(self.client.get("/note/"), "Ring twice")

    def test_form_survives_a_passkey(self) -> None:
        key = SoftwarePasskey(self.alice)
        page = self.send(note="Ring twice")
        options = self.client.get("/user/2fa/webauthn/login/", headers={"X-Requested-With": "XMLHttpRequest"})
        form = hidden_fields(page)
        form["credential"] = key.sign(options.json()["request_options"]["publicKey"]["challenge"])
        self.assertEqual(self.client.post("/user/2fa/webauthn/login/", form).headers["Location"], "/note/")
        self.assertContains(self.client.get("/note/"), "Ring twice")

    def test_nothing_typed_is_redirected(self) -> None:
        for typed in ({}, {"password": "secret"}):
            self.assertRedirects(self.send(**typed), "/user/login/?next=/note/")
        answer = self.client.post("/note/", {"note": "x"}, headers={"HX-Request": "true"})
        self.assertEqual(answer.headers["HX-Redirect"], "/user/login/?next=/note/")

    def test_button_returns_to_its_page(self) -> None:
        sent = {"headers": {"Referer": "http://testserver/balance?x=1"}}
        self.assertRedirects(
            self.client.post("/note/", **sent),
            "/user/login/?next=/balance%3Fx%3D1",
            fetch_redirect_response=False,
        )
        foreign = {"headers": {"Referer": "http://elsewhere.example/"}}
        self.assertRedirects(
            self.client.post("/note/", **foreign), "/user/login/?next=/note/", fetch_redirect_response=False
        )

    def test_old_long_or_forged_form_is_dropped(self) -> None:
        self.assertRedirects(self.send(note="x" * 5_001), "/user/login/?next=/note/")
        self.assertRedirects(
            self.send(**{"x" * 900 + str(n): "" for n in range(6)}), "/user/login/?next=/note/"
        )
        page = self.send(note="Ring twice")
        later = time.time() + 16 * 60
        with mock.patch("time.time", return_value=later):
            self.sign_in(page)
        self.assertContains(self.client.get("/note/"), "GET None")
        self.client.logout()
        self.sign_in(page, unsent=hidden_fields(page)["unsent"] + "x")
        self.assertContains(self.client.get("/note/"), "GET None")

    def test_form_is_dropped_after_a_while(self) -> None:
        self.sign_in(self.send(note="Ring twice"))
        later = timezone.now() + timedelta(minutes=16)
        with mock.patch("django.utils.timezone.now", return_value=later):
            self.assertContains(self.client.get("/note/"), "GET None")

    def test_htmx_request_redirects_the_whole_page(self) -> None:
        headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/balance"}
        answer = self.client.get("/note/", headers=headers)
        self.assertEqual(
            (answer.status_code, answer.headers["HX-Redirect"]), (200, "/user/login/?next=/balance")
        )

    def test_member_page_is_not_cached(self) -> None:
        self.client.force_login(self.alice)
        self.assertIn("no-store", self.client.get("/note/").headers["Cache-Control"])

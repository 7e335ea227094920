"""Error pages say what has happened and what to do."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from lori_assignment import urls
from lori_assignment.http.member_pages import member_page, unsent_form
from lori_assignment.testing.cases import CastTestCase


def too_big(request: HttpRequest) -> HttpResponse:
    raise RequestDataTooBig


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


@member_page
def note(request: HttpRequest) -> HttpResponse:
    """Show the data that is bound to a form."""
    typed = unsent_form(request)
    return HttpResponse(f"{request.method} {typed and typed.dict()} {request.POST.get('note', '')}")


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

    def test_form_returns_after_signing_in(self) -> None:
        answer = self.client.post("/note/", {"note": "Ring twice", "password": "secret"})
        self.assertRedirects(answer, "/user/login/?next=/note/")
        self.client.force_login(self.alice)
        self.assertContains(self.client.get("/note/"), "GET {'note': 'Ring twice'}")
        self.assertContains(self.client.get("/note/"), "GET None")

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

    def test_old_or_long_form_is_dropped(self) -> None:
        self.client.post("/note/", {"note": "x" * 20_001})
        self.assertNotIn("unsent", self.client.session)
        self.client.post("/note/", {"note": "Ring twice"})
        session = self.client.session
        session["unsent"] = session["unsent"] | {"at": session["unsent"]["at"] - 16 * 60}
        session.save()
        self.client.force_login(self.alice)
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

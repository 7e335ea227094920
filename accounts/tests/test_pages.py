"""The account pages, without JavaScript."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.models import CLOSED_PREFIX, TokenFamily, User
from accounts.sign_up import reset_email_address
from accounts.tests.case import NEW, WRONG, activate_totp, frozen_clock, totp_code
from accounts.tests.test_web_tokens import COOKIES, RENEW, WebCase
from books.stock import add_book
from lori_assignment.testing.cases import PASSWORD, CastTestCase
from rentals.services import rent_book

PROFILE = "/user/profile/"
SESSIONS = "/user/sessions/"
CLOSE = "/user/close/"
DOWNLOAD = "/user/data/download/"

# Every page with its number of queries, including those for the session and the account.
FOR_ANYONE = {
    "/user/login/": 0,
    "/user/signup/": 0,
    "/user/password/reset/": 0,
    "/user/password/reset/done/": 0,
    "/user/password/reset/key/done/": 0,
    "/user/password/reset/key/x-y/": 1,
    "/user/confirm-email/": 0,
    "/user/confirm-email/x/": 0,
    "/user/inactive/": 0,
}
FOR_MEMBERS = {
    PROFILE: 2,
    "/user/email/": 6,
    "/user/password/change/": 2,
    "/user/2fa/": 4,
    "/user/2fa/totp/deactivate/": 4,
    "/user/2fa/webauthn/": 3,
    # Saves its challenge in the session, which takes an extra savepoint in tests.
    "/user/2fa/webauthn/add/": 8,
    "/user/2fa/recovery-codes/": 4,
    "/user/2fa/recovery-codes/generate/": 4,
    SESSIONS: 6,
    "/user/data/": 2,
    CLOSE: 4,
    "/user/logout/": 2,
    "/user/reauthenticate/": 3,
}


class PagesCase(CastTestCase):
    def setUp(self):
        cache.clear()
        reset_email_address(self.alice)
        EmailAddress.objects.filter(user=self.alice).update(verified=True)
        self.client.post("/user/login/", {"login": "alice", "password": PASSWORD})

    def confirm_it_is_me(self, client=None):
        (client or self.client).post("/user/reauthenticate/", {"password": PASSWORD})

    def told(self, answer):
        return [str(message) for message in answer.context["messages"]]


class QueryCountTest(PagesCase):
    def test_public_pages_have_fixed_query_counts(self):
        for path, queries in FOR_ANYONE.items():
            with self.subTest(path=path), self.assertNumQueries(queries):
                self.assertEqual(Client().get(path).status_code, 200)

    def test_member_pages_have_fixed_query_counts(self):
        activate_totp(self.alice)
        RecoveryCodes.activate(self.alice)
        self.confirm_it_is_me()
        # allauth records that the codes were shown.
        self.client.get("/user/2fa/recovery-codes/")
        for more in (0, 3):
            for number in range(more):
                Client().post("/user/login/", {"login": "alice", "password": PASSWORD})
                now = timezone.now()
                rent_book(member=self.alice, book=add_book(name=f"{number}", kind=1), at=now, now=now)
            for path, queries in FOR_MEMBERS.items():
                with self.subTest(path=path, more=more), self.assertNumQueries(queries):
                    self.assertEqual(self.client.get(path).status_code, 200)

    def test_no_page_takes_more_than_eight_queries(self):
        self.assertLessEqual(max([*FOR_ANYONE.values(), *FOR_MEMBERS.values()]), 8)


class LoginRequiredTest(CastTestCase):
    def test_account_pages_redirect_to_sign_in(self):
        for path in FOR_MEMBERS:
            if path != "/user/logout/":
                with self.subTest(path=path):
                    answer = self.client.get(path)
                    self.assertEqual(answer.status_code, 302)
                    self.assertIn("/user/login/", answer["Location"])


class SignInPageTest(CastTestCase):
    def test_page_shows_the_same_error_as_the_api(self):
        refusal = Client().post("/api-token-auth/", {"username": "alice", "password": WRONG})
        for login in ("alice", "alice@example.org", "nobody", "nobody@example.org"):
            answer = self.client.post("/user/login/", {"login": login, "password": WRONG})
            self.assertEqual(answer.context["form"].non_field_errors(), [refusal.json()["detail"]])

    def test_page_is_throttled(self):
        for _ in range(30):
            answer = self.client.post("/user/login/", {"login": "", "password": ""})
        self.assertEqual(answer.status_code, 200)
        answer = self.client.post("/user/login/", {"login": "", "password": ""})
        self.assertEqual(answer.status_code, 429)
        self.assertTemplateUsed(answer, "429.html")

    def setUp(self):
        cache.clear()

    def test_passwords_are_hidden_and_may_be_pasted(self):
        mine = Client()
        mine.force_login(self.alice)
        for client, path, fields in (
            (self.client, "/user/login/", 1),
            (self.client, "/user/signup/", 2),
            (mine, "/user/password/change/", 3),
            (mine, "/user/reauthenticate/", 1),
        ):
            page = client.get(path).content.decode()
            typed = [tag for tag in re.findall("<input[^>]*>", page) if re.search('name="[^"]*password', tag)]
            self.assertEqual(len(typed), fields, path)
            for tag in typed:
                self.assertIn('type="password"', tag)
                self.assertIn('autocomplete="', tag)
                self.assertNotRegex(tag, "onpaste|readonly|maxlength")

    def test_fields_have_autocomplete_attributes(self):
        for path, fields in {
            "/user/login/": {"login": "username", "password": "current-password"},
            "/user/signup/": {
                "username": "username",
                "email": "email",
                "name": "name",
                "password1": "new-password",
                "password2": "new-password",
            },
        }.items():
            form = self.client.get(path).context["form"]
            for name, expected in fields.items():
                self.assertEqual(form.fields[name].widget.attrs["autocomplete"], expected, name)
                self.assertNotIn("placeholder", form.fields[name].widget.attrs)


class ProfileTest(PagesCase):
    def test_profile_is_saved(self):
        answer = self.client.post(
            PROFILE, {"name": "Alice Hill", "phone": "555", "address": "Via Appia 7\nRoma"}, follow=True
        )
        self.assertEqual(self.told(answer), ["Your profile has been saved."])
        self.alice.refresh_from_db()
        self.assertEqual(
            (self.alice.name, self.alice.phone, self.alice.address),
            ("Alice Hill", "555", "Via Appia 7\nRoma"),
        )

    def test_invalid_form_keeps_the_input(self):
        answer = self.client.post(PROFILE, {"name": "Alice Hill", "phone": "5" * 51})
        self.assertContains(answer, "5" * 51)
        self.assertContains(answer, 'value="Alice Hill"')
        self.assertContains(answer, "Signed in as Alice Moss")
        self.assertEqual(list(answer.context["form"].errors), ["phone"])
        self.alice.refresh_from_db()
        self.assertEqual((self.alice.name, self.alice.phone), ("Alice Moss", ""))

    def test_only_profile_fields_are_writable(self):
        before = User.objects.values().get(pk=self.alice.pk)
        self.client.post(PROFILE, {"name": "A", "is_staff": "on", "username": "x", "email": "x@example.org"})
        self.assertEqual(User.objects.values().get(pk=self.alice.pk), before | {"name": "A"})

    def send_as(self, member, browser):
        """Send the form of `member`'s page in another browser, and return the answer."""
        page = Client()
        page.force_login(member)
        [owner] = re.findall(r'name="form_owner" value="([^"]*)"', page.get(PROFILE).content.decode())
        return browser.post(PROFILE, {"name": "Alice Hill", "phone": "555", "form_owner": owner})

    def sign_in_with_form(self, page, browser, name):
        [(next_page, unsent)] = re.findall(
            r'name="next" value="([^"]*)">\s*<input type="hidden" name="unsent" value="([^"]*)">\s*<div',
            page.content.decode(),
        )
        given = {"login": name, "password": PASSWORD, "next": next_page, "unsent": unsent}
        self.assertEqual(browser.post("/user/login/", given).headers["Location"], PROFILE)

    def test_input_returns_after_signing_in_again(self):
        stranger = Client()
        answer = self.send_as(self.alice, stranger)
        self.assertContains(answer, "Sign in, and what you typed will be there.")
        self.assertNotContains(stranger.get("/user/login/"), "what you typed")
        self.sign_in_with_form(answer, stranger, "alice")
        form = stranger.get(PROFILE).context["form"]
        self.assertEqual((form["name"].value(), form["phone"].value()), ("Alice Hill", "555"))
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.name, "Alice Moss")

    def test_input_does_not_return_to_another_member(self):
        stranger = Client()
        self.sign_in_with_form(self.send_as(self.alice, stranger), stranger, "bob")
        page = stranger.get(PROFILE)
        self.assertEqual(page.context["form"]["name"].value(), self.bob.name)
        self.assertNotContains(page, "Alice Hill")

    def test_form_of_another_member_is_not_saved(self):
        """`Send again` offers it after somebody else has signed in, in another tab."""
        browser = Client()
        browser.force_login(self.bob)
        answer = self.send_as(self.alice, browser)
        self.assertRedirects(answer, PROFILE, fetch_redirect_response=False)
        page = browser.get(PROFILE)
        self.assertContains(page, "Nothing has been changed")
        self.assertEqual(page.context["form"]["name"].value(), self.bob.name)
        self.assertEqual(User.objects.get(pk=self.bob.pk).name, self.bob.name)
        self.send_as(self.bob, browser)
        self.assertEqual(User.objects.get(pk=self.bob.pk).name, "Alice Hill")


class LanguageTest(PagesCase):
    def choose(self, language, client=None):
        return (client or self.client).post("/language/", {"language": language, "next": PROFILE})

    def chosen(self):
        return User.objects.get(pk=self.alice.pk).language

    def test_choice_of_a_member_is_saved(self):
        answer = self.choose("de")
        self.assertEqual((answer.status_code, answer["Location"], self.chosen()), (302, PROFILE, "de"))
        self.assertEqual(answer.cookies[settings.LANGUAGE_COOKIE_NAME].value, "de")

    def test_anonymous_choice_is_kept_in_a_cookie(self):
        answer = self.choose("de", Client())
        self.assertEqual(answer.cookies[settings.LANGUAGE_COOKIE_NAME].value, "de")
        self.assertEqual(self.chosen(), "")

    def test_saved_language_applies_in_new_browsers(self):
        User.objects.filter(pk=self.alice.pk).update(language="de")
        body = {"login": "alice", "password": PASSWORD}
        fresh, decided = Client(), Client()
        self.assertEqual(fresh.post("/user/login/", body).cookies["django_language"].value, "de")
        decided.cookies["django_language"] = "en"
        self.assertNotIn("django_language", decided.post("/user/login/", body).cookies)

    def test_unknown_language_changes_nothing(self):
        for language in ("tlh", "", "x" * 100):
            self.assertNotIn(settings.LANGUAGE_COOKIE_NAME, self.choose(language).cookies)
        self.assertEqual(self.chosen(), "")
        self.assertEqual(self.client.get("/language/").status_code, 405)

    def test_the_form_is_judged_by_its_origin(self):
        for origin, status in (
            ("http://testserver", 302),
            # One of CSRF_TRUSTED_ORIGINS.
            (settings.SITE_URL, 302),
            ("https://testserver", 403),
            ("http://testserver.evil.example", 403),
            ("http://evil.example", 403),
            ("null", 403),
            ("", 403),
            (None, 403),
        ):
            headers = {} if origin is None else {"origin": origin}
            strict = Client(enforce_csrf_checks=True, headers=headers)
            strict.force_login(self.alice)
            with self.subTest(origin=origin):
                answer = self.choose("de", strict)
                self.assertEqual(answer.status_code, status)
                self.assertEqual("django_language" in answer.cookies, status == 302)
                self.assertEqual(self.chosen(), "de" if status == 302 else "")
                User.objects.update(language="")

    def test_over_https_a_referer_is_no_substitute(self):
        strict = Client(enforce_csrf_checks=True, headers={"referer": "https://testserver/home"})
        answer = strict.post("/language/", {"language": "de"}, secure=True)
        self.assertEqual(answer.status_code, 403)


class SessionsPageTest(WebCase):
    def confirmed(self):
        """Return a browser that has just reauthenticated, and the form data that its buttons send."""
        mine = self.browser()
        form = {"csrfmiddlewaretoken": mine.cookies["csrftoken"].value}
        mine.post("/user/reauthenticate/", form | {"password": PASSWORD})
        return mine, form

    def test_page_lists_each_browser_by_its_name(self):
        mine = self.browser()
        for agent in (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile Safari/604.1",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0 Safari/537.36 Edg/131.0",
            "curl/8.5.0",
        ):
            client = Client(headers={"user-agent": agent})
            client.post("/user/login/", {"login": "alice", "password": PASSWORD})
        page = mine.get(SESSIONS)
        for name in ("Safari on iPhone", "Edge on Windows", "Unknown browser", "This browser"):
            self.assertContains(page, name)

    def test_button_signs_one_browser_out(self):
        (mine, form), other = self.confirmed(), self.browser()
        [pk] = [one.pk for one in mine.get(SESSIONS).context["sessions"] if not one.is_this]
        answer = mine.post(f"{SESSIONS}{pk}/end/", form, follow=True)
        self.assertContains(answer, "That browser has been signed out.")
        self.assertEqual((other.get(PROFILE).status_code, other.say(RENEW).status_code), (302, 401))
        # Pressed twice, or ended meanwhile.
        self.assertEqual(mine.post(f"{SESSIONS}{pk}/end/", form).status_code, 404)

    def test_button_signs_all_other_browsers_out(self):
        (mine, form), *others = self.confirmed(), self.browser(), self.browser()
        mine.post(f"{SESSIONS}end/", form)
        self.assertEqual([one.get(PROFILE).status_code for one in (mine, *others)], [200, 302, 302])
        self.assertEqual((mine.say(RENEW).status_code, TokenFamily.objects.count()), (204, 1))

    def test_api_clients_are_listed_and_signed_out(self):
        mine, form = self.confirmed()
        self.assertNotContains(mine.get(SESSIONS), "App with an API token")
        program = tokens.issue_tokens(self.alice)
        tokens.issue_tokens(self.bob)
        self.assertContains(mine.get(SESSIONS), "App with an API token", count=1)
        mine.post(f"{SESSIONS}end/", form)
        self.assertNotContains(mine.get(SESSIONS), "App with an API token")
        with self.assertRaises(tokens.TokenError):
            tokens.renew(program.refresh)
        self.assertEqual(TokenFamily.objects.filter(user=self.bob).count(), 1)

    def test_ending_a_session_requires_the_password(self):
        mine, other = self.browser(), self.browser()
        form = {"csrfmiddlewaretoken": mine.cookies["csrftoken"].value}
        [pk] = [one.pk for one in mine.get(SESSIONS).context["sessions"] if not one.is_this]
        for path in (f"{SESSIONS}{pk}/end/", f"{SESSIONS}end/"):
            self.assertIn("/user/reauthenticate/", mine.post(path, form)["Location"])
            self.assertEqual(other.get(PROFILE).status_code, 200)
        answer = mine.post("/user/reauthenticate/", form | {"password": PASSWORD, "next": path})
        self.assertEqual((answer.status_code, other.get(PROFILE).status_code), (302, 302))

    def test_reauthentication_rotates_the_session_key(self):
        mine, form = self.confirmed()
        stolen = Client()
        for given in ({"password": PASSWORD}, {"password": WRONG}):
            stolen.cookies["sessionid"] = mine.cookies["sessionid"].value
            mine.post("/user/reauthenticate/", form | given)
            self.assertEqual(stolen.get(PROFILE).status_code, 302 if given["password"] == PASSWORD else 200)
        now = int(timezone.now().timestamp())
        secret = activate_totp(self.alice)
        with frozen_clock(now):
            mine.post("/user/2fa/reauthenticate/", form | {"code": totp_code(secret, now)})
        self.assertEqual((stolen.get(PROFILE).status_code, mine.get(PROFILE).status_code), (302, 200))
        [listed] = mine.get(SESSIONS).context["sessions"]
        self.assertTrue(listed.is_this)

    def test_session_of_other_member_is_404(self):
        mine, form = self.confirmed()
        self.browser("bob")
        theirs = UserSession.objects.get(user=self.bob)
        self.assertEqual(mine.post(f"{SESSIONS}{theirs.pk}/end/", form).status_code, 404)
        self.assertTrue(UserSession.objects.filter(pk=theirs.pk).exists())

    def test_get_is_not_allowed(self):
        mine = self.browser()
        for path in (f"{SESSIONS}1/end/", f"{SESSIONS}end/"):
            self.assertEqual(mine.get(path).status_code, 405)


class DownloadTest(PagesCase):
    def test_download_is_one_json_file(self):
        answer = self.client.get(DOWNLOAD)
        self.assertEqual(answer["Content-Type"], "application/json")
        self.assertRegex(answer["Content-Disposition"], r'attachment; filename="lori-books-[\d-]+\.json"')
        self.assertIn("no-store", answer["Cache-Control"])
        document = json.loads(b"".join(answer.streaming_content))
        self.assertEqual(document["account"]["email"], "alice@example.org")
        self.assertEqual(self.client.post(DOWNLOAD).status_code, 405)


class ClosePageTest(PagesCase):
    def test_blockers_are_listed_without_a_button(self):
        now = timezone.now()
        rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now - timedelta(hours=1), now=now)
        answer = self.client.get(CLOSE)
        self.assertContains(answer, "You still have one book on loan. Return it first.")
        self.assertContains(answer, "You owe $4.50. Pay it at the counter first.")
        self.assertNotContains(answer, "permanently")
        self.confirm_it_is_me()
        refused = self.client.post(CLOSE, follow=True)
        self.assertIn("You still have one book on loan. Return it first.", self.told(refused))
        self.assertTrue(User.objects.get(pk=self.alice.pk).is_active)

    def test_closing_requires_the_password(self):
        self.assertContains(self.client.get(CLOSE), "Close my account permanently")
        answer = self.client.post(CLOSE)
        self.assertRedirects(answer, f"/user/reauthenticate/?next={CLOSE}", fetch_redirect_response=False)
        self.assertTrue(User.objects.get(pk=self.alice.pk).is_active)
        wrong = self.client.post(answer["Location"], {"password": WRONG})
        self.assertContains(wrong, "This is not your current password.")
        self.assertTrue(User.objects.get(pk=self.alice.pk).is_active)

        done = self.client.post(answer["Location"], {"password": PASSWORD})
        self.assertEqual((done.status_code, done["Location"]), (302, "/"))
        self.assertTrue(User.objects.get(pk=self.alice.pk).username.startswith(CLOSED_PREFIX))
        self.assertEqual([done.cookies[name].value for name in COOKIES], [""] * 3)
        front = self.client.get("/")
        self.assertEqual(self.told(front), ["Your account and data have been deleted."])
        self.assertNotContains(front, "Signed in as")

    def test_second_factor_replaces_the_password(self):
        activate_totp(self.alice)
        answer = self.client.get("/user/reauthenticate/")
        self.assertContains(answer, "/user/2fa/reauthenticate/")

    def test_page_says_that_staff_notes_stay(self):
        self.assertContains(self.client.get(CLOSE), "kept as written")


class MailTest(PagesCase):
    """allauth's mails name the shop and use the language of the request."""

    def sent(self):
        letter = mail.outbox[-1]
        self.assertTrue(letter.subject.startswith("[Lori Books] "))
        self.assertIn("Lori Books", letter.body)
        return letter

    def test_changed_password_is_mailed(self):
        self.client.post(
            "/user/password/change/", {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
        )
        letter = self.sent()
        self.assertEqual(letter.subject, "[Lori Books] Your password was changed")
        self.assertIn("IP address: 127.0.0.1", letter.body)

    def test_changed_address_is_mailed_to_both(self):
        self.confirm_it_is_me()
        self.client.post("/user/email/", {"action_add": "", "email": "moss@example.org"})
        self.assertEqual(self.sent().to, ["moss@example.org"])
        [link] = re.findall(r"/user/confirm-email/\S+", mail.outbox[-1].body)
        self.client.post(link)
        self.assertEqual([self.sent().to, self.sent().subject], [["alice@example.org"], letter_of_change()])

    def test_reset_does_not_reveal_accounts(self):
        answers = []
        for address in ("alice@example.org", "nobody@example.org"):
            answer = Client().post("/user/password/reset/", {"email": address}, follow=True)
            answers.append(re.sub(rb"[\w-]{40,}", b"", answer.content))
            self.assertEqual(self.sent().to, [address])
        self.assertEqual(*answers)


def letter_of_change():
    return "[Lori Books] Your e-mail address was changed"

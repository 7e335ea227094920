from __future__ import annotations

import re
from datetime import datetime, timedelta
from unittest import mock

from allauth.account.forms import default_token_generator
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.password_validation import CommonPasswordValidator, validate_password
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client, override_settings

from accounts import tokens
from accounts.password_rules import VOCABULARY
from accounts.tests.case import CHANGE, CONFIRM, NEW, REFRESH, RESET, USER, WRONG, SignInCase, activate_totp
from lori_assignment.testing.cases import PASSWORD

LINK = re.compile(r"https://shop\.example(/user/password/reset/key/([0-9a-z]+)-([0-9a-z-]+)/)")


class PasswordChangeTest(SignInCase):
    def setUp(self):
        self.pair = tokens.issue_tokens(self.alice)
        self.mine = self.client_with_token(self.pair.access)

    def change(self, **changes):
        body = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
        return self.mine.post(CHANGE, body | changes)

    def assert_refused(self, answer, field):
        self.assertEqual((answer.status_code, list(answer.json())), (400, [field]))
        self.assertEqual(self.sign_in().status_code, 200)

    def test_new_password_signs_in(self):
        answer = self.change()
        self.assertEqual((answer.status_code, list(answer.json()), answer.cookies), (200, ["detail"], {}))
        self.assertEqual(self.sign_in(password=NEW).status_code, 200)
        self.assertEqual(self.sign_in(password=PASSWORD).status_code, 401)

    def test_change_is_mailed(self):
        self.change(old_password=WRONG)
        self.assertEqual(mail.outbox, [])
        self.change()
        [letter] = mail.outbox
        self.assertEqual(
            (letter.to, letter.subject), (["alice@example.org"], "[Lori Books] Your password was changed")
        )

    def test_earlier_tokens_end(self):
        self.assertEqual(self.mine.get(USER).status_code, 200)
        self.change()
        self.assertEqual(self.mine.get(USER).status_code, 401)
        self.assertEqual(self.client.post(REFRESH, {"refresh": self.pair.refresh}).status_code, 401)

    def test_wrong_old_password_is_refused(self):
        self.assert_refused(self.change(old_password=WRONG), "old_password")

    def test_different_new_passwords_are_refused(self):
        self.assert_refused(self.change(new_password2=WRONG), "new_password2")

    def test_weak_password_is_refused(self):
        for poor in ("short1x", "password123", "alice@example"):
            self.assert_refused(self.change(new_password1=poor, new_password2=poor), "new_password1")

    def test_guessing_the_old_password_locks(self):
        for _ in range(5):
            self.assertEqual(self.change(old_password=WRONG).status_code, 400)
        answer = self.change()
        self.assertEqual(answer.status_code, 429)
        self.assertIn(int(answer["Retry-After"]), range(280, 301))
        self.assertEqual(self.sign_in().status_code, 429)

    def test_concurrent_profile_change_is_kept(self):
        with mock.patch("accounts.api.serializers.auth.check_password") as check:
            check.side_effect = lambda *a, **k: (
                type(self.alice).objects.filter(pk=self.alice.pk).update(phone="555"),
                self.alice,
            )[1]
            self.assertEqual(self.change().status_code, 200)
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.phone, "555")

    def test_anonymous_user_gets_401(self):
        self.assertEqual(self.client.post(CHANGE, {}).status_code, 401)
        self.assertEqual(self.mine.post(CHANGE, {}).status_code, 400)


class PasswordValidationTest(SignInCase):
    """The rules for passwords in docs/security.md."""

    def test_any_characters_and_8_to_128_are_accepted(self):
        for password in (
            "28374650",
            "qzvkwmyx",
            "     q  z     ",
            "\U0001f4d6" * 9,
            "Zßéж本 ~|",
            "w" * 127 + "x",
        ):
            with self.subTest(password=password):
                validate_password(password, self.alice)

    def test_common_passwords_are_refused(self):
        common = {one for one in CommonPasswordValidator().passwords if len(one) >= 8}
        self.assertGreater(len(common), 3000)
        for password in sorted(common)[::500]:
            with self.subTest(password=password), self.assertRaises(ValidationError):
                validate_password(password, self.alice)

    def test_shop_vocabulary_is_refused(self):
        with override_settings(SITE_URL="https://books.example"):
            for password in ("loribooks", "Lori-Books-2026", "BOOKSbooks1!", "staffstaff", "example2026"):
                with self.subTest(password=password), self.assertRaises(ValidationError) as refused:
                    validate_password(password, self.alice)
                self.assertIn("password_of_the_shop", [one.code for one in refused.exception.error_list])
            validate_password("a book of eight letters", self.alice)

    def test_without_the_validator_it_is_accepted(self):
        others = [
            one for one in settings.AUTH_PASSWORD_VALIDATORS if "ShopVocabularyValidator" not in one["NAME"]
        ]
        with override_settings(AUTH_PASSWORD_VALIDATORS=others):
            validate_password("Lori-Books-2026", self.alice)

    def test_vocabulary_is_documented(self):
        said = (settings.BASE_DIR / "docs" / "security.md").read_text()
        for word in VOCABULARY:
            with self.subTest(word=word):
                self.assertIn(f"`{word}`", said)

    def test_long_password_is_not_truncated(self):
        long = "x" * 63 + "the last sign"
        for last, status in ((long, 200), (long[:-1], 401), (long.upper(), 401)):
            self.alice.set_password(long)
            self.alice.save()
            self.assertEqual(self.sign_in(password=last).status_code, status)


@override_settings(SITE_URL="https://shop.example")
class PasswordResetTest(SignInCase):
    def ask(self, email="alice@example.org", **more):
        return self.client.post(RESET, {"email": email}, **more)

    def link(self):
        self.ask()
        return LINK.search(mail.outbox[-1].body)

    def confirm(self, link, **changes):
        body = {"uid": link[2], "token": link[3], "new_password1": NEW, "new_password2": NEW}
        return self.client.post(CONFIRM, body | changes)

    def test_known_and_unknown_address_look_alike(self):
        """dj-rest-auth answered 500 for a known address."""
        self.bob.is_active = False
        self.bob.save()
        known, unknown, inactive = self.ask(), self.ask("nobody@example.org"), self.ask("bob@example.org")
        self.assertEqual([answer.status_code for answer in (known, unknown, inactive)], [200] * 3)
        self.assertEqual(len({answer.content for answer in (known, unknown, inactive)}), 1)
        self.assert_headers_equal((known, unknown, inactive))
        # Response times must not differ either, so a mail is sent to each of them.
        self.assertEqual(len(mail.outbox), 3)
        self.assertEqual([bool(LINK.search(message.body)) for message in mail.outbox], [True, False, False])

    def test_link_uses_the_configured_host(self):
        with override_settings(ALLOWED_HOSTS=["evil.example"]):
            self.ask(headers={"host": "evil.example"})
            self.ask("nobody@example.org", headers={"host": "evil.example"})
        self.assertTrue(LINK.search(mail.outbox[0].body))
        self.assertIn("https://shop.example/user/signup/", mail.outbox[1].body)
        for message in mail.outbox:
            self.assertNotIn("evil.example", message.body + message.subject)
            self.assertIn("Best wishes,\nLori Books", message.body)

    def test_the_linked_page_sets_a_password(self):
        web = Client()
        page = web.get(self.link()[1], follow=True)
        self.assertEqual(page.status_code, 200)
        web.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
        self.assertEqual(self.sign_in(password=NEW).status_code, 200)

    def test_key_sets_a_password_once(self):
        pair = tokens.issue_tokens(self.alice)
        link = self.link()
        self.assertEqual(self.confirm(link).status_code, 200)
        self.assertEqual(self.sign_in(password=NEW).status_code, 200)
        self.assertEqual(self.sign_in(password=PASSWORD).status_code, 401)
        self.assertEqual(self.client.post(REFRESH, {"refresh": pair.refresh}).status_code, 401)
        self.assertEqual(self.confirm(link).status_code, 400)

    def test_address_ignores_case(self):
        self.ask("ALICE@Example.org")
        self.assertTrue(LINK.search(mail.outbox[0].body))

    def test_a_confirmed_second_address_gets_the_mail(self):
        EmailAddress.objects.create(user=self.alice, email="moss@example.org", verified=True)
        self.ask("moss@example.org")
        self.assertTrue(LINK.search(mail.outbox[0].body))

    def test_reset_is_mailed(self):
        self.confirm(self.link())
        self.assertEqual(mail.outbox[-1].to, ["alice@example.org"])
        self.assertNotIn("/user/password/reset/key/", mail.outbox[-1].body)

    def test_link_is_valid_for_an_hour(self):
        made = datetime.now()  # noqa: DTZ005  # As in Django's token generator.
        for minutes, status in ((59, 200), (61, 400)):
            link = self.link()
            then = made + timedelta(minutes=minutes)
            with (
                self.subTest(minutes=minutes),
                mock.patch.object(default_token_generator, "_now", return_value=then),
            ):
                self.assertEqual(self.confirm(link).status_code, status)

    def test_reset_does_not_replace_the_second_factor(self):
        activate_totp(self.alice)
        link = self.link()
        answer = self.confirm(link)
        self.assertEqual((answer.status_code, list(answer.json()), answer.cookies), (200, ["detail"], {}))
        answer = self.sign_in(password=NEW)
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, "otp_required"))

    def test_reset_lifts_the_lock(self):
        for _ in range(5):
            self.sign_in(password=WRONG)
        link = self.link()
        self.assertEqual(self.sign_in(password=PASSWORD).status_code, 429)
        self.confirm(link)
        self.assertEqual(self.sign_in(password=NEW).status_code, 200)

    def test_invalid_link_is_refused(self):
        link = self.link()
        of_bob = tokens.User.objects.get(username="bob").pk
        for changes in ({"uid": "zzzzzzzzzzzzz"}, {"uid": "!"}, {"uid": str(of_bob)}, {"token": "x-y"}):
            with self.subTest(**changes):
                answer = self.confirm(link, **changes)
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["token"]))
        self.assertEqual(self.confirm(link).status_code, 200)

    def test_link_of_inactive_account_is_refused(self):
        link = self.link()
        type(self.alice).objects.filter(pk=self.alice.pk).update(is_active=False)
        self.assertEqual(self.confirm(link).status_code, 400)

    def test_invalid_password_keeps_the_link_valid(self):
        link = self.link()
        answer = self.confirm(link, new_password1="alice@example", new_password2="alice@example")
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["new_password1"]))
        answer = self.confirm(link, new_password2=WRONG)
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["new_password2"]))
        self.assertEqual(self.confirm(link).status_code, 200)

    def test_five_mails_a_minute_go_to_an_address(self):
        for address in ("alice@example.org", "nobody@example.org"):
            mail.outbox.clear()
            answers = [self.ask(address).status_code for _ in range(6)]
            self.assertEqual(answers, [200] * 5 + [429])
            self.assertEqual(len(mail.outbox), 5)

    def test_malformed_address_is_an_error(self):
        for value in ("", None, "x", [], "a@b", "\0@example.org"):
            answer = self.ask(value)
            self.assertEqual((answer.status_code, list(answer.json())), (400, ["email"]))

    def test_mail_failure_does_not_reveal_accounts(self):
        with (
            mock.patch("django.core.mail.EmailMessage.send", side_effect=TimeoutError),
            self.assertLogs("accounts.allauth_adapters", "ERROR"),
        ):
            known, unknown = self.ask(), self.ask("nobody@example.org")
        self.assertEqual((known.status_code, known.content), (200, unknown.content))

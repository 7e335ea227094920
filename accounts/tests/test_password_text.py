"""What a password may be at every place that takes one: at most 128 characters, in any spelling of them."""

from __future__ import annotations

import os
from io import StringIO
from unittest import mock

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher, PBKDF2PasswordHasher
from django.contrib.auth.password_validation import validate_password
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.urls import reverse

from accounts import tokens
from accounts.models import User
from accounts.password_rules import TOO_LONG
from accounts.tests.case import CHANGE, CONFIRM, LOGIN, NEW, REGISTER, TOKEN, SignInCase
from lori_assignment import settings as written
from lori_assignment.testing.cases import PASSWORD

LONG = "A long one. " * 10 + "123456789"
COMPOSED = "caf\u00e9 au lait 1"
DECOMPOSED = "cafe\u0301 au lait 1"
WIDE = "caf\u00e9 au lait \uff11"


class DoorsCase(SignInCase):
    def setUp(self):
        cache.clear()
        self.browser = Client()
        self.browser.force_login(self.alice)
        self.desk = Client()
        self.desk.force_login(self.dan)

    def reset_page(self):
        uid, key = user_pk_to_url_str(self.alice), default_token_generator.make_token(self.alice)
        visitor = Client()
        return visitor, visitor.get(f"/user/password/reset/key/{uid}-{key}/", follow=True).redirect_chain[-1][
            0
        ]

    def pages(self):
        """Return for each form: the field, and a function that sends it a password and returns the form."""
        visitor, reset = self.reset_page()
        twice = lambda word, one="password1", two="password2": {one: word, two: word}  # noqa: E731
        new = {"username": "zoe", "email": "zoe@example.org"}
        change = reverse("account_change_password")

        def form(browser, path, body):
            answer = browser.post(path, body)
            if answer.status_code == 302:
                return None
            return (
                answer.context["adminform"].form if "adminform" in answer.context else answer.context["form"]
            )

        return {
            "sign-up": ("password1", lambda word: form(Client(), "/user/signup/", new | twice(word))),
            "sign-in": (
                "password",
                lambda word: form(Client(), "/user/login/", {"login": "alice", "password": word}),
            ),
            "confirmation": (
                "password",
                lambda word: form(self.browser, reverse("account_reauthenticate"), {"password": word}),
            ),
            "change, current": (
                "oldpassword",
                lambda word: form(self.browser, change, {"oldpassword": word} | twice(NEW)),
            ),
            "change, new": (
                "password1",
                lambda word: form(self.browser, change, {"oldpassword": PASSWORD} | twice(word)),
            ),
            "reset": ("password1", lambda word: form(visitor, reset, twice(word))),
            "administration, new": (
                "password2",
                lambda word: form(
                    self.desk, "/admin/accounts/user/add/", new | twice(word) | {"usable_password": "true"}
                ),
            ),
            "administration, existing": (
                "password2",
                lambda word: form(
                    self.desk,
                    f"/admin/accounts/user/{self.alice.pk}/password/",
                    twice(word) | {"usable_password": "true"},
                ),
            ),
        }

    def calls(self):
        """Return for each call of the API: the field, and a function that sends it a password."""
        uid, key = user_pk_to_url_str(self.alice), default_token_generator.make_token(self.alice)
        mine = self.client_with_token(tokens.issue_tokens(self.alice).access)
        new = {"username": "zoe", "email": "zoe@example.org"}
        twice = lambda word: {"new_password1": word, "new_password2": word}  # noqa: E731
        link = {"uid": uid, "token": key}
        return {
            "token": (
                "password",
                lambda word: self.client.post(TOKEN, {"username": "alice", "password": word}),
            ),
            "login": (
                "password",
                lambda word: self.client.post(LOGIN, {"username": "alice", "password": word}),
            ),
            "registration": (
                "password1",
                lambda word: self.client.post(REGISTER, new | {"password1": word, "password2": word}),
            ),
            "change, current": (
                "old_password",
                lambda word: mine.post(CHANGE, {"old_password": word} | twice(NEW)),
            ),
            "change, new": (
                "new_password1",
                lambda word: mine.post(CHANGE, {"old_password": PASSWORD} | twice(word)),
            ),
            "reset": ("new_password1", lambda word: self.client.post(CONFIRM, link | twice(word))),
        }


class LengthTest(DoorsCase):
    """129 characters are refused with one sentence at the field, before anything is hashed or changed."""

    def setUp(self):
        super().setUp()
        self.assertEqual(len(LONG), 129)
        encode = MD5PasswordHasher.encode
        computed = mock.patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=encode)
        self.computed = computed.start()
        self.addCleanup(computed.stop)

    def test_every_page_refuses_129_characters(self):
        for door, (field, send) in self.pages().items():
            with self.subTest(door):
                self.computed.reset_mock()
                self.assertIn(TOO_LONG, send(LONG).errors[field])
                # The page that changes a password checks the current one, too.
                self.assertEqual(self.computed.call_count, int(door == "change, new"))
        self.assert_nothing_changed()

    def test_every_call_refuses_129_characters(self):
        for door, (field, send) in self.calls().items():
            with self.subTest(door):
                self.computed.reset_mock()
                answer = send(LONG)
                self.assertEqual(answer.status_code, 400)
                self.assertEqual(answer.json()[field], [TOO_LONG])
                self.computed.assert_not_called()
        self.assert_nothing_changed()

    def assert_nothing_changed(self):
        self.assertFalse(User.objects.filter(username="zoe").exists())
        self.assertTrue(User.objects.get(pk=self.alice.pk).check_password(PASSWORD))

    def test_rules_apply_to_what_is_hashed(self):
        wide = "".join(chr(ord(letter) + 0xFEE0) for letter in "iloveyou1alice@books")
        common, own, shops = (
            wide[:9],
            wide[9:14] + "\uff20example.org",
            "\uff41\uff44\uff4d\uff49\uff4erental1",
        )
        # Eight characters as they were typed, and four as they are hashed.
        short = "e\u0301o\u0308i\u0308a\u030a"
        for password, code in (
            (common, "password_too_common"),
            (own, "password_too_similar"),
            (shops, "password_of_the_shop"),
            (short, "password_too_short"),
        ):
            with self.subTest(code), self.assertRaises(ValidationError) as caught:
                validate_password(password, self.alice)
            self.assertIn(code, [error.code for error in caught.exception.error_list])

    def test_short_or_invisible_password_is_refused(self):
        # The first has 18 characters as it is hashed.
        for password in ("\ufdfa", "\ufb03" * 7, " " * 12, "\u200b" * 12, "\u3000\u00a0\t\u2060" * 3):
            with self.subTest(ascii(password)), self.assertRaises(ValidationError) as caught:
                validate_password(password, self.alice)
            self.assertIn("password_too_short", [error.code for error in caught.exception.error_list])
        for password in ("\ufb03" * 8, "\U0001fae9" * 8, "     q z"):
            with self.subTest(ascii(password)):
                validate_password(password, self.alice)

    def test_characters_are_counted_as_they_are_hashed(self):
        """The last has 384, and the one before it is too long to be normalized."""
        for password in ("e\u0301" * 129, "e\u0301\u0302\u0303\u0304" * 103, "\ufb03" * 128):
            for doors in (self.pages, self.calls):
                for door, (field, send) in doors().items():
                    with self.subTest(door, length=len(password)):
                        answer = send(password)
                        errors = answer.errors if doors == self.pages else answer.json()
                        self.assertEqual(errors[field], [TOO_LONG])
        self.assert_nothing_changed()

    def test_long_password_is_not_compared(self):
        with self.assertRaises(ValidationError) as caught:
            validate_password("\ufdfa" * 100_000 + "password", self.alice)
        self.assertEqual(caught.exception.messages, [TOO_LONG])

    def test_128_characters_are_accepted(self):
        for door in ("registration", "change, new", "reset"):
            with self.subTest(door):
                _field, send = self.calls()[door]
                self.assertIn(send(LONG[:-1]).status_code, (200, 201))
                self.alice.set_password(PASSWORD)
                self.alice.save()
        self.alice.set_password(LONG[:-1])
        self.alice.save()
        self.assertEqual(self.sign_in(password=LONG[:-1]).status_code, 200)

    def test_commands_refuse_129_characters(self):
        refused = str(TOO_LONG)
        given = {"DJANGO_SUPERUSER_PASSWORD": LONG}
        who = {"username": "zoe", "email": "zoe@example.org"}
        with (
            mock.patch.dict(os.environ, given),
            self.assertRaisesMessage(CommandError, f"password: {refused}"),
        ):
            call_command("createsuperuser", **who, interactive=False)
        with (
            mock.patch("sys.stdin", StringIO(f"zoe,zoe@example.org,{LONG}")),
            self.assertRaisesMessage(CommandError, f"password: {refused}"),
        ):
            call_command("createsuperusers", file="-")
        said = StringIO()
        with mock.patch("getpass.getpass", return_value=LONG), self.assertRaises(CommandError):
            call_command("changepassword", "alice", stdout=StringIO(), stderr=said)
        self.assertIn(refused, said.getvalue())
        self.assert_nothing_changed()

    def test_superuser_without_a_password_is_created(self):
        who = {"username": "zoe", "email": "zoe@example.org"}
        call_command("createsuperuser", **who, interactive=False, stdout=StringIO())
        self.assertFalse(User.objects.get(username="zoe").has_usable_password())

    def test_help_says_the_limit(self):
        page = self.desk.get(f"/admin/accounts/user/{self.alice.pk}/password/")
        self.assertContains(page, "at most 128 characters")


@override_settings(PASSWORD_HASHERS=written.PASSWORD_HASHERS)
class SpellingTest(DoorsCase):
    """é is one character on some keyboards and two on others."""

    def assert_opens(self, user, password):
        cache.clear()
        self.assertEqual(
            authenticate(None, username=user, password=password), User.objects.get(username=user)
        )

    def keep(self, password):
        self.alice.set_password(password)
        self.alice.save()
        self.browser.force_login(self.alice)

    def test_spellings_of_one_password_are_equal(self):
        for kept, typed in ((COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), (WIDE, COMPOSED)):
            self.keep(kept)
            for door in (TOKEN, LOGIN):
                self.assertEqual(self.sign_in(password=typed, door=door).status_code, 200)
            self.assertEqual(self.sign_in(password=typed[:-1]).status_code, 401)

    def test_128_characters_open_in_either_spelling(self):
        self.keep("\u00e9" * 128)
        typed = "e\u0301" * 128
        self.assertEqual(self.sign_in(password=typed).status_code, 200)
        answer = Client().post("/user/login/", {"login": "alice", "password": typed})
        self.assertEqual(answer.status_code, 302)

    def test_every_page_keeps_one_spelling(self):
        for door in ("sign-up", "change, new", "reset", "administration, new", "administration, existing"):
            with self.subTest(door):
                User.objects.filter(username="zoe").delete()
                self.keep(PASSWORD)
                _field, send = self.pages()[door]
                self.assertIsNone(send(DECOMPOSED))
                self.assert_opens("zoe" if door in ("sign-up", "administration, new") else "alice", COMPOSED)

    def test_every_call_keeps_one_spelling(self):
        for door in ("registration", "change, new", "reset"):
            with self.subTest(door):
                self.keep(PASSWORD)
                _field, send = self.calls()[door]
                self.assertIn(send(DECOMPOSED).status_code, (200, 201))
                self.assert_opens("zoe" if door == "registration" else "alice", COMPOSED)

    def test_every_door_compares_one_spelling(self):
        self.keep(DECOMPOSED)
        for doors in (self.pages, self.calls):
            for door in doors():
                if door in ("sign-in", "confirmation", "token", "login", "change, current"):
                    with self.subTest(door):
                        cache.clear()
                        self.keep(DECOMPOSED)
                        _field, send = doors()[door]
                        answer = send(COMPOSED)
                        # A page redirects, and a call answers 200.
                        self.assertEqual(answer and answer.status_code, None if doors == self.pages else 200)

    def test_commands_keep_one_spelling(self):
        given = {"DJANGO_SUPERUSER_PASSWORD": DECOMPOSED}
        with mock.patch.dict(os.environ, given):
            call_command(
                "createsuperuser",
                username="zoe",
                email="zoe@example.org",
                interactive=False,
                stdout=StringIO(),
            )
        with mock.patch("sys.stdin", StringIO(f"eve,eve@example.org,{DECOMPOSED}")):
            call_command("createsuperusers", file="-", stdout=StringIO())
        with mock.patch("getpass.getpass", return_value=DECOMPOSED):
            call_command("changepassword", "alice", stdout=StringIO())
        for name in ("zoe", "eve", "alice"):
            self.assert_opens(name, COMPOSED)

    def test_hash_from_before_the_rule_matches(self):
        with mock.patch("accounts.hashers.normalize_password", lambda password: password):
            self.keep(DECOMPOSED)
        self.assertEqual(self.sign_in(password=DECOMPOSED).status_code, 200)
        self.assertEqual(self.sign_in(password=COMPOSED).status_code, 401)

    def test_imported_hash_matches_both_spellings(self):
        for kept, typed in ((COMPOSED, DECOMPOSED), (COMPOSED, COMPOSED), (DECOMPOSED, DECOMPOSED)):
            old = PBKDF2PasswordHasher().encode(kept, "0123456789abcdefghijkl", iterations=1000)
            User.objects.filter(pk=self.alice.pk).update(password=old)
            self.assertEqual(self.sign_in(password=typed).status_code, 200)
        # It was replaced at the sign-in.
        self.assertEqual(self.sign_in(password=COMPOSED).status_code, 200)

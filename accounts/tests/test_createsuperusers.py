from __future__ import annotations

from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from django.core.management import CommandError, call_command

from accounts.models import User
from accounts.tests.case import NEW, WRONG
from lori_assignment.testing.cases import PASSWORD, CastTestCase

HEADER = "username,email,password\n"
EVE = f"eve,eve@example.org,{PASSWORD}\n"
GUS = f"gus,gus@example.org,{NEW}\n"
MODULE = "accounts.management.commands.createsuperusers"


class CommandCase(CastTestCase):
    def setUp(self):
        self.out, self.err = StringIO(), StringIO()

    def run_command(self, *args):
        call_command("createsuperusers", *args, stdout=self.out, stderr=self.err)

    def assert_made(self, **passwords):
        for username, password in passwords.items():
            user = User.objects.get(username=username)
            self.assertEqual((user.is_staff, user.is_superuser, user.is_active), (True, True, True))
            self.assertTrue(user.check_password(password))
        self.assertEqual(User.objects.count(), 4 + len(passwords))
        for text in (self.out.getvalue(), self.err.getvalue()):
            self.assertNotIn(PASSWORD, text)

    def assert_refused(self, *words):
        return _Refused(self, words)


class _Refused:
    """The command fails with these words, prints no password and creates no account."""

    def __init__(self, case, words):
        self.case, self.words = case, words

    def __enter__(self):
        self.raised = self.case.assertRaises(CommandError)
        self.raised.__enter__()

    def __exit__(self, *error):
        caught = self.raised.__exit__(*error)
        for word in self.words:
            self.case.assertIn(word, str(self.raised.exception))
        self.case.assertNotIn(PASSWORD, str(self.raised.exception))
        self.case.assertEqual(User.objects.count(), 4)
        self.case.assertEqual(self.case.out.getvalue(), "")
        return caught


class FileTest(CommandCase):
    def read(self, text, encoding="utf-8"):
        with TemporaryDirectory() as folder:
            file = Path(folder, "superusers.csv")
            file.write_bytes(text.encode(encoding))
            self.run_command("--file", str(file))

    def test_file_without_a_header_is_read(self):
        self.read(EVE + "\n" + GUS)
        self.assert_made(eve=PASSWORD, gus=NEW)
        self.assertEqual(self.out.getvalue(), "Created superuser eve.\nCreated superuser gus.\n")

    def test_excel_file_with_a_header_is_read(self):
        self.read(f"Password,Username,Email\r\n{PASSWORD},eve,eve@example.org\r\n", "utf-8-sig")
        self.assert_made(eve=PASSWORD)

    def test_password_keeps_commas_and_spaces(self):
        self.read('eve , eve@example.org,"  long, and ""odd"" "\n')
        self.assert_made(eve='  long, and "odd" ')

    def test_standard_input_is_read(self):
        with mock.patch("sys.stdin", StringIO(HEADER + EVE)):
            self.run_command("--file", "-")
        self.assert_made(eve=PASSWORD)

    def test_bad_line_is_named_and_stops_all(self):
        bad = {
            "alice,a@example.org": ("Line 3:", "username"),
            "ALICE,a@example.org": ("Line 3:", "exists"),
            "a,Alice@Example.org": ("Line 3:", "email"),
            "a b,a@example.org": ("Line 3:", "username"),
            "a,nowhere": ("Line 3:", "email"),
            "a,": ("Line 3:", "e-mail"),
            ",a@example.org": ("Line 3:", "username"),
            "eve,a@example.org": ("Line 3:", "exists"),
            "a": ("Line 3", "username,email,password"),
            "a,a@example.org,x": ("Line 3", "username,email,password"),
        }
        for line, words in bad.items():
            with self.subTest(line=line), self.assert_refused(*words):
                self.read(HEADER + EVE + f"{line},{PASSWORD}\n")
        self.read(HEADER + EVE)

    def test_weak_password_is_refused_and_not_printed(self):
        with self.assertRaises(CommandError) as raised:
            self.read("eve,eve@example.org,qwerty\n")
        self.assertIn("Line 1:", str(raised.exception))
        self.assertNotIn("qwerty", str(raised.exception))
        self.assertEqual(User.objects.count(), 4)

    def test_unreadable_file_is_named(self):
        with self.assert_refused("/nowhere/at-all.csv", "No such file"):
            self.run_command("--file", "/nowhere/at-all.csv")
        with self.assert_refused("UTF-8"):
            self.read("évé,eve@example.org,x\n", "latin-1")
        with self.assert_refused("CSV"):
            self.read(f'"eve"x,eve@example.org,{PASSWORD}\n')
        for empty in ("", HEADER):
            with self.assert_refused("contains no accounts"):
                self.read(empty)


class PromptTest(CommandCase):
    def ask(self, *accounts, typed=(), terminal=True):
        with (
            mock.patch(f"{MODULE}.getpass", side_effect=typed) as self.getpass,
            mock.patch("sys.stdin.isatty", return_value=terminal, create=True),
        ):
            self.run_command(*accounts)

    def test_password_is_entered_twice(self):
        self.ask("eve:eve@example.org", "gus:gus@example.org", typed=[PASSWORD, PASSWORD, NEW, NEW])
        self.assert_made(eve=PASSWORD, gus=NEW)
        prompts = [call.args[0] for call in self.getpass.call_args_list]
        self.assertEqual(
            [("eve" in p, "gus" in p) for p in prompts], [(True, False)] * 2 + [(False, True)] * 2
        )

    def test_mistyped_password_is_entered_again(self):
        self.ask("eve:eve@example.org", typed=[PASSWORD, WRONG, PASSWORD, PASSWORD])
        self.assert_made(eve=PASSWORD)
        self.assertIn("don't match", self.err.getvalue())

    def test_invalid_account_creates_none(self):
        with self.assert_refused("alice:a@example.org", "username"):
            self.ask("eve:eve@example.org", "alice:a@example.org", typed=[PASSWORD] * 4)

    def test_account_needs_username_and_email(self):
        for account in ("eve", "eve:", ":eve@example.org"):
            with self.assert_refused("username:email"):
                self.ask(account, typed=[PASSWORD] * 2)

    def test_prompt_requires_a_terminal(self):
        with self.assert_refused("--file"):
            self.ask("eve:eve@example.org", typed=[PASSWORD] * 2, terminal=False)
        self.getpass.assert_not_called()

    def test_arguments_and_file_are_exclusive(self):
        for arguments in ([], ["eve:eve@example.org", "--file", "x.csv"]):
            with self.assert_refused("--file"):
                self.run_command(*arguments)

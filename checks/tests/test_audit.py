"""Tests that each part of the audit detects a bad file planted in a copy of the tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest import TestCase

from commands import ROOT, tree

APPS = ("accounts/", "books/", "lori_assignment/", "rentals/")
# Concatenated, so that this file contains no secret.
AWS_KEY = "AKIA" + "Q3EGRIWJ5TZBV7YU"
NOISE = "kX9vQ2mL7pR4" + "tW8zB1nD6sF3hJ5gY0cE"

UNSAFE = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("{app}", "{before}")]
    operations = [{operation}]
"""
UNSAFE_OPERATIONS = {
    "drops_a_column": ("DROPPING columns", 'migrations.RemoveField("Book", "language")'),
    "demands_a_value": (
        "NOT NULL constraint on columns",
        'migrations.AddField("Book", "pages", models.IntegerField(default=1))',
    ),
    "renames_a_column": ("RENAMING columns", 'migrations.RenameField("Book", "name", "title")'),
    "renames_a_table": ("RENAMING tables", 'migrations.RenameModel("Book", "Volume")'),
    "changes_a_type": (
        "ALTERING columns",
        'migrations.AlterField("Book", "author", models.CharField(max_length=10))',
    ),
    "locks_for_an_index": (
        "CREATE INDEX locks table",
        'migrations.AddIndex("Book", models.Index(fields=["added_at"], name="book_by_day"))',
    ),
}
SAFE_OPERATION = 'migrations.AddField("Book", "pages", models.IntegerField(db_default=1))'


class AuditTest(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="lori-audit-")
        self.addCleanup(folder.cleanup)
        self.copy = Path(folder.name)

    def bring(self, *beginnings: str) -> None:
        """Copy the files with these beginnings from the tree, and commit them."""
        for name in tree():
            if str(name).startswith(("checks/audit-tree", *beginnings)):
                (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.copy / name)
        self.git("init", "--quiet")
        self.commit()

    def git(self, *words: str) -> None:
        who = ("-c", "user.name=Audit", "-c", "user.email=audit@example.org")
        subprocess.run(["git", *who, *words], cwd=self.copy, check=True)

    def commit(self) -> None:
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message=Planted")

    def plant(self, name: str, text: str) -> None:
        (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
        (self.copy / name).write_text(text)

    def audit(self, part: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.copy / "checks" / "audit-tree", part],
            env={**os.environ, "BIN": str(ROOT / ".venv" / "bin"), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def assert_red(self, part: str, *words: str, **environment: str) -> str:
        done = self.audit(part, **environment)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 1, said)
        self.assertIn(f"not content: {part}.", said)
        for word in words:
            self.assertIn(word, said)
        return said

    def assert_green(self, part: str, **environment: str) -> None:
        done = self.audit(part, **environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_unknown_part_is_refused(self) -> None:
        self.bring()
        done = self.audit("colours")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no part colours", done.stderr)

    def test_insecure_code_is_found(self) -> None:
        self.bring("pyproject.toml")
        self.plant("books/good.py", "print(1)\n")
        self.commit()
        self.assert_green("code")
        for name, line in (
            ("books/bad.py", "import pickle, sys; pickle.loads(sys.argv)"),
            ("checks/bad", "eval(input())"),
        ):
            with self.subTest(name):
                self.plant(name, f"#!/usr/bin/env python3\n{line}\n")
                self.commit()
                self.assert_red("code", name)
                self.git("rm", "--quiet", name)

    def test_insecure_settings_are_found(self) -> None:
        self.bring(
            "accounts/", "books/", "lori_assignment/", "rentals/", "templates/", "static/", "manage.py"
        )
        self.assert_green("start")
        with (self.copy / "lori_assignment" / "settings.py").open("a") as settings:
            settings.write("SECURE_CONTENT_TYPE_NOSNIFF = False\n")
        self.assert_red("start", "security.W006")

    def test_disallowed_licences_are_found(self) -> None:
        self.bring("pyproject.toml")
        self.assert_green("licences")
        for licence, said in (("AGPL-3.0-only", "AGPL-3.0-only"), ("", "UNKNOWN")):
            with self.subTest(licence):
                named = f"License-Expression: {licence}\n" if licence else ""
                self.plant(
                    "packages/bad-1.0.dist-info/METADATA",
                    f"Metadata-Version: 2.4\nName: bad\nVersion: 1.0\n{named}",
                )
                self.assert_red("licences", "bad:1.0", said, PYTHONPATH=str(self.copy / "packages"))

    def test_committed_secrets_are_found(self) -> None:
        self.bring("checks/secrets_check.py")
        # An accepted value that no longer occurs is reported too, and none occurs here.
        self.assertIn("is accepted, but nowhere", self.assert_red("secrets"))

        self.plant("old.py", f'KEY = "{AWS_KEY}"\n')
        self.commit()
        self.git("rm", "--quiet", "old.py")
        self.commit()
        self.plant("tracked.yml", "a: 1\n")
        self.commit()
        self.plant("tracked.yml", f"url: postgres://lori:{NOISE}@host/lori\n")
        self.plant("new.txt", "-----BEGIN " + "RSA PRIVATE KEY-----\n")
        self.plant("image.yml", f"image: nginx@sha256:{hashlib.sha256(NOISE.encode()).hexdigest()}\n")
        said = self.assert_red(
            "secrets",
            ":old.py: AWS Access Key",
            "tracked.yml: Basic Auth Credentials",
            "new.txt: Private Key",
        )
        for secret in (AWS_KEY, NOISE):
            self.assertNotIn(secret, said)
        self.assertNotIn("image.yml", said)

    def test_shallow_history_is_refused(self) -> None:
        self.bring("checks/secrets_check.py")
        self.plant("more.txt", "more\n")
        self.commit()
        (self.copy / ".git" / "shallow").write_text(
            subprocess.run(
                ["git", "rev-parse", "HEAD"], cwd=self.copy, capture_output=True, text=True, check=True
            ).stdout
        )
        self.assert_red("secrets", "the history is not here")

    def test_unsafe_migrations_are_found(self) -> None:
        self.bring(*APPS, "pyproject.toml", "checks/")
        folder = self.copy / "books" / "migrations"
        before = max(path.stem for path in folder.glob("0*.py"))
        for name, (_, operation) in UNSAFE_OPERATIONS.items():
            (folder / f"9001_{name}.py").write_text(
                UNSAFE.format(app="books", before=before, operation=operation)
            )
        feeds = self.copy / "rentals" / "migrations"
        last = max(path.stem for path in feeds.glob("0*.py"))
        (feeds / "9001_drops_a_table.py").write_text(
            UNSAFE.format(app="rentals", before=last, operation='migrations.DeleteModel("CalendarFeed")')
        )
        (folder / "9001_is_safe.py").write_text(
            UNSAFE.format(app="books", before=before, operation=SAFE_OPERATION)
        )
        said = self.assert_red("migrations")
        for name, (reason, _) in UNSAFE_OPERATIONS.items():
            with self.subTest(name):
                self.assertIn(f"(books, 9001_{name})... ERR\n\t{reason}", said)
        self.assertIn("(rentals, 9001_drops_a_table)... ERR\n\tDROPPING table", said)
        self.assertNotIn("9001_is_safe", said)

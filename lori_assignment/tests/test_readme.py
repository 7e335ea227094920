"""The README is true: its tables are those of the code."""

from __future__ import annotations

import re
from unittest import TestCase

from django.conf import settings

import books.errors
import rentals.errors
from lori_assignment import api
from lori_assignment.errors import Refusal
from rentals.tests.test_pricing import WORKED

README = (settings.BASE_DIR / "README.md").read_text()


def rows() -> list[list[str]]:
    """The cells of every line of a table."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.splitlines()
        if line.startswith("| ")
    ]


class ReadmeTest(TestCase):
    def test_the_worked_table_is_the_one_that_is_tested(self) -> None:
        lists = {name for name, _ in WORKED}
        written = {(row[0], row[1]): row[6:] for row in rows() if row[0] in lists}
        self.assertEqual(
            written, {(name, str(kind.label)): totals for (name, kind), totals in WORKED.items()}
        )

    def test_every_code_of_a_refusal_is_listed_and_no_other(self) -> None:
        codes = {
            refusal.code
            for module in (rentals.errors, books.errors)
            for refusal in vars(module).values()
            if isinstance(refusal, type) and issubclass(refusal, Refusal) and refusal is not Refusal
        }
        listed = [row[0].strip("`") for row in rows() if len(row) == 2 and re.fullmatch("`[a-z_]+`", row[0])]
        self.assertEqual(listed, sorted(codes))

    def test_every_path_of_the_api_is_named(self) -> None:
        named = {path.strip("/") for path in re.findall(r"(/[\w/<>-]+)[?`]", README.replace("` · `", "`\n`"))}
        for written, _, _ in api.VERSIONS["v3"]:
            path = written.replace("<pk>", "<id>")
            # These stand behind "also".
            if not path.endswith(("/update", "/delete")):
                with self.subTest(path=path):
                    self.assertIn(path, named)
        for written, _ in api.SIGN_IN:
            with self.subTest(path=written):
                last = written.removeprefix("api/rest-auth/").removeprefix("registration/")
                self.assertTrue(any(path.endswith(last) for path in named), last)

    def test_what_it_points_to_exists(self) -> None:
        paths = re.findall(
            r"`((?:accounts|books|rentals|lori_assignment|docs|postman|\.ci)/[\w./-]*)`", README
        )
        self.assertGreater(len(paths), 20)
        for path in [*paths, *re.findall(r"\]\((docs/[^)]+)\)", README)]:
            with self.subTest(path=path):
                self.assertTrue((settings.BASE_DIR / path).exists())

    def test_every_setting_of_the_environment_is_listed(self) -> None:
        source = (settings.BASE_DIR / "lori_assignment" / "settings.py").read_text()
        names = set(re.findall(r'(?:env\.\w+|_address|_secret)\(\s*"([A-Z_]+)"', source)) - {
            "SQLITE_TEST_FILE"
        }
        self.assertGreater(len(names), 15)
        for name in names:
            with self.subTest(name=name):
                self.assertTrue(f"`{name}`" in README, f"{name} is not listed")

"""Checks that the documents name what exists, and list what has to be listed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from unittest import TestCase

from django.conf import settings

import books.errors
import rentals.errors
from lori_assignment import api_urls
from lori_assignment.errors import Refusal

API = (settings.BASE_DIR / "docs" / "api.md").read_text()
REFERENCE = (settings.BASE_DIR / "docs" / "reference.md").read_text()
SECURITY = (settings.BASE_DIR / "docs" / "security.md").read_text()


def rows() -> list[list[str]]:
    """The cells of every line of the tables in docs/api.md."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in API.splitlines()
        if line.startswith("| ")
    ]


class ListsTest(TestCase):
    def test_refusal_codes_are_listed(self) -> None:
        codes = {
            refusal.code
            for module in (rentals.errors, books.errors)
            for refusal in vars(module).values()
            if isinstance(refusal, type) and issubclass(refusal, Refusal) and refusal is not Refusal
        }
        listed = [row[0].strip("`") for row in rows() if len(row) == 2 and re.fullmatch("`[a-z_]+`", row[0])]
        self.assertEqual(listed, sorted(codes))

    def test_every_api_path_is_named(self) -> None:
        named = {path.strip("/") for path in re.findall(r"(/[\w/<>-]+)[?`]", API.replace("` · `", "`\n`"))}
        for written, _, _ in api_urls.VERSIONS["v3"]:
            path = written.replace("<pk>", "<id>")
            # The table lists these after "also".
            if not path.endswith(("/update", "/delete")):
                with self.subTest(path=path):
                    self.assertIn(path, named)
        for written, _ in api_urls.SIGN_IN:
            with self.subTest(path=written):
                last = written.removeprefix("api/rest-auth/").removeprefix("registration/")
                self.assertTrue(any(path.endswith(last) for path in named), last)

    def test_every_environment_variable_is_listed(self) -> None:
        source = (settings.BASE_DIR / "lori_assignment" / "settings.py").read_text()
        names = set(re.findall(r'(?:env\.\w+|_address|_secret)\(\s*"([A-Z_]+)"', source)) - {
            "SQLITE_TEST_FILE"
        }
        self.assertGreater(len(names), 15)
        for name in names:
            with self.subTest(name=name):
                self.assertTrue(f"`{name}`" in REFERENCE, f"{name} is not listed")


DOCUMENTS = [
    settings.BASE_DIR / "README.md",
    settings.BASE_DIR / "CONTRIBUTING.md",
    *sorted((settings.BASE_DIR / "docs").glob("*.md")),
]
FOLDERS = (
    r"accounts|books|rentals|lori_assignment|benchmarks|checks|deploy|docs|drills|kubernetes|postman|static|templates|terraform"
    r"|\.ci|\.github"
)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def is_importable(name: str) -> bool:
    """Whether a dotted name is a module, or leads to something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


class DocumentsTest(TestCase):
    def test_paths_exist(self) -> None:
        for page in DOCUMENTS:
            for path in set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*)", page.read_text())):
                # Each deployment writes its own values.
                if not path.endswith(".tfvars"):
                    with self.subTest(page=page.name, path=path):
                        self.assertTrue((settings.BASE_DIR / path).exists())

    def test_links_lead_somewhere(self) -> None:
        for page in DOCUMENTS:
            links = re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text().replace("\n", ""))
            for file, anchor in set(links):
                with self.subTest(page=page.name, link=f"{file}#{anchor}"):
                    target = page.parent / file if file else page
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(target))

    def test_named_tests_exist(self) -> None:
        named = set(re.findall(r"`((?:accounts|books|rentals|lori_assignment)(?:\.\w+)+)`", SECURITY))
        self.assertGreater(len(named), 100)
        for name in sorted(named):
            with self.subTest(name):
                self.assertTrue(is_importable(name))

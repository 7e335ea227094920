"""The rules for imports between packages hold in the source, which is parsed and not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from unittest import TestCase

from django.conf import settings

APPS = ("accounts", "books", "rentals")
# These import everything; no app imports them.
WIRING = {
    f"lori_assignment.{name}"
    for name in ("admin_site", "api_urls", "apps", "settings", "urls", "wsgi", "testing")
}
# Modules and packages through which people and programs use the domain.
DOORS = ("admin", "api", "forms", "management", "templatetags", "urls", "views")
# Domain code depends on other apps in one direction only.
MAY_IMPORT = {"accounts": {"accounts"}, "books": {"books"}, "rentals": {"accounts", "books", "rentals"}}


def modules() -> Iterator[tuple[str, Path]]:
    for app in (*APPS, "lori_assignment"):
        for path in sorted((settings.BASE_DIR / app).rglob("*.py")):
            if "tests" not in path.parts and "migrations" not in path.parts:
                yield ".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts), path


def imported(source: str) -> set[str]:
    """Return all modules that `source` imports, also in functions; `from a import b` counts as a.b too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def is_door(module: str) -> bool:
    return len(module.split(".")) > 1 and module.split(".")[1] in DOORS


def violations(module: str, source: str) -> list[str]:
    """Return the imports of `module` that break the rules."""
    app = module.split(".")[0]
    names = imported(source)
    of_apps = {name for name in names if name.split(".")[0] in APPS}
    wiring = {name for name in names if is_wiring(name)}
    if app == "lori_assignment":
        return [] if is_wiring(module) else sorted(of_apps | wiring)
    wrong = wiring | {name for name in of_apps if is_door(name) and not _own(app, name)}
    if not is_door(module):
        wrong |= {name for name in names if is_within(name, "rest_framework", "lori_assignment.rest")}
        wrong |= {name for name in of_apps if name.split(".")[0] not in MAY_IMPORT[app] or is_door(name)}
    return sorted(wrong)


def is_within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def is_wiring(module: str) -> bool:
    return ".".join(module.split(".")[:2]) in WIRING


def _own(app: str, name: str) -> bool:
    return name.split(".")[0] == app


class ImportRuleTest(TestCase):
    def test_no_module_breaks_the_rule(self) -> None:
        found = {module: violations(module, path.read_text()) for module, path in modules()}
        self.assertEqual({module: wrong for module, wrong in found.items() if wrong}, {})
        self.assertGreater(len(found), 40)

    def test_packages_rarely_import_each_other(self) -> None:
        """Domain modules never do; modules for pages and the API, which show other apps' data, rarely."""
        by_kind: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
        for module, path in modules():
            app = module.split(".")[0]
            for name in imported(path.read_text()):
                other = name.split(".")[0]
                if app in APPS and other in APPS and other != app:
                    by_kind[is_door(module)].add((app, other))
        domain, everything = by_kind[False], by_kind[False] | by_kind[True]
        self.assertEqual([pair for pair in domain if pair[::-1] in domain], [])
        self.assertLessEqual(
            len([pair for pair in everything if pair[::-1] in everything and pair < pair[::-1]]), 2
        )

    def test_each_kind_of_violation_is_found(self) -> None:
        for module, source in [
            ("books.models", "from rentals.models import Rental"),
            ("books.models", "import accounts.models"),
            ("rentals.services", "from rest_framework import serializers"),
            ("rentals.services", "from rentals.api import views"),
            ("rentals.api.views", "from books.api.serializers import v3"),
            ("rentals.api.views", "from lori_assignment import api_urls"),
            ("books.stock", "from lori_assignment.testing.cases import PASSWORD"),
            ("accounts.models", "def f():\n    from books.models import Book"),
            ("lori_assignment.errors", "from books.models import Book"),
            ("lori_assignment.rest.viewsets", "from accounts.models import User"),
            ("lori_assignment.http.member_pages", "from lori_assignment.settings import DEBUG"),
            ("books.stock", "from lori_assignment.rest.pagination import Cursor"),
        ]:
            with self.subTest(module=module, source=source):
                self.assertNotEqual(violations(module, source), [])

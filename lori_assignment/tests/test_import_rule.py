"""Who may import whom, as the README says it: checked on the source, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from unittest import TestCase

from django.conf import settings

APPS = ("accounts", "books", "rentals")
# Wiring: imports everything, and no app imports it.
WIRING = {
    f"lori_assignment.{name}"
    for name in (
        "admin_site",
        "settings",
        "urls",
        "api",
        "api_errors",
        "api_docs",
        "api_paging",
        "front",
        "health",
        "metrics",
        "outer_errors",
    )
}
# Leaves, which every app may import, with what of ours they import themselves.
LEAVES = {
    "clock": set(),
    "db.compiled_queries": set(),
    "errors": set(),
    "faults": set(),
    "work": {"faults"},
    "addresses": set(),
    "api_fields": set(),
    "api_views": {"api_conditions", "clock", "work"},
    "api_conditions": {"api_rendering"},
    "api_rendering": set(),
    "api_filters": {"api_fields"},
    "admin_pages": {"errors", "work"},
    "money": set(),
    "pages": {"clock", "errors"},
    "keyset": set(),
    "origin": set(),
    "safety": set(),
    "caching.response_cache": {"safety"},
    "problems": set(),
    "models": set(),
    "api_idempotency": {"api_rendering", "errors", "faults", "models", "work"},
}
# Doors: how people and programs come in.
DOORS = ("admin", "api", "forms", "management", "templatetags", "urls", "views")
# Domain code points one way.
MAY_IMPORT = {"accounts": {"accounts"}, "books": {"books"}, "rentals": {"accounts", "books", "rentals"}}


def modules() -> Iterator[tuple[str, Path]]:
    for app in (*APPS, "lori_assignment"):
        for path in sorted((settings.BASE_DIR / app).rglob("*.py")):
            if "tests" not in path.parts and "migrations" not in path.parts:
                yield ".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts), path


def imported(source: str) -> set[str]:
    """Every module that `source` imports, at any depth of it; `from a import b` counts as a.b too."""
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
    """What `module` imports and must not."""
    app = module.split(".")[0]
    names = imported(source)
    if app == "lori_assignment":
        leaf = module.removeprefix("lori_assignment.")
        ours = {name for name in names if name.split(".")[0] in APPS or name.startswith("lori_assignment.")}
        allowed = {f"lori_assignment.{other}" for other in LEAVES.get(leaf, ())}
        return sorted(name for name in ours if not name.startswith(tuple(allowed))) if leaf in LEAVES else []
    wrong = names & WIRING
    wrong |= {name for name in names if name.split(".")[0] in APPS and is_door(name) and not _own(app, name)}
    if not is_door(module):
        wrong |= {name for name in names if name.split(".")[0] == "rest_framework"}
        wrong |= {name for name in names if name.split(".")[0] in set(APPS) - MAY_IMPORT[app]}
        wrong |= {name for name in names if name.split(".")[0] in APPS and is_door(name)}
    return sorted(wrong)


def _own(app: str, name: str) -> bool:
    return name.split(".")[0] == app


class ImportRuleTest(TestCase):
    def test_no_module_breaks_the_rule(self) -> None:
        found = {module: violations(module, path.read_text()) for module, path in modules()}
        self.assertEqual({module: wrong for module, wrong in found.items() if wrong}, {})
        self.assertGreater(len(found), 40)

    def test_each_kind_of_violation_is_found(self) -> None:
        for module, source in [
            ("books.models", "from rentals.models import Rental"),
            ("books.models", "import accounts.models"),
            ("rentals.services", "from rest_framework import serializers"),
            ("rentals.services", "from rentals.api import views"),
            ("rentals.api.views", "from books.api.serializers import v3"),
            ("rentals.api.views", "from lori_assignment import api_errors"),
            ("accounts.models", "def f():\n    from books.models import Book"),
            ("lori_assignment.errors", "from books.models import Book"),
            ("lori_assignment.admin", "from lori_assignment.rest.fields import Amount"),
            ("books.stock", "from lori_assignment.rest.pagination import Cursor"),
        ]:
            with self.subTest(module=module, source=source):
                self.assertNotEqual(violations(module, source), [])

"""Can the version before serve while a migration runs, and after it? Each is asked, by the SQL that it makes.

During a roll-out two versions of the shop have one schema, so nothing may go, be renamed, or be demanded of
an INSERT that does not know it; and no table may be locked for as long as an index takes. Run by
`.ci/audit-tree`. What a migration does in Python, such as triggers, makes no SQL here: people read that.
"""

# A script beside others, not a package.

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
APPS = ["accounts", "books", "lori_assignment", "rentals"]

BEFORE_THE_SHOP = "before the first shop was open, so the tables were empty and no version served"
# What the linter has something against and is meant. One that it has nothing against any more has to go.
ACCEPTED = {
    "accounts.0004_token_families": BEFORE_THE_SHOP,
    "accounts.0006_lists_of_accounts": BEFORE_THE_SHOP,
    "books.0001_book_and_copy": BEFORE_THE_SHOP,
    "books.0002_catalogue_orders": BEFORE_THE_SHOP,
    "books.0004_copies_by_state": BEFORE_THE_SHOP,
    "rentals.0001_circulation_and_ledger": BEFORE_THE_SHOP,
    "rentals.0005_holds": "the columns are those of the policy, one row that no version inserts",
    "rentals.0006_calendar_feeds_and_statements": BEFORE_THE_SHOP,
    "rentals.0007_rentals_of_a_member_in_order": BEFORE_THE_SHOP,
    "rentals.0008_lists_of_the_desk": BEFORE_THE_SHOP,
}


def against(migration: Any) -> bool:
    """Whether the linter has something against a migration; it prints what."""
    from django_migration_linter import MigrationLinter  # It wants the settings.

    name = f"{migration.app_label}.{migration.name}"
    linter = MigrationLinter(
        path=str(ROOT),
        include_apps=APPS,
        no_cache=True,
        all_warnings_as_errors=True,
        quiet=["ok", "ignore"],
        no_output=name in ACCEPTED,
    )
    linter.lint_migration(migration)
    return linter.has_errors


def main() -> int:
    import django
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    sys.path.insert(0, str(ROOT))
    os.environ |= {"DJANGO_SETTINGS_MODULE": "lori_assignment.settings", "DEBUG": "on", "LOG_LEVEL": "ERROR"}
    django.setup()
    assert connection.vendor == "postgresql", "It is PostgreSQL that is locked."  # noqa: S101
    migrations = sorted(
        (key, migration)
        for key, migration in MigrationLoader(connection).disk_migrations.items()
        if key[0] in APPS
    )
    found = {".".join(key) for key, migration in migrations if against(migration)}
    for name in sorted(found - set(ACCEPTED)):
        print(f"{name} is unsafe while the version before serves: do it in two releases, or accept it here.")
    for name in sorted(set(ACCEPTED) - found):
        print(f"{name} is accepted, but there is nothing against it.")
    print(f"{len(migrations)} migrations, {len(ACCEPTED)} accepted")
    return 1 if found ^ set(ACCEPTED) else 0


if __name__ == "__main__":
    sys.exit(main())

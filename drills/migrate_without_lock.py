"""Runs `migrate` without its lock, to prove that the race exists that the lock prevents."""

# ruff: noqa: INP001  # A script, not part of a package.
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import django
from django.core.management import call_command

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
django.setup()
with patch("lori_assignment.management.commands.migrate.migration_lock", return_value=nullcontext()):
    call_command("migrate", interactive=False, if_needed=True, verbosity=0)

"""`migrate` as it would be without its lock, to prove that the race which the lock ends is there."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")

import django  # noqa: E402  # After the path to the shop.

django.setup()

from django.core.management import call_command  # noqa: E402  # After the set-up.

from lori_assignment.management.commands import migrate  # noqa: E402  # After the set-up.

migrate.turn = lambda database: nullcontext()
call_command("migrate", interactive=False, if_needed=True, verbosity=0)

#!/usr/bin/env python
"""Runs a management command of Lori Books."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")
    testing = sys.argv[1:2] == ["test"]
    if testing:
        # A new clone has no SECRET_KEY; with DEBUG, tests need none.
        os.environ.setdefault("DEBUG", "on")
    if testing and "--with-coverage" in sys.argv:
        # Before Django imports the apps, or their module-level code would count as not covered.
        from lori_assignment.testing.coverage import start_coverage

        start_coverage()

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as problem:
        sys.exit(f"Lori Books cannot start: {problem}")


if __name__ == "__main__":
    main()

"""The Dockerfile agrees with the rest of the project; `checks/image-lab` builds and runs it."""

from __future__ import annotations

import re
from unittest import TestCase

from django.conf import settings

DOCKERFILE = (settings.BASE_DIR / "Dockerfile").read_text()
REQUIREMENTS = (settings.BASE_DIR / "requirements.txt").read_text()
IGNORED = (settings.BASE_DIR / ".dockerignore").read_text().splitlines()


class ImageTest(TestCase):
    def test_requirements_separate_tests(self) -> None:
        # The Dockerfile and checks/start-check cut the file there, and fail without it.
        self.assertEqual(REQUIREMENTS.splitlines().count("# Tests."), 1)
        runs, tests = REQUIREMENTS.split("\n# Tests.\n")
        for name in ("django", "gunicorn", "psycopg2-binary", "whitenoise"):
            self.assertRegex(runs, rf"(?m)^{name}==")
        for name in ("coverage", "playwright", "hypothesis"):
            self.assertRegex(tests, rf"(?m)^{name}==")

    def test_image_keeps_the_shops_languages(self) -> None:
        kept = re.search(r'^ARG LANGUAGES="(.*)"$', DOCKERFILE, re.MULTILINE)
        self.assertIsNotNone(kept)
        self.assertEqual(kept[1].split(), [code for code, _ in settings.LANGUAGES])

    def test_stages_use_one_pinned_base(self) -> None:
        stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
        self.assertRegex(stages[0], r"^python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}$")
        self.assertEqual(stages[1:], ["base", "base"])

    def test_build_context_is_an_allowlist(self) -> None:
        self.assertEqual(next(line for line in IGNORED if not line.startswith("#")), "*")
        for line in IGNORED:
            if line.startswith("!"):
                with self.subTest(line=line):
                    self.assertTrue((settings.BASE_DIR / line.removeprefix("!/")).exists())

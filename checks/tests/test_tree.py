"""Tests that every script of the tree is checked."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from unittest import TestCase

from commands import ROOT, tree


def scripts() -> dict[str, str]:
    """Return the files with a shebang line, and their interpreters."""
    found = {}
    for name in tree():
        with (ROOT / name).open("rb") as file:
            first = file.readline(200)
        if first.startswith(b"#!"):
            found[str(name)] = first.decode().strip()
    return found


class TreeTest(TestCase):
    def test_shellcheck_covers_every_shell_script(self) -> None:
        listed = subprocess.run(
            [ROOT / "checks" / "workflows-check", "--list"], capture_output=True, text=True, check=True
        )
        shell = {name for name, first in scripts().items() if re.search(r"\b(ba|da|k|z)?sh\b", first)}
        self.assertGreater(len(shell), 10)
        self.assertIn("entrypoint.sh", shell)
        self.assertLessEqual(shell, set(listed.stdout.splitlines()))

    def test_ruff_covers_every_python_script(self) -> None:
        ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
        python = {name for name, first in scripts().items() if re.search(r"\bpython", first)}
        self.assertIn("deploy/smoke-test", python)
        self.assertEqual(
            {name for name in python if Path(name).suffix != ".py"} - set(ruff["extend-include"]), set()
        )

    def test_every_script_has_a_known_shebang(self) -> None:
        for name, first in scripts().items():
            with self.subTest(name):
                self.assertRegex(first, r"^#!(/bin/sh|/usr/bin/env (bash|python3?))$")

"""What the tests of the commands in .ci/ share: running one, and stand-ins for the tools that it calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import TestCase

CI = Path(__file__).resolve().parent.parent
ROOT = CI.parent

# Writes down how it was called, then does what the test said: prints and exits. The test's answers are a
# list of [beginning of the words, exit code, what it prints, how often]; the first that fits counts.
STAND_IN = """#!{python}
import json, os, pathlib, sys
place = pathlib.Path(__file__).parent
name = pathlib.Path(__file__).name
call = [name, *sys.argv[1:]]
given = sys.stdin.read() if not sys.stdin.isatty() and "-" in call else ""
with (place / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({{"call": call, "stdin": given, "folder": os.getcwd()}}) + "\\n")
answers = json.loads((place / "answers.json").read_text())
for number, (beginning, status, words, times) in enumerate(answers):
    if " ".join(call).startswith(beginning) and times != 0:
        if times > 0:
            answers[number][3] -= 1
            (place / "answers.json").write_text(json.dumps(answers))
        (sys.stderr if status else sys.stdout).write(words)
        sys.exit(status)
"""


class CommandTest(TestCase):
    """A command of .ci/ run as a whole, with stand-ins first on its PATH."""

    command = ""
    stand_ins: tuple[str, ...] = ()

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="lori-command-")
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name)
        self.bin = self.place / "bin"
        self.bin.mkdir()
        self.answers: list[list[Any]] = []
        for name in self.stand_ins:
            stand_in = self.bin / name
            stand_in.write_text(STAND_IN.format(python=sys.executable))
            stand_in.chmod(0o755)

    def answer(self, beginning: str, *, status: int = 0, words: str = "", times: int = -1) -> None:
        """What a stand-in does when it is called so; -1 is always. The first that fits counts."""
        self.answers.append([beginning, status, words, times])

    def run_command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.bin / "answers.json").write_text(json.dumps(self.answers))
        return subprocess.run(
            [CI / self.command, *words],
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", **environment},
            cwd=self.place,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[str]:
        """How the stand-ins were called, in order."""
        return [" ".join(line["call"]) for line in self.records()]

    def records(self) -> list[dict[str, Any]]:
        file = self.bin / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def assert_good(self, done: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def assert_refused(self, done: subprocess.CompletedProcess[str], words: str) -> None:
        """It failed, and said why in words of ours, not by a traceback."""
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(words, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)

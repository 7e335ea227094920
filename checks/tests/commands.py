"""Base class for tests that run the commands of deploy/ with stand-ins for the tools that they call."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import TestCase

ROOT = Path(__file__).resolve().parent.parent.parent

# A stand-in records each call and the files given to it, then prints and exits as the test specified. The
# answers are a list of [beginning of the call, exit code, output, times]; the first that matches is used.
# Without a match it prints nothing and exits with 0.
STAND_IN = """#!{python} -ISE
import json, os, sys
place, name = os.path.split(os.path.abspath(__file__))
call = [name, *sys.argv[1:]]
words = " ".join(call)
for beginning, real in {pass_on}:
    if words.startswith(beginning):
        os.execv(real, [real, *sys.argv[1:]])
record = {{
    "call": call,
    "files": {{word: open(word).read() for word in call[1:] if os.path.isfile(word)}},
    "stdin": "" if sys.stdin.isatty() else sys.stdin.read(),
    "folder": os.getcwd(),
}}
with open(place + "/calls.jsonl", "a") as calls:
    calls.write(json.dumps(record) + chr(10))
answers = json.load(open(place + "/answers.json"))
for number, (beginning, status, said, times) in enumerate(answers):
    if words.startswith(beginning) and times:
        answers[number][3] -= 1
        open(place + "/answers.json", "w").write(json.dumps(answers))
        (sys.stderr if status else sys.stdout).write(said)
        sys.exit(status)
"""


def tree() -> list[Path]:
    """Return every file of the tree, relative to its root: committed, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {Path(name) for name in listed.stdout.split("\0") if name}
    return sorted(name for name in names if (ROOT / name).is_file())


class CommandTest(TestCase):
    """Runs a command of deploy/ with stand-ins first on its PATH."""

    command = ""
    stand_ins: tuple[str, ...] = ()
    # Calls passed on to the real tool, which must be installed.
    pass_on: tuple[str, ...] = ()

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="lori-command-")
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name)
        self.bin = self.place / "bin"
        self.bin.mkdir()
        self.answers: list[list[Any]] = []
        real = [(call, shutil.which(call.split()[0])) for call in self.pass_on]
        self.assertNotIn(None, [path for _, path in real], f"needs the real tool of {self.pass_on}")
        for name in self.stand_ins:
            stand_in = self.bin / name
            stand_in.write_text(STAND_IN.format(python=sys.executable, pass_on=real))
            stand_in.chmod(0o755)

    def reset(self) -> None:
        """Forget answers and calls, for the next case of a test."""
        self.answers.clear()
        (self.bin / "calls.jsonl").unlink(missing_ok=True)

    def answer(self, beginning: str, *, status: int = 0, words: str = "", times: int = -1) -> None:
        """Set a stand-in's answer to calls that begin so; -1 times is always. The first match is used."""
        self.answers.append([beginning, status, words, times])

    def run_command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.bin / "answers.json").write_text(json.dumps(self.answers))
        return subprocess.run(
            [ROOT / "deploy" / self.command, *words],
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", **environment},
            cwd=self.place,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[str]:
        """Return the calls of the stand-ins, in order."""
        return [" ".join(line["call"]) for line in self.records()]

    def records(self) -> list[dict[str, Any]]:
        file = self.bin / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def assert_good(self, done: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def assert_refused(self, done: subprocess.CompletedProcess[str], words: str) -> None:
        """Assert that the command failed with a message of its own, not with a traceback."""
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(words, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)

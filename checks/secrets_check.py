"""Searches all lines ever added in the history, and uncommitted changes, for secrets.

A secret that was pushed is compromised, even if it is no longer in the tree: replace it where it is used,
then accept it here. `checks/audit-tree` runs this. The output names places, never values.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parent.parent

# Values that look like secrets but are not.
ACCEPTED = {
    "0123456789abcdef0123456789abcdef": "counts, in tests",
    "0123456789abcdef0123456789abcdef01234567": "counts, in tests",
    "8c5f2a6e3b7d4f0e9a510d5c7e1f2b3a": "a request's id, in its test",
    "Zm9yIG5vYm9keSdzIGV5ZXMgYnV0IGFsaWNlJ3M": "the link that no log may show, in its test",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJqdGkiOiI2ZjMifQ.q0Yx": "the token of the API's examples",
    "only-for-compose": "compose.yaml says itself that it keeps nothing secret",
    "password": "postgres://user:password@host/name, in texts and tests",
    "secret": "an address with a password, which a test of the Kubernetes objects refuses",
    "sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w=": "the digest of a style sheet, public by nature",
    "targetgroup/k8s-loribook-def/73e2d6bc24d8a067": "the name of a load balancer's targets, in a test",
}
# The word "password" is everywhere in a site with logins, and addresses are no secrets.
LEFT_OUT = {"KeywordDetector", "IPPublicDetector"}
# detect-secrets needs the key's lines together; here every line is searched separately.
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----")
# Digests of container images are public, and change with each update.
IMAGE_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\b")
# Files with hundreds of package digests.
LOCK_FILES = (".terraform.lock.hcl", "package-lock.json")


def git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode(errors="replace")


def added() -> Iterator[tuple[str, str]]:
    """Yield each line ever added, with its place: commit and path, or the path alone if it is uncommitted."""
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        sys.exit("secrets_check: the history is not here; fetch it whole (git fetch --unshallow).")
    plain = ("--unified=0", "--no-color", "--no-ext-diff", "--no-prefix", "--diff-filter=d")
    commit = path = ""
    # --cc: of a merge, only what differs from both parents.
    for text in (git("log", "--patch", "--cc", "--format=commit %h", *plain), git("diff", *plain, "HEAD")):
        for line in text.split("\n"):
            if line.startswith("commit "):
                commit = f"{line.split()[1]}:"
            elif line.startswith("+++ "):
                path = line[4:].rstrip("\t")
            elif line.startswith("+"):
                yield line.lstrip("+"), commit + path
        commit = ""
    for name in git("ls-files", "--others", "--exclude-standard", "-z").split("\0"):
        if (ROOT / name).is_file():
            for line in (ROOT / name).read_text(errors="replace").splitlines():
                yield line, name


def main() -> int:
    # Each distinct line once, with its last place: most lines of a history are repeated.
    where = {IMAGE_DIGEST.sub("", line): place for line, place in added() if not place.endswith(LOCK_FILES)}
    lines = list(where)
    detectors = [
        {"name": detector.__name__}
        for detector in get_mapping_from_secret_type_to_class().values()
        if detector.__name__ not in LEFT_OUT
    ]
    found = {(where[line], "Private Key") for line in lines if PRIVATE_KEY.search(line)}
    met = set()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(lines))
        file.flush()
        with transient_settings({"plugins_used": detectors}):
            for secret in scan_file(file.name):
                if secret.secret_value in ACCEPTED:
                    met.add(secret.secret_value)
                else:
                    found.add((where[lines[secret.line_number - 1]], secret.type))
    for place, kind in sorted(found):
        print(f"{place}: {kind}")
    for value in sorted(set(ACCEPTED) - met):
        print(f"{value} is accepted, but nowhere.")
    print(f"{len(lines)} different lines, {len(met)} accepted values")
    return 1 if found or met != set(ACCEPTED) else 0


if __name__ == "__main__":
    sys.exit(main())

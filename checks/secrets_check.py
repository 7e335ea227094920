"""Was a secret ever committed? Each line that a commit of this history has added, and those of no commit yet.

What was once pushed is known, whether or not the tree still has it: a find is to be changed where it is used,
and then accepted here. Run by `checks/audit-tree`; it names places, and repeats no secret.
"""

# A script beside others, not a package.

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

# What looks like a secret and is none.
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
# Sentences and fields named "password" are all over a shop in which people sign in; addresses are no secrets.
LEFT_OUT = {"KeywordDetector", "IPPublicDetector"}
# The detector wants its lines together; here each line stands for itself.
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----")
# The digest of a container image, which is public, and another one with each update.
IMAGE_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\b")
# Digests of packages, by the hundred.
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
    """Each line that was ever added, with where: commit and path, or the path alone where there is none."""
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        sys.exit("secrets_check: the history is not here; fetch it whole (git fetch --unshallow).")
    plain = ("--unified=0", "--no-color", "--no-ext-diff", "--no-prefix", "--diff-filter=d")
    commit = path = ""
    # A merge repeats its branch, but for what it was made with.
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
    # Each line once, where it came in last: most of a history is the same again.
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

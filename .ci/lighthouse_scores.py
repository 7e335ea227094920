"""Print the scores of a Lighthouse report, and what costs points; fail when one is below the bar."""

# ruff: noqa: INP001  # A script beside others, not a package.
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

BAR = 98
# What a page may weigh over the wire, covers left out.
MOST_BYTES = 60_000

report = json.loads(Path(sys.argv[1]).read_text())
scores = {name: round((category["score"] or 0) * 100) for name, category in report["categories"].items()}
requests = report["audits"]["network-requests"]["details"]["items"]
weight = sum(item["transferSize"] for item in requests if "/media/" not in item["url"])
page = urlsplit(report["finalDisplayedUrl"])
foreign = sorted({item["url"] for item in requests if urlsplit(item["url"]).netloc != page.netloc})

print(  # noqa: T201  # This is what it is for.
    f"lighthouse: {page.path}: " + ", ".join(f"{name} {score}" for name, score in scores.items()),
    f"{weight / 1000:.1f} kB in {len(requests)} requests",
    sep=", ",
)
wrong = [f"{name} is below {BAR}" for name, score in scores.items() if score < BAR]
wrong += [f"it weighs more than {MOST_BYTES / 1000:.0f} kB"] if weight > MOST_BYTES else []
wrong += [f"it asks {address}" for address in foreign]
if wrong:
    lost = [
        f"  {audit['id']}: {audit['title']} {audit.get('displayValue', '')}"
        for category in report["categories"].values()
        for reference in category["auditRefs"]
        if reference["weight"] and (audit := report["audits"][reference["id"]])["score"] not in (1, None)
    ]
    sys.exit("\n".join([f"lighthouse: {'; '.join(wrong)}", *lost]))

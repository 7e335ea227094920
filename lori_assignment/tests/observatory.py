"""What the MDN HTTP Observatory would say of a page, by its published rules.

https://developer.mozilla.org/en-US/observatory/docs/tests_and_scoring: a page begins with 100, each test
takes points or gives some, and what is given counts where 90 are left without it. Where the rules forgive
something that we have no need of, this does not. Being on the browsers' list of https hosts, worth 5, is
nothing that a page could show.
"""

from __future__ import annotations

from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any

BROAD = {"*", "http:", "https:", "ftp:", "http://*", "https://*", "http://*.*", "https://*.*"}
UNSAFE = BROAD | {"'unsafe-inline'", "data:"}
PRIVATE_REFERRERS = {"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"}
SIX_MONTHS = 15_768_000


class _Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script" and "src" in dict(attrs):
            self.found.append(dict(attrs))


def scores(page: Any, *, redirect: Any) -> dict[str, int]:
    """By test; `page` is the answer by https, `redirect` that of the same address by http."""
    policy = _policy(page.headers.get("Content-Security-Policy", ""))
    return {
        "content security policy": _of_policy(policy),
        "cookies": _of_cookies(page.cookies),
        "cross-origin sharing": -50 if "Access-Control-Allow-Origin" in page.headers else 0,
        "redirection": _of_redirect(redirect),
        "referrer policy": _of_referrer(page.headers.get("Referrer-Policy")),
        "strict transport": _of_strict_transport(page.headers.get("Strict-Transport-Security", "")),
        "subresource integrity": _of_scripts(page.content.decode()),
        "content type options": 0 if page.headers.get("X-Content-Type-Options") == "nosniff" else -5,
        "frames": _of_frames(policy, page.headers.get("X-Frame-Options", "")),
        "resource policy": {"same-origin": 10, "same-site": 10, "cross-origin": 0, None: 0}.get(
            page.headers.get("Cross-Origin-Resource-Policy"), -5
        ),
    }


def total(each: dict[str, int]) -> int:
    without_extra = 100 + sum(points for points in each.values() if points < 0)
    extra = sum(points for points in each.values() if points > 0)
    return max(0, without_extra + extra if without_extra >= 90 else without_extra)


def _policy(header: str) -> dict[str, set[str]]:
    parts = [part.split() for part in header.split(";") if part.strip()]
    return {name.lower(): set(sources) for name, *sources in parts}


def _of_policy(policy: dict[str, set[str]]) -> int:
    if not policy:
        return -25
    default = policy.get("default-src", {"*"})
    script, style = policy.get("script-src", default), policy.get("style-src", default)
    if script & UNSAFE or policy.get("object-src", default) & BROAD:
        return -20
    if any(source.startswith(("http:", "ftp:")) for sources in policy.values() for source in sources):
        return -20
    if "'unsafe-eval'" in script | style:
        return -10
    if style & UNSAFE:
        return 0
    return 10 if default == {"'none'"} else 5


def _of_cookies(cookies: SimpleCookie) -> int:
    if not cookies:
        return 0
    for name, cookie in cookies.items():
        is_session = any(part in name.lower() for part in ("sess", "login"))
        if is_session and not (cookie["secure"] and cookie["httponly"]):
            return -40
        if not cookie["secure"] or cookie["samesite"] not in ("Lax", "Strict"):
            return -20
    return 5


def _of_redirect(answer: Any) -> int:
    if answer.status_code not in (301, 308):
        return -20
    return 0 if answer.headers["Location"].startswith("https://") else -20


def _of_referrer(policy: str | None) -> int:
    return 0 if policy is None else 5 if policy in PRIVATE_REFERRERS else -5


def _of_strict_transport(header: str) -> int:
    ages = [part.strip()[8:] for part in header.split(";") if part.strip().startswith("max-age=")]
    if len(ages) != 1 or not ages[0].isdigit():
        return -20
    return 0 if int(ages[0]) >= SIX_MONTHS else -10


def _of_scripts(html: str) -> int:
    reader = _Scripts()
    reader.feed(html)
    if any(str(script["src"]).startswith(("http:", "https:", "//")) for script in reader.found):
        return -50
    # The Observatory is content with one; a script that has none is a hole all the same.
    return 5 if reader.found and all("integrity" in script for script in reader.found) else 0


def _of_frames(policy: dict[str, set[str]], header: str) -> int:
    if "frame-ancestors" in policy:
        return 5
    return 0 if header.upper() in ("DENY", "SAMEORIGIN") else -20

"""Signs in to the shop's pages as a browser does."""

from __future__ import annotations

import re
import time
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

from benchmarks.size import PASSWORD


def sign_in_page(port: int, username: str) -> str:
    """Sign in and return the cookies as a Cookie header."""
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    address = f"http://127.0.0.1:{port}/user/login/"
    with browser.open(address) as page:
        secret = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
    if secret is None:
        raise SystemExit("The login page has no form.")
    form = {"csrfmiddlewaretoken": secret[1], "login": username, "password": PASSWORD}
    with browser.open(address, urlencode(form).encode()):
        pass
    cookies = {cookie.name: cookie.value or "" for cookie in jar}
    if not any(name.endswith("sessionid") for name in cookies):
        raise SystemExit(f"{username} could not sign in.")
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def wait_for_figures(port: int, cookie: str) -> None:
    """Load the index of the administration until all its figures are counted."""
    browser = urllib.request.build_opener()
    browser.addheaders = [("Cookie", cookie)]
    for _ in range(180):
        with browser.open(f"http://127.0.0.1:{port}/admin/") as answer:
            page = answer.read().decode()
        if "As of" in page and "not counted yet" not in page:
            return
        time.sleep(1)
    raise SystemExit("The figures of the administration were not counted in time.")

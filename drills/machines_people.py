"""Checks authentication across instances: tokens, sessions, permissions, limits."""

# ruff: noqa: INP001  # A script, not part of a package.
from __future__ import annotations

import itertools
from collections import Counter
from threading import Lock
from urllib.parse import urlencode

from machines_site import Failed, Site, call, expect, new_address, status
from torture_clients import run_concurrently

from accounts.login_throttle import MAX_PER_NAME_AND_ADDRESS
from accounts.models import User
from benchmarks.people import sign_in_page
from benchmarks.size import PASSWORD

OWN = "/api/v3/book_rentals/"
STAFF_ONLY = "/api/v3/accounts/"
NEW_PASSWORD = f"another-{PASSWORD}"
A_MINUTE = 60
# Twice this is still below the limit of calls per minute.
AT_ONCE = 25

_numbers = itertools.count(1)


def new_account(**facts: bool) -> User:
    """Create an account with the password PASSWORD."""
    name = f"person{next(_numbers)}"
    return User.objects.create_user(name, f"{name}@example.org", PASSWORD, **facts)


def sign_in(port: int, user: User, *, password: str = PASSWORD, address: str = "") -> dict[str, str]:
    """Return an access and a refresh token."""
    answer = call(
        port,
        "POST",
        "/api-token-auth/",
        {"username": user.username, "password": password},
        address=address or new_address(),
    )
    expect(f"signing in with the right password at {port}", 200, answer[0])
    pair: dict[str, str] = answer[2]
    return pair


def refresh(port: int, token: str) -> tuple[int, dict[str, str]]:
    answer = call(port, "POST", "/api-token-refresh/", {"refresh": token}, address=new_address())
    return answer[0], answer[2]


def at_all(site: Site, path: str, **said: str) -> list[int]:
    return [status(port, "GET", path, **said) for port in site.doors]


# ---------------------------------------------------------------- tokens and sessions


def tokens(site: Site) -> str:
    a, b = site.ports[:2]
    everywhere = len(site.doors)
    user = new_account()
    pair = sign_in(a, user)
    expect(
        "a token from A, at nginx and each instance",
        [200] * everywhere,
        at_all(site, OWN, token=pair["token"]),
    )
    signed_out = call(
        a, "POST", "/api/rest-auth/logout/", {"refresh": pair["refresh"]}, address=new_address()
    )
    expect("signing out at A", 200, signed_out[0])
    expect("the access token after signing out", [401] * everywhere, at_all(site, OWN, token=pair["token"]))
    expect("the refresh token, at B", 401, refresh(b, pair["refresh"])[0])

    pair = sign_in(a, user)
    told, newer = refresh(a, pair["refresh"])
    expect("a refresh token at A", 200, told)
    expect("the new token, at B", 200, status(b, "GET", OWN, token=newer["token"]))
    expect("the used refresh token within ten seconds, at B", (200, newer), refresh(b, pair["refresh"]))
    expect("the new refresh token, at A", 200, refresh(a, newer["refresh"])[0])
    expect("the used refresh token after that, at B", 401, refresh(b, pair["refresh"])[0])
    expect("the new token after the reuse", [401] * everywhere, at_all(site, OWN, token=newer["token"]))

    at_once: Counter[str] = Counter()
    pair, lock = sign_in(a, user), Lock()

    def use(number: int) -> None:
        told, newer = refresh(site.ports[number % len(site.ports)], pair["refresh"])
        with lock:
            at_once[f"{told} {newer.get('refresh')}"] += 1

    run_concurrently(8, use)
    if len(at_once) != 1 or not next(iter(at_once)).startswith("200"):
        raise Failed(
            f"one refresh token, eight times at once\n    expected: 200 with the same pair, eight times\n"
            f"    actual:   {sorted(at_once.values())}"
        )

    pairs = [sign_in(port, user) for port in (a, b)]
    changed = {
        "old_password": PASSWORD,
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }
    answer = call(
        a, "POST", "/api/rest-auth/password/change/", changed, token=pairs[0]["token"], address=new_address()
    )
    expect("changing the password at A", 200, answer[0])
    for one in pairs:
        expect("a token from before the change", [401] * everywhere, at_all(site, OWN, token=one["token"]))
    sign_in(b, user, password=NEW_PASSWORD)
    return "a token is valid at all instances; signing out, reuse and a new password revoke it at all at once"


def browsers(site: Site) -> str:
    a, b = site.ports[:2]
    everywhere = len(site.doors)
    user = new_account()
    first, second, third = (sign_in_page(port, user.username) for port in (a, b, site.door))
    for cookies in (first, second, third):
        expect(
            "a session, at nginx and each instance",
            [200] * everywhere,
            at_all(site, "/rentals/", Cookie=cookies),
        )
        expect("its token in a cookie", [200] * everywhere, at_all(site, OWN, Cookie=cookies))
    expect("signing out at B a session from A", 302, post_form(b, "/user/logout/", first))
    expect("that session after signing out", [302] * everywhere, at_all(site, "/rentals/", Cookie=first))
    expect("its token, after it", [401] * everywhere, at_all(site, OWN, Cookie=first))
    boss = sign_in_page(a, new_account(is_staff=True, is_superuser=True).username)
    everybody = {"action": "sign_out", "_selected_action": str(user.pk)}
    expect(
        "ending all sessions of the user, at A", 302, post_form(a, "/admin/accounts/user/", boss, **everybody)
    )
    for cookies in (second, third):
        expect("a session after that", [302] * everywhere, at_all(site, "/rentals/", Cookie=cookies))
        expect("its token, after it", [401] * everywhere, at_all(site, OWN, Cookie=cookies))
    return "a session is valid at all instances; signing out ends it and its token at all"


def post_form(port: int, path: str, cookies: str, **fields: str) -> int:
    """Post a form as a browser with these cookies."""
    secret = next(one.partition("=")[2] for one in cookies.split("; ") if "csrftoken=" in one)
    return status(port, "POST", path, urlencode(fields).encode(), Cookie=cookies, X_CSRFToken=secret)


# ---------------------------------------------------------------- permissions


def rights(site: Site) -> str:
    a, everywhere = site.ports[0], len(site.doors)
    staff, boss = new_account(is_staff=True), new_account(is_staff=True, is_superuser=True)
    token, desk = sign_in(site.ports[1], staff)["token"], sign_in_page(site.ports[1], staff.username)
    expect("staff, by token", [200] * everywhere, at_all(site, STAFF_ONLY, token=token))
    expect("staff, in the administration", [200] * everywhere, at_all(site, "/admin/", Cookie=desk))
    form = {"username": staff.username, "email": staff.email, "is_active": "on"}
    form |= {"date_joined_0": "2026-01-02", "date_joined_1": "03:04:05"}
    changed = post_form(a, f"/admin/accounts/user/{staff.pk}/change/", sign_in_page(a, boss.username), **form)
    expect("revoking staff status in the administration at A", 302, changed)
    # 401 if changed permissions revoke the token; 403 if it stays valid for an ordinary member.
    told = set(at_all(site, STAFF_ONLY, token=token))
    if not told <= {401, 403}:
        raise Failed(f"no longer staff, by token\n    expected: 401 or 403\n    actual:   {told}")
    expect("no longer staff, in the administration", [302] * everywhere, at_all(site, "/admin/", Cookie=desk))
    return "revoked staff status applies at all instances from the next request on"


# ---------------------------------------------------------------- limits


def try_password(port: int, user: User, password: str, address: str, **said: str) -> int:
    body = {"username": user.username, "password": password}
    return status(port, "POST", "/api-token-auth/", body, address=address, **said)


def limits(site: Site) -> str:
    most, everywhere = MAX_PER_NAME_AND_ADDRESS, len(site.doors)
    user, here, elsewhere = new_account(), new_address(), new_address()
    doors = site.in_turn()
    told = [try_password(next(doors), user, "wrong", here) for _ in range(most)]
    expect(f"{most} wrong passwords, through all ports", [401] * most, told)
    told = [try_password(port, user, PASSWORD, here) for port in site.doors]
    expect("the right password after them, at each port", [429] * everywhere, told)
    expect("the right password from another address", 200, try_password(site.door, user, PASSWORD, elsewhere))

    user, here = new_account(), new_address()
    told = [
        try_password(site.door, user, "wrong", here, X_Forwarded_For=f"203.0.113.{number}")
        for number in range(most)
    ]
    told += [try_password(site.door, user, PASSWORD, here, X_Forwarded_For="203.0.113.200")]
    expect("a different X-Forwarded-For each time", [401] * most + [429], told)

    user, here, tried = new_account(), new_address(), Counter[int]()
    lock = Lock()

    def guess(number: int) -> None:
        told = try_password(site.doors[number % everywhere], user, "wrong", here)
        with lock:
            tried[told] += 1

    run_concurrently(AT_ONCE, guess)
    # An attempt that is refused while other passwords are hashed does not count; try again.
    while sum(tried.values()) < 2 * AT_ONCE:
        guess(sum(tried.values()))
    expect(f"{AT_ONCE} wrong passwords at once and {AT_ONCE} after: attempts", {401: most}, {401: tried[401]})
    expect("their statuses", {401, 429}, set(tried))
    return f"{most} wrong passwords are checked, through all ports together, by the client's real address"


def throttles(site: Site) -> str:
    here, doors = new_address(), site.in_turn()

    def ask(port: int, address: str) -> int:
        return status(port, "POST", "/api-token-auth/", {}, address=address)

    told = Counter(ask(next(doors), here) for _ in range(A_MINUTE))
    expect(f"{A_MINUTE} calls in a minute, through all ports", {400: A_MINUTE}, dict(told))
    expect("one more, at each", {429}, {ask(port, here) for port in site.doors})
    expect("a call from another address", 400, ask(site.door, new_address()))
    return f"{A_MINUTE} sign-in calls per minute from one address, through all ports together"


CHECKS = (tokens, browsers, rights, limits, throttles)

"""Reads the table of permissions, `role_table.txt`, and sends its requests as each role.

`World` has the users and objects that the table names. `test_roles.py` tests every line.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock
from urllib.parse import urlencode

from allauth.account.forms import default_token_generator
from allauth.account.models import EmailAddress, EmailConfirmationHMAC
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.webauthn.internal.auth import WebAuthn
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.db import connections, transaction
from django.http import HttpResponse
from django.test import Client, TestCase, override_settings, tag
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from accounts import tokens
from accounts.models import User
from accounts.sign_up import reset_email_address
from accounts.tests.case import NEW, activate_totp
from books.models import Book, Kind
from books.stock import add_book
from lori_assignment.observability import health, metrics
from lori_assignment.testing.cases import PASSWORD
from lori_assignment.testing.coverage import coverage_paused
from rentals import ledger
from rentals.calendar_feeds import make_feed, secret_of
from rentals.holds import place_hold
from rentals.models import LedgerEntry, Policy
from rentals.price_lists import make_price_list
from rentals.services import rent_book, return_rental
from rentals.statements.monthly import Month

TABLE = Path(__file__).with_name("role_table.txt")

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
ROLES = ("anonymous", "self", "other", "staff", "superuser", "deactivated", "deleted")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# The targets of redirects that the table writes as a word.
PLACES = {"sign-in": ("/user/login/?next=", "/admin/login/?next="), "confirm": ("/user/reauthenticate/",)}
# The answers to a request that is not permitted.
REFUSED = ("401", "403", "404", "sign-in")
# Objects in a path that belong to one member.
OWN = {"user", "rental", "hold", "payment", "receipt", "passkey", "session"}


@dataclass(frozen=True, slots=True)
class TableRow:
    """The answer of one method of one path to each role."""

    method: str
    path: str
    answers: dict[str, str]

    @property
    def names(self) -> set[str]:
        """The names of the objects in the path."""
        return set(re.findall(r"<([^>]*)>", self.path))

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api")

    @property
    def is_administration(self) -> bool:
        return self.path.startswith("/admin/")


@cache
def table_rows() -> list[TableRow]:
    """Return the rows in the file."""
    lines: list[TableRow] = []
    several: dict[str, list[str]] = {}
    for text in TABLE.read_text().splitlines():
        if not text.strip() or text.startswith("#"):
            continue
        if text.startswith("$"):
            name, meaning = text.split(" = ")
            several[name] = meaning.split()
            continue
        methods, path, *answers = text.split()
        by_role = dict(zip(ROLES, answers * len(ROLES) if len(answers) == 1 else answers, strict=True))
        for one in _expand(path, several):
            lines += [
                TableRow(method, one, by_role)
                for method in (METHODS if methods == "*" else methods.split(","))
            ]
    return lines


def _expand(path: str, several: dict[str, list[str]]) -> list[str]:
    for name, meaning in several.items():
        if name in path:
            return [path.replace(name, one) for one in meaning]
    return [path]


@cache
def table() -> list[TableRow]:
    """Return the rows in the file, and those that its introduction implies."""
    lines = list(table_rows())
    # A user who may not see an object may not learn its size either.
    lines += [
        TableRow(
            "HEAD", line.path, {role: line.answers[role] for role in ("anonymous", "other", "deactivated")}
        )
        for line in lines
        if line.method == "GET"
    ]
    known = {(line.method, line.path.split("?")[0]) for line in lines}
    for path in dict.fromkeys(line.path.split("?")[0] for line in lines):
        bad_token = "401" if re.match("/api/v[0-9]/", path) else "405"
        no_such = {role: bad_token if role in ("deactivated", "deleted") else "405" for role in ROLES}
        lines += [TableRow(method, path, no_such) for method in METHODS if (method, path) not in known]
    return lines


def routes() -> set[str]:
    """Return the pattern of every path, without the names of its parameters."""
    before = metrics.MonitoringMiddleware(HttpResponse).probes
    return {nameless(path) for path in (*_walk(get_resolver()), *before)}


def _walk(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for one in resolver.url_patterns:
        pattern = before + str(one.pattern).removeprefix("^")
        if isinstance(one, URLResolver):
            yield from _walk(one, pattern)
        else:
            # The trailing slash of an API path does not matter.
            yield simplify_regex(pattern.replace("/?$", "").replace(r"/?\Z", ""))


def nameless(path: str) -> str:
    return re.sub(r"<[^>]*>", "<>", path.replace("\\", "")).split("?")[0]


def unlisted_routes() -> set[str]:
    """Return the routes that are missing in the table."""
    return routes() - {nameless(line.path) for line in table_rows()}


def paths_without_route() -> set[str]:
    """Return the paths in the table that do not exist."""
    return {nameless(line.path) for line in table_rows()} - routes()


def passkey(user: User) -> Authenticator:
    """Create a passkey as a browser would; it has no private key."""
    number = b"\x01" * 16
    point = {1: 2, 3: -7, -1: 1, -2: b"\x02" * 32, -3: b"\x03" * 32}
    credential = AttestedCredentialData.create(Aaguid.NONE, number, ES256(point))
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT
    data = AuthenticatorData.create(b"\x00" * 32, flags, 0, credential)
    client = CollectedClientData.create("webauthn.create", b"\x04" * 32, settings.SITE_URL)
    given = {
        "id": websafe_encode(number),
        "rawId": websafe_encode(number),
        "format": "json",
        "type": "public-key",
        "response": {
            "clientDataJSON": websafe_encode(client),
            "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
        },
        "clientExtensionResults": {},
    }
    return WebAuthn.add(user, "Alice's", given).instance


class World:
    """The users of all roles, and one of each object that a path may name. Members' objects are Alice's.

    The deactivated and the deleted user had signed in before, and still have the cookie and the token.
    """

    def __init__(self) -> None:
        self.now = timezone.now()
        self.people = {role: person(role) for role in ROLES if role != "anonymous"}
        self.alice, self.desk = self.people["self"], self.people["staff"]
        feeds = {role: make_feed(member=one, at=self.now)[0] for role, one in self.people.items()}
        self.secrets = {role: secret_of(feed) for role, feed in feeds.items()}
        self.cookies = {role: sign_in(one) for role, one in self.people.items()}
        self.tokens = {role: tokens.issue_tokens(one) for role, one in self.people.items()}
        self.of_the_shop = self._of_the_shop()
        self.named = self.of_the_shop | self.create_objects_of(self.alice)
        User.objects.filter(pk=self.people["deactivated"].pk).update(is_active=False)
        self.people["deleted"].delete()

    def _of_the_shop(self) -> dict[str, Any]:
        cover = ContentFile(b"RIFF", name=f"{'0' * 32}.webp")
        free = add_book(name="Emma", kind=3, cover=cover, copies=2)
        # All copies are on loan, and Alice has no hold on it.
        self.out = add_book(name="Sanditon", kind=3)
        rent_book(member=person("somebody"), book=self.out, at=self.now, now=self.now)
        rates = [{"kind": kind, "daily_rate": Decimal("1.00")} for kind in Kind.values]
        next_year = self.now + timedelta(days=365)
        return {
            "book": free.pk,
            "copy": free.copies.order_by("pk")[0].pk,
            "other-copy": free.copies.order_by("pk")[1].pk,
            "cover": free.cover.name,
            "format": "json",
            "month": str(Month.of(self.now)),
            "price-list": make_price_list(name="Next year", in_force_from=next_year, rates=rates).pk,
            "policy": Policy.current().pk,
            "group": Group.objects.create(name="Saturdays").pk,
            "type": ContentType.objects.get_for_model(Book).pk,
            "app": "books",
            "nothing": "nothing",
        }

    def create_objects_of(self, member: User) -> dict[str, Any]:
        """Create one of each object that a member may have."""
        now, desk = self.now, self.desk
        rented, awaited, before = (
            add_book(name=name, kind=3) for name in ("Persuasion", "Lady Susan", "Love")
        )
        rental = rent_book(member=member, book=rented, at=now, now=now)
        rent_book(member=desk, book=awaited, at=now, now=now)
        hold = place_hold(member=member, book=awaited, at=now)
        returned = rent_book(member=member, book=before, at=now, now=now)
        return_rental(rental=returned, at=now, actor=desk, now=now)
        cash = LedgerEntry.Method.CASH
        payment = ledger.take_payment(member=member, amount=Decimal("1.00"), method=cash, actor=desk, at=now)
        activate_totp(member)
        codes = RecoveryCodes.activate(member)
        codes.mark_as_viewed()
        self.recovery_code = codes.get_unused_codes()[0]
        waiting = EmailAddress.objects.create(user=member, email=f"new-{member.email}")
        elsewhere = UserSession.objects.create(
            user=member, session_key=f"of-{member.username}", ip="127.0.0.1"
        )
        # Signing in has changed the account, on which the signatures below depend.
        member.refresh_from_db()
        return {
            "user": member.pk,
            "rental": rental.ref,
            "hold": hold.pk,
            "payment": payment.pk,
            "receipt": payment.number,
            "passkey": passkey(member).pk,
            "session": elsewhere.pk,
            "address": waiting.pk,
            "address-key": EmailConfirmationHMAC(waiting).key,
            "uid": user_pk_to_url_str(member),
            "reset-key": default_token_generator.make_token(member),
        }

    def address(self, path: str, role: str) -> str:
        """Return `path` with values for its names."""

        def named(match: re.Match[str]) -> str:
            name = match[1]
            if name == "own-secret":
                return str(self.secrets.get(role, self.secrets["self"]))
            return str(self.named[ADMINISTERED[model[1]] if name == "one" and model else name])

        model = re.match("/admin/([a-z]+/[a-z]+)/", path)
        return re.sub(r"<([^>]+)>", named, path)


# The object that `<one>` stands for on each page of the administration.
ADMINISTERED = {
    "auth/group": "group",
    "accounts/user": "user",
    "mfa/authenticator": "passkey",
    "books/book": "book",
    "books/copy": "copy",
    "rentals/rental": "rental",
    "rentals/hold": "hold",
    "rentals/ledgerentry": "payment",
    "rentals/policy": "policy",
    "rentals/pricelist": "price-list",
}


def person(role: str) -> User:
    rights = {"is_staff": role in ("staff", "superuser"), "is_superuser": role == "superuser"}
    name = f"{role}.moss"
    user = User.objects.create_user(name, f"{name}@example.org", PASSWORD, name=f"{role} Moss", **rights)
    reset_email_address(user)
    EmailAddress.objects.filter(user=user).update(verified=True)
    return user


def sign_in(person: User, *, confirmed: bool = True) -> str:
    """Return a session cookie; if `confirmed`, the password was entered again, as sensitive pages require."""
    browser = Client()
    answer = browser.post("/user/login/", {"login": person.username, "password": PASSWORD})
    assert answer.status_code == 302, answer.content
    if confirmed:
        browser.post("/user/reauthenticate/", {"password": PASSWORD})
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


# A valid body for each method, so that a permitted request succeeds: JSON for the API, a form for a page.
# Empty for methods that are not listed.
Body = dict[str, Any]


def body_of(world: World, method: str, path: str, role: str) -> Body:
    named, person = world.named, world.people.get(role)
    path = re.sub(r"^/api/v[123]", "", path).split("?")[0]
    name = person.username if person else "nobody"
    # Only this member has a second factor.
    otp = {"otp": world.recovery_code} if role == "self" else {}
    pair = world.tokens.get(role)
    new = {"username": "new", "email": "new@example.org", "password1": NEW, "password2": NEW}
    rates = [{"book_type": kind, "daily_rate": "2.00"} for kind in (1, 2, 3)]
    prices = {"name": "Another", "in_force_from": "2100-01-01T00:00:00Z", "rates": rates}
    profile = {"name": "Another Name", "phone": "1", "address": "Elsewhere"}
    copy = {"barcode": "B-1", "condition": "worn", "status": "in_service"}
    bodies: dict[tuple[str, str], Body] = {
        ("POST", "/api-token-auth"): {"username": name, "password": PASSWORD, **otp},
        ("POST", "/api-token-refresh"): {"refresh": pair.refresh if pair else "x"},
        ("POST", "/api-token-verify"): {"token": pair.access if pair else "x"},
        ("POST", "/api/rest-auth/login"): {"username": name, "password": PASSWORD, **otp},
        ("POST", "/api/rest-auth/logout"): {"refresh": pair.refresh if pair else "x"},
        ("PUT", "/api/rest-auth/user"): profile,
        ("PATCH", "/api/rest-auth/user"): {"name": "Another Name"},
        ("POST", "/api/rest-auth/password/change"): {
            "old_password": PASSWORD,
            "new_password1": NEW,
            "new_password2": NEW,
        },
        ("POST", "/api/rest-auth/password/reset"): {"email": f"{name}@example.org"},
        ("POST", "/api/rest-auth/password/reset/confirm"): {
            "uid": named["uid"],
            "token": named["reset-key"],
            "new_password1": NEW,
            "new_password2": NEW,
        },
        ("POST", "/api/rest-auth/token/verify"): {"token": pair.access if pair else "x"},
        ("POST", "/api/rest-auth/token/refresh"): {"refresh": pair.refresh if pair else "x"},
        ("POST", "/api/rest-auth/registration"): new,
        ("POST", "/api/rest-auth/registration/verify-email"): {"key": named["address-key"]},
        ("POST", "/api/rest-auth/registration/resend-email"): {"email": f"{name}@example.org"},
        ("POST", "/books"): {"name": "A new one", "book_type": 3},
        ("PUT", "/books/<book>"): {"name": "A new name", "book_type": 3},
        ("PATCH", "/books/<book>"): {"name": "A new name"},
        ("POST", "/book_rentals"): {"book": named["book"]},
        ("POST", "/book_rentals/create"): {"book": named["book"]},
        ("PUT", "/book_rentals/<rental>"): {"status": 1},
        ("PATCH", "/book_rentals/<rental>"): {"status": 1},
        ("PUT", "/accounts/<user>"): profile,
        ("PATCH", "/accounts/<user>"): {"name": "Another Name"},
        ("POST", "/copies"): {"book": named["book"]},
        ("PUT", "/copies/<copy>"): copy,
        ("PATCH", "/copies/<copy>"): {"condition": "worn"},
        ("POST", "/holds"): {"book": world.out.pk},
        ("POST", "/payments"): {"user": named["user"], "amount": "1.00", "method": "cash"},
        ("POST", "/price_lists"): prices,
        ("PUT", "/price_lists/<price-list>"): prices,
        ("PATCH", "/price_lists/<price-list>"): {"name": "Another"},
        ("POST", "/language/"): {"language": "de"},
        ("POST", "/user/login/"): {"login": name, "password": PASSWORD},
        ("POST", "/user/signup/"): new,
        ("POST", "/user/email/"): {"action_add": "", "email": "new@example.org"},
        ("POST", "/user/profile/"): profile,
        ("POST", "/user/reauthenticate/"): {"password": PASSWORD},
        ("POST", "/user/password/change/"): {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW},
        ("POST", "/user/password/reset/"): {"email": f"{name}@example.org"},
        ("POST", "/user/2fa/webauthn/keys/<passkey>/edit/"): {"name": "The old phone"},
    }
    found = bodies.get((method, path.removesuffix("/update"))) or bodies.get((method, path), {})
    if path.endswith("/delete/"):
        return {"post": "yes"}
    return found


class RoleClient:
    """Sends requests as any role."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = Client()

    def ask(
        self, method: str, path: str, role: str, *, query: str = "", more: Body | None = None, **headers: str
    ) -> HttpResponse:
        """Send a request as `role` with additional query, body and headers, and roll its changes back."""
        body = body_of(self.world, method, path, role) | (more or {})
        address = self.world.address(path, role)
        address += ("&" if "?" in address else "?") + query if query else ""
        with rolled_back():
            return self.send(method, address, role, body, **headers)

    def send(self, method: str, address: str, role: str, body: Body, **more: str) -> HttpResponse:
        """Send a request to a URL as it is, without a rollback."""
        if address.startswith("/api"):
            return self.send_raw(method, address, role, json.dumps(body).encode(), JSON, **more)
        return self.send_raw(method, address, role, urlencode(body, doseq=True).encode(), FORM, **more)

    def send_raw(
        self, method: str, address: str, role: str, body: bytes, content_type: str, **more: str
    ) -> HttpResponse:
        """As `send`, with the bytes of the body."""
        client = self.client
        client.cookies.clear()
        is_api = address.startswith("/api")
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        if is_api and role in self.world.tokens:
            headers |= {"Authorization": f"JWT {self.world.tokens[role].access}"}
        elif role in self.world.cookies:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.world.cookies[role]
        if method in ("GET", "HEAD"):
            return client.generic(method, address, headers=headers)
        return client.generic(method, address, body, content_type=content_type, headers=headers)

    def differences(self, lines: Iterable[TableRow]) -> list[str]:
        """Describe every answer that differs from the table."""
        found = []
        for line in lines:
            for role, expected in line.answers.items():
                answer = describe_response(self.ask(line.method, line.path, role))
                if answer != expected:
                    found.append(f"{line.method} {line.path} as {role}: {answer}, not {expected}")
        return found


@contextmanager
def rolled_back() -> Iterator[None]:
    """Undo every change to the database that is made in this block."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@tag("any_database")
class RoleTestCase(TestCase):
    """Has the same `world` before each test."""

    world: ClassVar[World]

    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(coverage_paused())
        media = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.enterClassContext(override_settings(MEDIA_ROOT=media))
        # On PostgreSQL the connection of /readyz would keep the test database from being dropped.
        ready = health.Readiness(lambda: connections["default"].copy())
        cls.addClassCleanup(ready.close)
        cls.enterClassContext(mock.patch.object(health, "readiness", ready))
        super().setUpClass()

    @classmethod
    def setUpTestData(cls) -> None:
        cls.world = World()

    def setUp(self) -> None:
        self.asker = RoleClient(self.world)

    def lines(self, fits: Callable[[TableRow], Any]) -> list[TableRow]:
        found = [line for line in table() if fits(line)]
        self.assertNotEqual(found, [])
        return found


def describe_response(answer: HttpResponse) -> str:
    """Return an answer as the table writes it."""
    leads_to = answer.headers.get("Location", "")
    for word, places in PLACES.items():
        if answer.status_code == 302 and leads_to.startswith(places):
            return word
    return str(answer.status_code)

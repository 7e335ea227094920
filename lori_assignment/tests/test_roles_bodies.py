"""Fields that a client may not set are ignored in an otherwise valid body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest import mock

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.apps import apps
from django.db import connection
from django.db.models import Model, fields
from django.forms import modelform_factory

from accounts.api.serializers.auth import ProfileIn
from accounts.models import PasswordAttempts, TokenFamily, User
from lori_assignment.tests.roles import (
    REFUSED,
    RoleTestCase,
    TableRow,
    body_of,
    describe_response,
    rolled_back,
)
from rentals.api.serializers import v1_v2, v3, v3_holds

LONG_AGO = "2001-01-01T00:00:00Z"
TIMES = (
    *("date_joined", "last_login", "date_rented", "date_returned", "rented_at", "returned_at", "due_at"),
    *("due_date", "placed_at", "ready_at", "pick_up_by", "ended_at", "voided_at", "posted_at", "taken_at"),
    *("made_at", "in_force_from", "created_at", "last_used_at", "at", "now"),
)
PERSONS = (
    *("user", "user_id", "owner", "member", "member_id", "account", "actor", "taken_by", "voided_by"),
    *("caller", "customer"),
)
AMOUNTS = ("charge", "amount", "balance", "posted", "running", "running_cost", "replacement_price", "credit")
NUMBERS = {"id": 987654, "pk": 987654, "ref": 987654, "number": 987654, "renewals": 0, "max_renewals": 99}
RIGHTS = {
    **dict.fromkeys(("is_staff", "is_superuser", "staff", "superuser", "verified", "primary"), True),
    "is_active": False,
    "role": "superuser",
    "username": "poison",
    "email": "poison@example.org",
    "password": "poison-chapter",
    "language": "de",
    "kind": "refund",
    "method": "cash",
    "note": "poison",
    "status": 1,
    "outcome": "picked_up",
    "due_before": [],
    "working": {},
    "due": LONG_AGO,
}
# Random values and times that no client can set.
NOT_COMPARED = {"nonce", "digest", "date_joined", "created_at"}
# Stands for the ids of new rows, which differ each time on PostgreSQL.
NEW = "new"


def not_the_callers(case: MassAssignmentTest, role: str) -> dict[str, Any]:
    """Return fields of other members' objects and of the shop that a body could try to set."""
    named, people = case.world.named, case.world.people
    another = people["other" if role == "self" else "self"]
    things = {
        "groups": [named["group"]],
        "user_permissions": [1],
        "copy": named["other-copy"],
        "rental": named["rental"],
        "hold": named["hold"],
        "rent_entry": named["payment"],
        "reverses": named["payment"],
        "rate": 1,
        "price_list": 1,
    }
    return {
        **dict.fromkeys(TIMES, LONG_AGO),
        **dict.fromkeys(PERSONS, another.pk),
        **dict.fromkeys(AMOUNTS, "777.77"),
        **NUMBERS,
        **RIGHTS,
        **things,
    }


def models() -> Iterable[type[Model]]:
    for app in ("accounts", "books", "rentals"):
        yield from apps.get_app_config(app).get_models(include_auto_created=True)
    yield from (EmailAddress, Authenticator)


class MassAssignmentTest(RoleTestCase):
    def setUp(self) -> None:
        super().setUp()
        # With a fixed time and salt, the same request leaves the same rows.
        self.enterContext(mock.patch("django.utils.timezone.now", return_value=self.world.now))
        salt = mock.patch("django.contrib.auth.hashers.get_random_string", lambda *facts, **more: "salt" * 6)
        self.enterContext(salt)
        # Otherwise recovery codes would differ each time.
        self.enterContext(mock.patch.object(RecoveryCodes, "generate_seed", lambda: "seed"))
        self.known = {model: {pk for (pk,) in self.read(model, [model._meta.pk])} for model in models()}

    def rows(self) -> dict[str, list[str]]:
        """Return all rows that a body may change."""
        kept = [model for model in models() if model not in (TokenFamily, PasswordAttempts)]
        return {model._meta.label: sorted(self.shown(model)) for model in kept}

    def shown(self, model: type[Model]) -> list[str]:
        compared = [one for one in model._meta.concrete_fields if one.name not in NOT_COMPARED]
        rows = self.read(model, compared)
        return [
            str([self.numbered(one, value) for one, value in zip(compared, row, strict=True)]) for row in rows
        ]

    def read(self, model: type[Model], columns: list[Any]) -> list[tuple[Any, ...]]:
        # As the database has them: QuerySets for all tables after each request would take most of the time.
        quote = connection.ops.quote_name
        written = ", ".join(quote(one.column) for one in columns)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {written} FROM {quote(model._meta.db_table)}")  # noqa: S608
            return cursor.fetchall()

    def numbered(self, field: Any, value: Any) -> Any:
        model = field.related_model if isinstance(field, fields.related.ForeignKey) else field.model
        is_number = field.primary_key or model is not field.model or field.is_relation
        return NEW if is_number and value and value not in self.known.get(model, {value}) else value

    def left_by(self, line: TableRow, role: str, more: dict[str, Any]) -> tuple[str, dict[str, list[str]]]:
        """Return the answer, and the rows afterwards, if `more` is sent with the usual body."""
        usual = body_of(self.world, line.method, line.path, role)
        with rolled_back():
            address = self.world.address(line.path, role)
            answer = self.asker.send(line.method, address, role, {**more, **usual})
            return describe_response(answer), self.rows()

    def accepted_changes(self, role: str, lines: list[TableRow]) -> dict[str, list[tuple[Any, Any]]]:
        """Return the requests for which additional fields make a difference, with the differences."""
        found = {}
        for line in lines:
            plain, poisoned = (self.left_by(line, role, more) for more in ({}, not_the_callers(self, role)))
            if plain != poisoned:
                differ = [(plain[0], poisoned[0])]
                differ += [
                    (sorted(set(rows) - set(poisoned[1][name])), sorted(set(poisoned[1][name]) - set(rows)))
                    for name, rows in plain[1].items()
                    if rows != poisoned[1][name]
                ]
                found[f"{line.method} {line.path} as {role}"] = differ
        return found

    def writing(self, role: str, *, refused: bool = False) -> list[TableRow]:
        """Return the requests that are permitted, or `refused`, to `role`."""
        return self.lines(
            lambda line: (
                line.method in ("POST", "PUT", "PATCH", "DELETE")
                and line.answers[role] != "405"
                and (line.answers[role] in REFUSED) == refused
            )
        )

    def test_extra_fields_of_owner_are_ignored(self) -> None:
        self.assertEqual(self.accepted_changes("self", self.writing("self")), {})

    def test_extra_fields_of_other_member_are_ignored(self) -> None:
        self.assertEqual(self.accepted_changes("other", self.writing("other")), {})

    def test_extra_fields_of_anonymous_are_ignored(self) -> None:
        self.assertEqual(self.accepted_changes("anonymous", self.writing("anonymous")), {})

    def test_refused_request_changes_nothing(self) -> None:
        before = self.rows()
        for role in ("anonymous", "other", "deactivated", "deleted"):
            for line in self.writing(role, refused=True):
                _, after = self.left_by(line, role, not_the_callers(self, "other"))
                self.assertEqual(after, before, (line, role))

    def test_accepted_extra_field_is_detected(self) -> None:
        """Shows that the tests above can fail, with serializers and a form that accept too many fields."""
        more = ["name", "is_staff"]
        for guard, called in (
            (mock.patch.object(ProfileIn.Meta, "fields", more), "PATCH /api/rest-auth/user"),
            (mock.patch.object(v3, "RentalIn", v3.RentalDeskIn), "POST /api/v3/book_rentals"),
            (mock.patch.object(v1_v2, "RentalIn", v1_v2.RentalDeskIn), "POST /api/v1/book_rentals/create"),
            (mock.patch.object(v3_holds, "HoldIn", v3_holds.HoldDeskIn), "POST /api/v3/holds"),
            (
                mock.patch("accounts.views.ProfileForm", modelform_factory(User, fields=more)),
                "POST /user/profile/",
            ),
        ):
            lines = self.lines(lambda line, called=called: f"{line.method} {line.path}" == called)
            with guard:
                self.assertEqual(list(self.accepted_changes("other", lines)), [f"{called} as other"])

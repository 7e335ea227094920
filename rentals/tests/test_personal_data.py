"""Tests the export of everything that the shop stores about a member."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.admin.models import CHANGE, LogEntry
from django.test import Client

from accounts import tokens
from accounts.models import TokenFamily, User
from accounts.sign_up import reset_email_address
from accounts.tests.case import activate_totp
from books.stock import add_book
from lori_assignment.testing.cases import PASSWORD, CastTestCase
from rentals import ledger, services
from rentals.calendar_feeds import make_feed
from rentals.holds import place_hold
from rentals.models import ClientRef, LedgerEntry
from rentals.personal_data import export_personal_data

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)

# The foreign keys to an account, and the part of the document that has their rows.
PARTS = {
    "account.EmailAddress.user": "email_addresses",
    "mfa.Authenticator.user": "second_factors",
    "usersessions.UserSession.user": "sessions",
    "accounts.TokenFamily.user": "tokens",
    "admin.LogEntry.user": "administration_log",
    "rentals.Rental.user": "rentals",
    "rentals.Hold.user": "holds",
    "rentals.CalendarFeed.user": "calendar_link",
    "rentals.LedgerEntry.user": "ledger",
    "rentals.ClientRef.account": "client_references",
}
# What staff did at work is the shop's data, not theirs.
OF_THE_SHOP = {"rentals.Rental.voided_by", "rentals.LedgerEntry.actor"}
# Social sign-in is not set up.
UNUSED = {"socialaccount.SocialAccount.user"}
# Columns of the account that are not exported.
SECRET = {"password"}


class PersonalDataTest(CastTestCase):
    def setUp(self):
        User.objects.filter(pk=self.alice.pk).update(phone="555-0142", address="Via Appia 7", language="de")
        self.alice.refresh_from_db()
        reset_email_address(self.alice)
        self.browser = Client(headers={"user-agent": "Firefox"})
        self.browser.post("/user/login/", {"login": "alice", "password": PASSWORD})
        tokens.issue_tokens(self.alice)
        self.totp = activate_totp(self.alice)
        self.codes = RecoveryCodes.activate(self.alice).get_unused_codes()
        LogEntry.objects.log_actions(self.dan.pk, [self.alice], CHANGE, "Changed name", single_object=True)
        book = add_book(name="Emma", author="Jane Austen", kind=3)
        make_feed(member=self.alice, at=MONDAY)
        ClientRef.objects.create(account=self.alice, ref="slip 7", made_at=MONDAY)
        rental = services.rent_book(member=self.alice, book=book, at=MONDAY, now=MONDAY)
        waited_for = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.bob, book=waited_for, at=MONDAY, now=MONDAY)
        place_hold(member=self.alice, book=waited_for, at=MONDAY)
        services.return_rental(rental=rental, at=MONDAY + DAY, actor=self.carol, now=MONDAY + DAY)
        ledger.take_payment(
            member=self.alice,
            amount=Decimal("4.50"),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=MONDAY + DAY,
            note="In coins",
        )

    def document(self, member: User | None = None) -> dict[str, Any]:
        return json.loads(self.written(member))

    def written(self, member: User | None = None) -> str:
        user = User.objects.get(pk=(member or self.alice).pk)
        return "".join(export_personal_data(user, at=MONDAY + DAY))

    def test_every_relation_of_the_account_is_covered(self):
        pointing = {
            f"{relation.related_model._meta.label}.{relation.field.name}"
            for relation in User._meta.related_objects
        }
        self.assertEqual(pointing - OF_THE_SHOP - UNUSED, set(PARTS))
        document = self.document()
        for part in PARTS.values():
            self.assertTrue(document[part], part)

    def test_account_has_every_column_but_the_secret(self):
        columns = {field.name for field in User._meta.concrete_fields} - SECRET - {"id"}
        told = self.document()["account"]
        self.assertLessEqual(columns, set(told))
        self.assertEqual(
            (told["number"], told["phone"], told["address"]), (self.alice.pk, "555-0142", "Via Appia 7")
        )

    def test_rentals_and_ledger_include_working(self):
        document = self.document()
        [rental] = document["rentals"]
        self.assertEqual(
            (rental["book"], rental["author"], rental["charge"]), ("Emma", "Jane Austen", "4.50")
        )
        rent, payment = document["ledger"]
        self.assertEqual((rent["amount"], rent["working"]["price_list"]), ("4.50", "Tiered"))
        self.assertEqual(
            (payment["amount"], payment["note"], payment["posted_balance"]), ("-4.50", "In coins", "0.00")
        )
        self.assertEqual(document["made"]["currency"], "USD")

    def test_document_contains_no_secret(self):
        written = self.written()
        stored = Authenticator.objects.filter(user=self.alice).values_list("data", flat=True)
        secrets = [
            self.alice.password,
            self.totp,
            *self.codes,
            *(value for data in stored for value in data.values() if isinstance(value, str)),
            *TokenFamily.objects.values_list("pk", flat=True),
            *TokenFamily.objects.values_list("current", flat=True),
            self.browser.session.session_key,
        ]
        self.assertGreater(len(secrets), 14)
        for secret in secrets:
            self.assertNotIn(secret, written)

    def test_document_contains_no_other_members_data(self):
        document = self.document(self.bob)
        self.assertEqual((document["account"]["username"], document["ledger"]), ("bob", []))
        self.assertNotIn("alice", self.written(self.bob))

    def test_query_count_is_constant(self):
        for more in (0, 5):
            for number in range(more):
                at = MONDAY + (number + 2) * DAY
                book = add_book(name=f"Volume {number}", kind=1)
                rental = services.rent_book(member=self.alice, book=book, at=at, now=at)
                services.return_rental(rental=rental, at=at + DAY, actor=self.carol, now=at + DAY)
            user = User.objects.get(pk=self.alice.pk)
            with self.assertNumQueries(12):
                "".join(export_personal_data(user, at=MONDAY + DAY))

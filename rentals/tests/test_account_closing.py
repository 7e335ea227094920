"""Tests closing an account: the refusals, and the erasure of personal data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from unittest import mock

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError

from accounts import tokens
from accounts.models import CLOSED_PREFIX, TokenFamily, User
from accounts.sign_up import open_account, reset_email_address
from accounts.tests.case import activate_totp
from books.stock import add_book
from lori_assignment.errors import Refusal
from lori_assignment.testing.cases import PASSWORD, CastTestCase, RaceTestCase
from rentals import ledger, services
from rentals.account_closing import close_account, closing_blockers
from rentals.holds import place_hold
from rentals.models import Hold, LedgerEntry, Rental

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
# Alice's personal data, in spellings that occur nowhere else.
OF_ALICE = {
    "username": "zephyrine",
    "email": "zephyrine@moss.example",
    "name": "Zéphyrine Moss",
    "phone": "+39 06 5550142",
    "address": "Via Zephyra 7",
}


class LeavingCase(CastTestCase):
    def rent(self, member: User, at: datetime = MONDAY) -> Rental:
        return services.rent_book(member=member, book=add_book(name="Emma", kind=3), at=at, now=at)

    def give_back(self, rental: Rental, at: datetime = MONDAY + DAY) -> None:
        services.return_rental(rental=rental, at=at, actor=self.carol, now=at)

    def pay(self, member: User, amount: str, at: datetime = MONDAY + DAY) -> LedgerEntry:
        return ledger.take_payment(
            member=member,
            amount=Decimal(amount),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=at,
            note="At the counter",
        )

    def reasons(self, member: User, at: datetime = MONDAY + DAY) -> list[tuple[str, str]]:
        with self.assertRaises(Refusal) as raised:
            close_account(member=member, at=at)
        self.assertTrue(User.objects.get(pk=member.pk).username)
        return [(reason.code, str(reason)) for reason in raised.exception.reasons]


class RefusalTest(LeavingCase):
    def test_open_rentals_block_closing(self):
        rental = self.rent(self.alice)
        self.pay(self.alice, "4.50")
        self.assertEqual(
            self.reasons(self.alice), [("books_out", "You still have one book on loan. Return it first.")]
        )
        self.assertEqual(
            [str(reason) for reason in closing_blockers(self.alice, at=MONDAY + DAY)],
            ["You still have one book on loan. Return it first."],
        )
        self.give_back(rental)
        close_account(member=self.alice, at=MONDAY + DAY)

    def test_debt_blocks_closing(self):
        self.give_back(self.rent(self.alice))
        self.assertEqual(
            self.reasons(self.alice), [("money_owed", "You owe $4.50. Pay it at the counter first.")]
        )
        self.pay(self.alice, "4.50")
        close_account(member=self.alice, at=MONDAY + DAY)

    def test_credit_blocks_closing(self):
        rental = self.rent(self.alice)
        self.give_back(rental)
        self.pay(self.alice, "4.50")
        services.void_rental(rental=rental, at=MONDAY + DAY, actor=self.carol)
        self.assertEqual(
            self.reasons(self.alice),
            [("credit_left", "You have $4.50 in credit. Have it paid out at the counter first.")],
        )

    def test_refusal_lists_every_reason(self):
        for _ in range(2):
            self.rent(self.carol)
        self.assertEqual(
            self.reasons(self.carol),
            [
                ("staff_account", "This is a staff account. Only an administrator can close it."),
                ("books_out", "You still have 2 books on loan. Return them first."),
                ("money_owed", "You owe $9.00. Pay it at the counter first."),
            ],
        )

    def test_closed_account_cannot_be_closed_again(self):
        close_account(member=self.alice, at=MONDAY)
        self.assertEqual([code for code, _ in self.reasons(self.alice)], ["member_inactive"])


class PersonalDataErasureTest(LeavingCase):
    """Alice has all kinds of data that a member can leave behind."""

    def setUp(self):
        User.objects.filter(pk=self.alice.pk).update(**OF_ALICE, language="de", last_login=timezone.now())
        self.alice.refresh_from_db()
        reset_email_address(self.alice)
        self.browser = Client(headers={"user-agent": "Zephyr Browser"})
        self.browser.post("/user/login/", {"login": OF_ALICE["username"], "password": PASSWORD})
        self.refresh = tokens.issue_tokens(self.alice).refresh
        activate_totp(self.alice)
        RecoveryCodes.activate(self.alice)
        self.alice.groups.add(Group.objects.create(name="Readers"))
        self.alice.user_permissions.add(Permission.objects.first())
        for row in (self.alice, self.alice.emailaddress_set.get()):
            LogEntry.objects.log_actions(self.dan.pk, [row], CHANGE, "Changed", single_object=True)
        self.give_back(self.rent(self.alice))
        self.pay(self.alice, "4.50")
        # One hold of hers is ready, another waits.
        for is_put_aside in (False, True):
            book = add_book(name="Persuasion", kind=3)
            rental = services.rent_book(member=self.bob, book=book, at=MONDAY, now=MONDAY)
            place_hold(member=self.alice, book=book, at=MONDAY)
            if is_put_aside:
                place_hold(member=self.carol, book=book, at=MONDAY)
                self.give_back(rental)

    def close(self):
        close_account(member=self.alice, at=MONDAY + DAY)

    def test_no_text_column_contains_personal_data(self):
        families = TokenFamily.objects.filter(user=self.alice).values_list("pk", flat=True)
        traces = {*OF_ALICE.values(), *families, "Zephyr Browser"}
        found = set(self.places(traces))
        # Before closing, to prove that the search finds the data.
        self.assertLessEqual(
            {
                "accounts.User.username",
                "accounts.User.email",
                "accounts.User.name",
                "accounts.User.phone",
                "accounts.User.address",
                "account.EmailAddress.email",
                "admin.LogEntry.object_repr",
                "accounts.TokenFamily.id",
                "usersessions.UserSession.user_agent",
                "sessions.Session.session_data",
            },
            found,
        )
        self.close()
        self.assertEqual(list(self.places(traces)), [])

    def places(self, traces: set[str]) -> Iterator[str]:
        for model in apps.get_models():
            for field in model._meta.concrete_fields:
                if isinstance(field, models.CharField | models.TextField | models.JSONField):
                    texts = self.texts(model, field)
                    if any(trace.lower() in text for trace in traces for text in texts):
                        yield f"{model._meta.label}.{field.name}"

    def texts(self, model: Any, field: Any) -> list[str]:
        rows = model._default_manager.all()
        if model is Session and field.name == "session_data":
            return [str(row.get_decoded()).lower() for row in rows]
        return [str(value).lower() for value in rows.values_list(field.name, flat=True)]

    def test_only_business_records_keep_the_account(self):
        self.close()
        left = {
            f"{relation.related_model._meta.label}.{relation.field.name}"
            for relation in User._meta.related_objects
            if relation.related_model._base_manager.filter(**{relation.field.name: self.alice}).exists()
        }
        self.assertEqual(left, {"rentals.Rental.user", "rentals.LedgerEntry.user", "rentals.Hold.user"})
        closed = User.objects.get(pk=self.alice.pk)
        self.assertFalse(closed.groups.exists() or closed.user_permissions.exists())

    def test_queue_places_pass_to_the_next_member(self):
        self.assertEqual(Hold.objects.ready().get().user, self.alice)
        self.close()
        self.assertFalse(Hold.objects.live().filter(user=self.alice).exists())
        self.assertEqual(Hold.objects.ready().get().user, self.carol)

    def test_rentals_and_ledger_are_kept(self):
        before = [list(model.objects.order_by("pk").values()) for model in (Rental, LedgerEntry)]
        self.close()
        self.assertEqual(
            [list(model.objects.order_by("pk").values()) for model in (Rental, LedgerEntry)], before
        )
        self.assertEqual(ledger.posted_balance(self.alice), 0)

    def test_closed_account_cannot_sign_in_or_rent(self):
        self.close()
        closed = User.objects.get(pk=self.alice.pk)
        self.assertEqual((closed.is_active, closed.has_usable_password()), (False, False))
        self.assertEqual(self.browser.get("/user/email/").status_code, 302)
        with self.assertRaises(TokenError):
            tokens.renew(self.refresh)
        with self.assertRaises(Refusal) as refused:
            self.rent(closed)
        self.assertEqual(refused.exception.code, "member_inactive")

    def test_untracked_session_ends_too(self):
        unknown = Client()
        unknown.force_login(self.alice)
        self.close()
        self.assertEqual(unknown.get("/user/email/").status_code, 302)

    def test_same_person_can_register_again(self):
        self.close()
        anew = open_account(
            username=OF_ALICE["username"], email=OF_ALICE["email"], password=PASSWORD, name=OF_ALICE["name"]
        )
        self.assertNotEqual(anew.pk, self.alice.pk)
        self.assertEqual(ledger.balance(anew, at=MONDAY + DAY).total, 0)

    def test_name_of_closed_account_is_reserved(self):
        self.close()
        name = User.objects.get(pk=self.alice.pk).username
        self.assertTrue(name.startswith(CLOSED_PREFIX))
        for taken in (name, f"{CLOSED_PREFIX}999999"):
            with self.assertRaises(ValidationError):
                open_account(username=taken, email="", password=PASSWORD)

    def test_concurrent_profile_change_is_discarded(self):
        late = User.objects.get(pk=self.alice.pk)
        self.close()
        late.change_profile(name=OF_ALICE["name"], phone=OF_ALICE["phone"])
        late.choose_language("de")
        closed = User.objects.get(pk=self.alice.pk)
        self.assertEqual((closed.name, closed.phone, closed.language), ("", "", ""))

    def test_failure_rolls_everything_back(self):
        with mock.patch.object(User, "save", side_effect=RuntimeError), self.assertRaises(RuntimeError):
            self.close()
        self.assertTrue(self.alice.emailaddress_set.exists())


class ClosingRaceTest(RaceTestCase):
    def test_account_closes_or_rents_but_not_both(self):
        for number in range(4):
            member = User.objects.create_user(f"m{number}", f"m{number}@example.org", PASSWORD)
            book = add_book(name="Emma", kind=3)
            now = timezone.now()
            outcomes = self.run_concurrently(
                partial(close_account, member=member, at=now),
                partial(services.rent_book, member=member, book=book, at=now, now=now),
            )
            refused = [one.code for one in outcomes if isinstance(one, Refusal)]
            self.assertIn(refused, (["books_out"], ["member_inactive"]), (connection.vendor, outcomes))
            member.refresh_from_db()
            self.assertEqual(member.is_active, Rental.objects.filter(user=member).exists())

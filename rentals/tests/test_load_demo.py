"""Tests `load_demo`: the contents of the demo shop, and the refusals."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from random import Random
from typing import Any
from unittest import mock

from allauth.account.models import EmailAddress
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import Count, F, Min, Q, Sum
from django.test import TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from accounts.models import User
from books.models import Book, Copy, Kind
from books.stock import add_book
from lori_assignment.testing.cases import CommittedDataMixin
from rentals import ledger
from rentals.consistency import find_errors
from rentals.demo.history import Shop, play_history
from rentals.demo.people import MEMBERS, STAFF, open_accounts
from rentals.demo.shelves import fill_shelves
from rentals.management.commands import load_demo
from rentals.models import Hold, LedgerEntry, PriceList, Rental

# A Monday, one hour before closing.
NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def load(**options: Any) -> str:
    """Run the command at NOW and return its output."""
    printed = StringIO()
    with mock.patch("lori_assignment.clock.now", return_value=NOW):
        call_command("load_demo", stdout=printed, **options)
    return printed.getvalue()


def contents() -> tuple[int, ...]:
    return tuple(
        model.objects.count() for model in (User, EmailAddress, Book, Copy, Rental, Hold, LedgerEntry)
    )


class DemoDataTest(TestCase):
    printed: str

    @classmethod
    def setUpTestData(cls) -> None:
        cls.printed = load()

    def test_sixty_valid_books_of_every_kind(self) -> None:
        self.assertEqual(Counter(Book.objects.values_list("kind", flat=True)), dict.fromkeys(Kind, 20))
        for book in Book.objects.all():
            book.full_clean()
            self.assertTrue(book.author and book.description and book.language and book.published)

    def test_copies_have_every_status_and_condition(self) -> None:
        self.assertEqual(set(Copy.objects.values_list("status", flat=True)), set(Copy.Status.values))
        self.assertEqual(set(Copy.objects.values_list("condition", flat=True)), set(Copy.Condition.values))
        priced = Copy.objects.exclude(replacement_price=None).count()
        self.assertTrue(0 < priced < Copy.objects.count())

    def test_users_have_valid_profiles(self) -> None:
        for user in User.objects.all():
            user.full_clean()
            self.assertTrue(user.name and user.phone and user.address)
        verified = EmailAddress.objects.filter(email=F("user__email"), primary=True, verified=True)
        self.assertEqual(verified.count(), User.objects.count())

    def test_users_have_every_role(self) -> None:
        roles = Counter(User.objects.values_list("is_staff", "is_superuser"))
        self.assertEqual(roles, {(False, False): 24, (True, False): 2, (True, True): 1})

    def test_rentals_span_a_year(self) -> None:
        self.assertTrue(250 <= Rental.objects.count() <= 350, Rental.objects.count())
        self.assertTrue(15 <= Rental.objects.open().count() <= 30, Rental.objects.open().count())
        first = Rental.objects.aggregate(first=Min("rented_at"))["first"]
        self.assertTrue(NOW - 366 * DAY < first < NOW - 330 * DAY)

    def test_no_event_is_in_the_future(self) -> None:
        self.assertFalse(Rental.objects.filter(Q(rented_at__gt=NOW) | Q(returned_at__gt=NOW)).exists())
        self.assertFalse(LedgerEntry.objects.filter(posted_at__gt=NOW).exists())

    def test_rows_are_in_chronological_order(self) -> None:
        for times in (
            Rental.objects.order_by("ref").values_list("rented_at", flat=True),
            LedgerEntry.objects.order_by("pk").values_list("posted_at", flat=True),
        ):
            self.assertEqual(list(times), sorted(times))

    def test_rentals_follow_joining_and_acquisition(self) -> None:
        too_early = Q(rented_at__lt=F("user__date_joined")) | Q(rented_at__lt=F("copy__book__added_at"))
        self.assertFalse(Rental.objects.filter(too_early).exists())

    def test_some_rentals_are_overdue_or_due_soon(self) -> None:
        self.assertGreaterEqual(Rental.objects.overdue(NOW - DAY).count(), 3)
        due = Rental.objects.open().values_list("due_at__date", flat=True)
        self.assertIn(timezone.localdate(NOW), due)
        self.assertIn(timezone.localdate(NOW + DAY), due)

    def test_some_rentals_are_renewed_and_one_is_void(self) -> None:
        renewed = Rental.objects.filter(renewals__gt=0)
        late_when_renewed = {
            any(renewal > due for renewal, due in rental.due_before) for rental in renewed.open()
        }
        self.assertEqual(late_when_renewed, {False, True})
        self.assertTrue(renewed.exclude(returned_at=None).exists())
        void = Rental.objects.exclude(voided_at=None).get()
        self.assertEqual(void.ledger_entries.aggregate(total=Sum("amount"))["total"], 0)

    def test_ledger_has_every_kind_and_method(self) -> None:
        kinds = set(LedgerEntry.objects.values_list("kind", flat=True))
        self.assertEqual(kinds, {"rent", "payment", "waiver", "reversal"})
        methods = set(LedgerEntry.objects.payments().values_list("method", flat=True))
        self.assertEqual(methods, {"cash", "card", "transfer"})

    def test_some_members_owe_and_some_have_credit(self) -> None:
        theo, nora, tara = (User.objects.get(username=name) for name in ("theo", "nora", "tara"))
        self.assertGreater(ledger.posted_balance(theo), 20)
        self.assertLess(ledger.posted_balance(nora), 0)
        self.assertEqual((tara.rentals.count(), tara.ledger_entries.count()), (0, 0))

    def test_books_are_consistent(self) -> None:
        self.assertEqual(list(find_errors()), [])

    def test_nora_has_most_open_rentals(self) -> None:
        out = Counter(Rental.objects.open().values_list("user__username", flat=True))
        (most, number), (_, next_number) = out.most_common(2)
        self.assertEqual((most, number), ("nora", 5))
        self.assertGreater(number, next_number)

    def test_one_hold_is_ready_and_others_wait(self) -> None:
        ready = Hold.objects.ready().get()
        self.assertEqual(ready.user.username, "yuki")
        self.assertTrue(NOW + DAY < ready.pick_up_by < NOW + 3 * DAY)
        behind = Hold.objects.waiting().get(book=ready.book)
        self.assertEqual((behind.user.username, behind.pk > ready.pk), ("bea", True))
        late = Hold.objects.waiting().exclude(book=ready.book).get()
        self.assertTrue(Rental.objects.overdue(NOW).filter(copy__book=late.book, user__username="milo"))
        self.assertEqual((Hold.objects.past_pick_up(NOW).count(), Hold.objects.count()), (0, 3))
        self.assertIn("3 holds, 2 waiting, 1 ready", self.printed)

    def test_one_rental_costs_the_replacement_price(self) -> None:
        rental = Rental.objects.with_terms().open().get(user__username="gus")
        price = rental.running_price(NOW)
        self.assertEqual((price.lines[-1].what, price.total), ("cap", rental.replacement_price))

    def test_balances_are_the_sums_of_the_entries(self) -> None:
        for member in User.objects.annotate(total=Sum("ledger_entries__amount")):
            self.assertEqual(ledger.posted_balance(member), member.total or 0)

    def test_returned_rentals_have_one_rent_entry(self) -> None:
        is_rent = Q(ledger_entries__kind="rent")
        for rental in Rental.objects.annotate(charges=Count("ledger_entries", filter=is_rent)):
            self.assertEqual(rental.charges, 0 if rental.returned_at is None else 1)

    def test_printed_credentials_work(self) -> None:
        lines = self.printed.partition("Sign in as\n")[2].splitlines()[1:]
        names, passwords, roles = zip(*(line.split(maxsplit=2) for line in lines), strict=True)
        self.assertEqual(names, ("lori", "mara", "nora", "theo"))
        self.assertEqual(roles[:2], ("superuser", "staff"))
        self.assertRegex(roles[2], r"^member, owes [0-9.]+ USD, books on loan: 5$")
        for name, password in zip(names, passwords, strict=True):
            self.assertTrue(self.client.login(username=name, password=password))

    def test_second_run_is_refused(self) -> None:
        before = contents()
        with self.assertRaisesMessage(CommandError, "already has members or books"):
            load()
        self.assertEqual(contents(), before)

    def test_second_run_with_if_empty_changes_nothing(self) -> None:
        before = contents()
        printed = load(if_empty=True)
        self.assertTrue(printed.startswith("The shop already has data; nothing was changed.\n"))
        self.assertEqual(printed.partition("Sign in")[2], self.printed.partition("Sign in")[2])
        self.assertEqual(contents(), before)

    def test_outdated_credentials_are_not_printed(self) -> None:
        lori = User.objects.get(username="lori")
        lori.set_password("a-chapter-a-night")
        lori.save()
        User.objects.filter(username="mara").update(is_active=False)
        printed = load(if_empty=True)
        self.assertNotIn("lori", printed)
        self.assertNotIn("mara", printed)
        self.assertIn("nora", printed)
        self.assertNotIn("Sign in", load(if_empty=True, password="another-password"))


class RefusalTest(TestCase):
    def assert_refused(self, sentence: str, **options: Any) -> None:
        before = contents()
        with self.assertRaisesMessage(CommandError, sentence):
            load(**options)
        self.assertEqual(contents(), before)

    def assert_not_refused(self, **options: Any) -> None:
        with mock.patch.object(load_demo, "play_history"):
            load(**options)
        self.assertEqual(Book.objects.count(), 60)

    def test_shop_with_a_member_is_refused(self) -> None:
        dan = User.objects.create_superuser("dan", "dan@example.net", "x")
        User.objects.filter(pk=dan.pk).update(is_superuser=False)
        self.assert_refused("already has members or books")
        User.objects.filter(pk=dan.pk).update(is_superuser=True)
        self.assert_not_refused()

    def test_a_shop_with_a_book_is_refused(self) -> None:
        book = add_book(name="Middlemarch")
        self.assert_refused("already has members or books")
        book.delete()
        self.assert_not_refused()

    def test_superuser_with_a_demo_name_is_refused(self) -> None:
        dan = User.objects.create_superuser("dan", "dan@example.net", "x")
        for taken in ({"username": "Nora"}, {"email": "NORA@example.org"}):
            User.objects.filter(pk=dan.pk).update(username="dan", email="dan@example.net")
            User.objects.filter(pk=dan.pk).update(**taken)
            self.assert_refused("already has members or books")
        User.objects.filter(pk=dan.pk).update(username="dan", email="dan@example.net")
        self.assert_not_refused()

    def test_if_empty_leaves_another_shop_alone(self) -> None:
        add_book(name="Middlemarch")
        with override_settings(SITE_IS_LOCAL=False):
            self.assertEqual(load(if_empty=True), "The shop already has data; nothing was changed.\n")
        self.assertEqual(Book.objects.count(), 1)

    @override_settings(SITE_IS_LOCAL=False)
    def test_public_shop_refuses_default_password(self) -> None:
        self.assert_refused("--password")
        self.assert_refused("--password", if_empty=True)
        self.assert_refused("--password", password="a-book-a-day")
        self.assert_not_refused(password="every-tide-a-page")

    def test_weak_password_is_refused(self) -> None:
        self.assert_refused("too short", password="page")
        self.assert_not_refused(password="every-tide-a-page")

    def test_given_password_is_set_but_not_printed(self) -> None:
        with mock.patch.object(load_demo, "play_history"):
            printed = load(password="every-tide-a-page")
        self.assertNotIn("every-tide-a-page", printed)
        self.assertRegex(printed, r"lori +\(as given\) +superuser")
        self.assertTrue(self.client.login(username="lori", password="every-tide-a-page"))

    def test_shop_without_usable_prices_is_refused(self) -> None:
        PriceList.objects.all().delete()
        self.assert_refused("policy or prices: There was no price")


class DemoMailTest(CommittedDataMixin, TransactionTestCase):
    def setUp(self) -> None:
        """Skip the usual test accounts: the demo creates its own."""

    def test_demo_history_sends_no_mail(self) -> None:
        waiting = [person for person in MEMBERS if person.username in {"quinn", "yuki", "bea"}]
        with mock.patch.object(load_demo, "MEMBERS", waiting):
            load()
        self.assertEqual(Hold.objects.ready().get().user.username, "yuki")
        self.assertEqual(mail.outbox, [])


class DeterminismTest(TestCase):
    def play(self) -> list[tuple[Any, ...]]:
        """Return the rentals of the first two members' year, and roll them back."""
        with transaction.atomic():
            chance = Random(7)
            books = fill_shelves(now=NOW, chance=chance)
            users = open_accounts(password="x", now=NOW)
            staff = [users[person.username] for person in STAFF]
            shop = Shop(books=books, staff=staff, now=NOW, chance=chance)
            play_history(shop, [(person, users[person.username]) for person in MEMBERS[:2]])
            played = list(
                Rental.objects.order_by("ref").values_list(
                    "user__username", "copy__book__name", "rented_at", "returned_at", "rent_entry__amount"
                )
            )
            transaction.set_rollback(True)
        return played

    def test_the_same_time_gives_the_same_history(self) -> None:
        first = self.play()
        self.assertGreater(len(first), 20)
        self.assertEqual(self.play(), first)

"""Amounts have the places of the shop's currency, which is fixed once there is a rental or a ledger entry."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from unittest import mock

from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import SimpleTestCase, override_settings
from django.utils import timezone, translation

from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.money import format_money, plain_amount, round_amount, scale_amount
from lori_assignment.server import gunicorn_conf
from lori_assignment.testing.cases import CastTestCase
from rentals import ledger
from rentals.checks import check_currency
from rentals.consistency import find_errors
from rentals.currency import CurrencyIsFixed, adopt_currency
from rentals.models import LedgerEntry, Policy, Rate
from rentals.services import rent_book, return_rental

DAY = timedelta(days=1)


class AmountTest(SimpleTestCase):
    def test_amounts_follow_the_currency(self) -> None:
        for currency, text, shown, rounded in [
            ("USD", "4.50", "$4.50", "0.13"),
            ("JPY", "450", "¥450", "0"),
            ("KWD", "4.500", "KWD4.500", "0.125"),
        ]:
            with (
                self.subTest(currency=currency),
                self.settings(CURRENCY=currency),
                translation.override("en"),
            ):
                amount = scale_amount(Decimal("4.50"))
                self.assertEqual((plain_amount(amount), format_money(amount)), (text, shown))
                self.assertEqual(str(round_amount(Decimal("0.125"))), rounded)

    def test_half_is_rounded_away_from_zero(self) -> None:
        with self.settings(CURRENCY="JPY"):
            self.assertEqual(
                [plain_amount(Decimal(amount)) for amount in ("0.5", "-0.5", "0.49")], ["1", "-1", "0"]
            )


class ShopTestCase(CastTestCase):
    book: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        adopt_currency()
        cls.book = add_book(name="Emma", kind=3)
        # Alice had it for four days.
        cls.now = timezone.now()
        then = cls.now - 5 * DAY
        rental = rent_book(member=cls.alice, book=cls.book, at=then, now=then)
        return_rental(rental=rental, at=then + 4 * DAY, actor=cls.carol, now=then + 4 * DAY)

    def pay(self, amount: str) -> dict[str, object]:
        sent = {"user": self.alice.pk, "amount": amount, "method": "cash"}
        answer: dict[str, object] = self.api(self.carol).post("/api/v3/payments/", sent).json()
        return answer


@override_settings(CURRENCY="JPY")
class NoDecimalsTest(ShopTestCase):
    def test_all_strings_of_the_api_are_whole(self) -> None:
        self.assertEqual((self.pay("100")["amount"], self.pay("50")["balance"]), ("100", "450"))
        desk = self.api(self.carol)
        member = f"/book_rentals/users/balance/{self.alice.pk}"
        self.assertEqual(desk.get(f"/api/v1{member}").json()[0]["balance"], "450")
        balance = desk.get(f"/api/v3{member}").json()
        self.assertEqual(
            {name: balance[name] for name in ("balance", "posted", "running", "currency")},
            {"balance": "450", "posted": "450", "running": "0", "currency": "JPY"},
        )
        statement = desk.get(f"/api/v3/book_rentals/users/statement/{self.alice.pk}").json()
        self.assertEqual([entry["amount"] for entry in statement["entries"]], ["600", "-100", "-50"])
        self.assertEqual(
            statement["entries"][0]["working"]["lines"],
            [{"what": "daily", "days": 4, "rate": "150", "amount": "600"}],
        )
        self.assertEqual(desk.get("/api/v3/book_rentals/").json()["results"][0]["charge"], "600")
        quote = desk.get(f"/api/v3/books/{self.book.pk}/quote?days=1").json()
        self.assertEqual((quote["total"], quote["lines"][1]["amount"]), ("450", "300"))
        (tiered,) = (one for one in desk.get("/api/v3/price_lists/").json()["results"] if one["in_force"])
        self.assertEqual([rate["daily_rate"] for rate in tiered["rates"]], ["150", "300", "150"])

    def test_running_cost_is_whole(self) -> None:
        rental = rent_book(member=self.alice, book=self.book, at=self.now, now=self.now)
        answer = self.api(self.alice).get(f"/api/v3/book_rentals/{rental.ref}").json()
        self.assertEqual((answer["running_cost"], answer["charge"]), ("450", None))

    def test_part_of_a_yen_cannot_be_paid(self) -> None:
        for amount in ("0.5", "100.50", "0"):
            self.assertEqual(list(self.pay(amount)), ["amount"], amount)
        self.assertIn("450", str(self.pay("many")["amount"]))
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_administration_takes_and_shows_whole_amounts(self) -> None:
        self.client.force_login(self.dan)
        sent = {"user": "alice", "kind": "payment", "amount": "99.50", "method": "cash", "note": ""}
        self.assertContains(self.client.post("/admin/rentals/ledgerentry/add/", sent), "errorlist")
        self.client.post("/admin/rentals/ledgerentry/add/", sent | {"amount": "99"})
        self.assertEqual(ledger.posted_balance(self.alice), 501)
        listed = self.client.get("/admin/rentals/ledgerentry/").content.decode()
        self.assertIn("-99<", listed)
        self.assertNotIn("99.0", listed)
        self.assertContains(self.client.get("/admin/rentals/policy/1/change/"), 'value="5000"')

    def test_copy_has_a_whole_price_within_the_column(self) -> None:
        path = f"/api/v3/copies/{self.book.copies.get().pk}"
        for price in ("0", "0.5", "1000000"):
            answer = self.api(self.carol).patch(path, {"replacement_price": price})
            self.assertEqual((answer.status_code, list(answer.json())), (400, ["replacement_price"]))
        self.assertEqual(
            self.api(self.carol).patch(path, {"replacement_price": "2490"}).json()["replacement_price"],
            "2490",
        )

    def test_spreadsheet_has_whole_amounts(self) -> None:
        self.client.force_login(self.alice)
        with mock.patch("lori_assignment.clock.now", return_value=self.now):
            path = f"/balance/statements/{self.now - DAY:%Y-%m}.csv"
            rows = list(csv.reader(io.StringIO(self.client.get(path).getvalue().decode())))
        self.assertEqual(rows[-1][-3:], ["600", "600", "JPY"])

    def test_amount_of_too_many_places_is_never_stored(self) -> None:
        with self.assertRaisesMessage(ValueError, "0.5 cannot be paid in JPY."):
            Rate.objects.update(late_fee=Decimal("0.5"))

    def test_stored_part_of_a_yen_is_reported(self) -> None:
        self.assertEqual(list(find_errors()), [])
        with connection.cursor() as cursor:
            cursor.execute("UPDATE rentals_policy SET debt_limit = 0.5")
        self.assertEqual(
            list(find_errors()), ["Policy 1 has a value of debt_limit that can't be paid in JPY."]
        )


@override_settings(CURRENCY="KWD")
class ThreeDecimalsTest(ShopTestCase):
    def test_thousandths_are_kept(self) -> None:
        self.assertEqual(self.pay("0.001")["balance"], "5.999")
        self.assertEqual(list(self.pay("0.0001")), ["amount"])
        self.assertEqual(LedgerEntry.objects.get(number=2).amount, Decimal("-0.001"))
        path = f"/api/v2/book_rentals/users/balance/{self.alice.pk}"
        self.assertEqual(self.api(self.alice).get(path).json()[0]["balance"], "5.999")

    def test_administration_takes_thousandths(self) -> None:
        self.client.force_login(self.dan)
        change = f"/admin/books/copy/{self.book.copies.get().pk}/change/"
        sent = {"barcode": "E-1", "condition": "good", "status": "in_service", "replacement_price": "24.905"}
        self.assertRedirects(self.client.post(change, sent), "/admin/books/copy/")
        self.assertEqual(Copy.objects.get().replacement_price, Decimal("24.905"))


class AdoptCurrencyTest(CastTestCase):
    def tiered(self) -> list[tuple[Decimal, ...]]:
        rates = Rate.objects.filter(price_list__name="Tiered").order_by("kind")
        return [(rate.first_days_rate, rate.daily_rate, rate.minimum) for rate in rates]

    def test_empty_shop_is_scaled_and_back(self) -> None:
        before = self.tiered()
        for currency, factor in [("JPY", 100), ("KWD", 1), ("JPY", 100), ("USD", 1)]:
            with self.subTest(currency=currency), self.settings(CURRENCY=currency):
                call_command("adopt_currency", stdout=io.StringIO())
                self.assertEqual(self.tiered(), [tuple(factor * one for one in rate) for rate in before])
                policy = Policy.current()
                self.assertEqual((policy.debt_limit, policy.currency), (factor * 50, currency))

    def test_first_start_scales_once(self) -> None:
        Policy.objects.update(currency="")
        with self.settings(CURRENCY="JPY"):
            self.assertTrue(adopt_currency())
            self.assertFalse(adopt_currency())
            self.assertEqual(Policy.current().debt_limit, 5000)

    def test_shop_from_before_keeps_its_amounts(self) -> None:
        Policy.objects.update(currency="")
        add_book(name="Emma", kind=3)
        with self.settings(CURRENCY="KRW"):
            with self.assertRaisesMessage(
                CommandError, "The shop has amounts that can't be paid in KRW, such as"
            ):
                call_command("adopt_currency")
            self.assertEqual(Policy.current().currency, "")
            Rate.objects.update(first_days_rate=100, daily_rate=150, minimum=200, late_fee=0)
            self.assertFalse(adopt_currency())
            self.assertEqual((Policy.current().debt_limit, Policy.current().currency), (50, "KRW"))

    def test_replacement_prices_are_scaled_too(self) -> None:
        add_book(name="Emma", kind=3)
        Copy.objects.update(replacement_price=Decimal("24.90"))
        with self.settings(CURRENCY="JPY"):
            adopt_currency()
            self.assertEqual(Copy.objects.get().replacement_price, 2490)

    def test_currency_is_fixed_by_a_rental_or_an_entry(self) -> None:
        adopt_currency()
        self.assertEqual(check_currency(databases=["default"]), [])
        now = timezone.now()
        rental = rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        for _ in range(2):
            with self.settings(CURRENCY="JPY"):
                sentence = (
                    "CURRENCY is JPY, but the shop's rentals and ledger entries are in USD. It can't change "
                    "any more: set CURRENCY=USD."
                )
                with self.assertRaisesMessage(CurrencyIsFixed, sentence):
                    adopt_currency()
                with self.assertRaisesMessage(CommandError, sentence):
                    call_command("adopt_currency")
                self.assertEqual([error.msg for error in check_currency(databases=["default"])], [sentence])
            self.assertEqual(self.tiered()[2], (0, Decimal("1.50"), Decimal("4.50")))
            if rental.returned_at is None:
                rental = return_rental(rental=rental, at=now, actor=self.carol, now=now)

    def test_server_waits_for_migrate_to_scale(self) -> None:
        adopt_currency()
        with mock.patch("django.db.connections.close_all"), self.settings(CURRENCY="JPY"):
            with self.assertRaises(SystemExit) as stopped:
                gunicorn_conf.check_database()
            self.assertIn("The shop's amounts are in USD.", str(stopped.exception.code))
            adopt_currency()
            gunicorn_conf.check_database()

    def test_database_keeps_the_currency_of_the_ledger(self) -> None:
        Policy.objects.update(currency="JPY")
        Policy.objects.update(currency="USD")
        now = timezone.now()
        rental = rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        return_rental(rental=rental, at=now, actor=self.carol, now=now)
        Policy.objects.update(currency="USD")
        with self.assertRaises(IntegrityError), transaction.atomic():
            Policy.objects.update(currency="JPY")

    def test_server_stops_with_one_sentence(self) -> None:
        now = timezone.now()
        rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        with mock.patch("django.db.connections.close_all"):
            gunicorn_conf.check_database()
            with self.settings(CURRENCY="JPY"), self.assertRaises(SystemExit) as stopped:
                gunicorn_conf.check_database()
        self.assertRegex(
            str(stopped.exception.code), r"\ALori Books cannot start: CURRENCY is JPY, but .*\.\Z"
        )

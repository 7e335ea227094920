"""Tests balances, statements, payments and price lists in the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import ledger
from rentals.models import LedgerEntry, PriceList, Rental
from rentals.services import rent_book, return_rental
from rentals.tests.test_pricing import WORKED, WORKED_DAYS

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class MoneyTestCase(CastTestCase):
    novel: Book
    cosmos: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.novel = add_book(name="Emma", kind=3)
        cls.cosmos = add_book(name="Cosmos", kind=1)
        # Alice had Emma for four days (6.00), and has had Cosmos for three days less an hour (3.50).
        now = timezone.now()
        then = now - 30 * DAY
        returned = rent_book(member=cls.alice, book=cls.novel, at=then, now=then)
        return_rental(rental=returned, at=then + 4 * DAY, actor=cls.carol, now=then + 4 * DAY)
        start = now - 3 * DAY + HOUR
        cls.open = rent_book(member=cls.alice, book=cls.cosmos, at=start, now=start)

    open: Rental


class BalanceTest(MoneyTestCase):
    def test_older_versions_return_a_list_of_one(self) -> None:
        for version in ("v1", "v2"):
            answer = self.api(self.alice).get(f"/api/{version}/book_rentals/users/balance/{self.alice.pk}")
            self.assertEqual(answer.json(), [{"user_id": self.alice.pk, "balance": "9.50"}])

    def test_v3_returns_posted_and_running_amounts(self) -> None:
        answer = self.api(self.carol).get(f"/api/v3/book_rentals/users/balance/{self.alice.pk}/")
        self.assertEqual(
            answer.json(),
            {
                "user_id": self.alice.pk,
                "currency": "USD",
                "balance": "9.50",
                "posted": "6.00",
                "running": "3.50",
                "open_rentals": 1,
            },
        )

    def test_account_of_other_member_is_404(self) -> None:
        for what in ("balance", "statement"):
            his = self.api(self.bob).get(f"/api/v3/book_rentals/users/{what}/{self.alice.pk}")
            absent = self.api(self.bob).get(f"/api/v3/book_rentals/users/{what}/987654")
            self.assertEqual((his.status_code, his.content), (404, absent.content))
            own = self.api(self.alice).get(f"/api/v3/book_rentals/users/{what}/{self.alice.pk}")
            self.assertEqual(own.status_code, 200)


class StatementTest(MoneyTestCase):
    def test_statement_lists_entries_and_open_rentals(self) -> None:
        statement = self.api(self.alice).get(f"/api/v3/book_rentals/users/statement/{self.alice.pk}").json()
        self.assertEqual((statement["balance"], statement["posted"]), ("9.50", "6.00"))
        (entry,) = statement["entries"]
        self.assertEqual((entry["kind"], entry["amount"], entry["posted"]), ("rent", "6.00", "6.00"))
        self.assertEqual(
            entry["working"]["lines"], [{"what": "daily", "days": 4, "rate": "1.50", "amount": "6.00"}]
        )
        self.assertEqual([rental["ref"] for rental in statement["open_rentals"]], [self.open.ref])

    def test_reversal_names_its_entry(self) -> None:
        rental = Rental.objects.get(returned_at__isnull=False)
        self.api(self.carol).delete(f"/api/v3/book_rentals/{rental.ref}")
        path = f"/api/v3/book_rentals/users/statement/{self.alice.pk}"
        entries = self.api(self.alice).get(path).json()["entries"]
        self.assertEqual([(entry["number"], entry["reverses"]) for entry in entries], [(1, None), (2, 1)])

    def test_statement_is_paginated(self) -> None:
        for _ in range(2):
            self.pay()
        path = f"/api/v3/book_rentals/users/statement/{self.alice.pk}?page_size=2"
        first = self.api(self.alice).get(path).json()
        second = self.api(self.alice).get(first["next"]).json()
        self.assertEqual([entry["number"] for entry in first["entries"]], [1, 2])
        self.assertEqual([entry["number"] for entry in second["entries"]], [3])
        self.assertIsNone(second["next"])

    def pay(self) -> None:
        sent = {"user": self.alice.pk, "amount": "1.00", "method": "cash"}
        self.api(self.carol).post("/api/v3/payments/", sent)

    def test_query_count_is_constant(self) -> None:
        client = self.api(self.alice)
        path = f"/api/v3/book_rentals/users/statement/{self.alice.pk}"
        for _ in range(2):
            # Open rentals, last balance, entries.
            with self.assertNumQueries(3):
                client.get(path)
            self.pay()


class PaymentTest(MoneyTestCase):
    def pay(self, **changes: Any) -> Any:
        sent = {"user": self.alice.pk, "amount": "5.00", "method": "card", "note": "Thanks"} | changes
        return self.api(self.carol).post("/api/v3/payments/", sent)

    def test_staff_take_a_payment(self) -> None:
        answer = self.pay()
        self.assertEqual(answer.status_code, 201)
        paid = answer.json()
        self.assertEqual((paid["amount"], paid["posted"], paid["taken_by"]), ("5.00", "1.00", self.carol.pk))
        self.assertEqual(LedgerEntry.objects.get(pk=paid["id"]).amount, -5)

    def test_posted_means_the_ledger_alone_everywhere(self) -> None:
        paid = self.pay().json()
        account = f"/api/v3/book_rentals/users/statement/{self.alice.pk}"
        statement = self.api(self.alice).get(account).json()
        last = statement["entries"][-1]
        self.assertEqual({paid["posted"], last["posted"], statement["posted"]}, {"1.00"})
        self.assertEqual(statement["balance"], "4.50")
        # The old name, kept for clients.
        self.assertEqual((paid["balance"], last["balance"]), ("1.00", "1.00"))

    def test_overpayment_is_refused(self) -> None:
        self.assertEqual(self.pay(amount="9.51").json()["code"], "overpayment")
        self.assertEqual(LedgerEntry.objects.count(), 1)
        self.assertEqual(self.pay(amount="9.50").status_code, 201)

    def test_members_only_read_their_own_payments(self) -> None:
        payment = self.pay().json()["id"]
        sent = {"user": self.alice.pk, "amount": "1.00", "method": "cash"}
        self.assertEqual(self.api(self.alice).post("/api/v3/payments/", sent).status_code, 403)
        seen = self.api(self.alice).get("/api/v3/payments/").json()["results"]
        self.assertEqual([row["id"] for row in seen], [payment])
        self.assertEqual(self.api(self.bob).get("/api/v3/payments/").json()["results"], [])
        self.assertEqual(self.api(self.alice).get(f"/api/v3/payments/{payment}").status_code, 200)
        self.assertEqual(self.api(self.bob).get(f"/api/v3/payments/{payment}").status_code, 404)
        seen = self.api(self.carol).get(f"/api/v3/payments/?user={self.alice.pk}").json()["results"]
        self.assertEqual([row["id"] for row in seen], [payment])

    def test_payment_names_its_entry_and_its_reversal(self) -> None:
        paid = self.pay(method="card").json()
        self.assertEqual((paid["entry"], paid["reversed_by"]), (2, None))
        payment = LedgerEntry.objects.get(pk=paid["id"])
        reversal = ledger.reverse(entry=payment, actor=self.carol, at=timezone.now())
        self.assertEqual((reversal.method, reversal.amount), ("card", 5))
        for path in ("/api/v3/payments/", f"/api/v3/payments/{payment.pk}"):
            answer = self.api(self.alice).get(path).json()
            (seen,) = answer.get("results", [answer])
            self.assertEqual((seen["entry"], seen["reversed_by"]), (2, 3))
        path = f"/api/v3/book_rentals/users/statement/{self.alice.pk}"
        entries = self.api(self.alice).get(path).json()["entries"]
        facts = [
            (entry["kind"], entry["payment"], entry["reversed_by"], entry["method"]) for entry in entries
        ]
        self.assertEqual(
            facts,
            [
                ("rent", None, None, ""),
                ("payment", payment.pk, 3, "card"),
                ("reversal", None, None, "card"),
            ],
        )

    def test_earlier_reversal_shows_the_method_of_its_entry(self) -> None:
        payment = LedgerEntry.objects.get(pk=self.pay(method="card").json()["id"])
        facts = {"user": self.alice, "number": 3, "kind": "reversal", "amount": 5, "balance": 6}
        LedgerEntry.objects.create(**facts, reverses=payment, actor=self.carol, posted_at=timezone.now())
        path = f"/api/v3/book_rentals/users/statement/{self.alice.pk}"
        self.assertEqual(self.api(self.alice).get(path).json()["entries"][2]["method"], "card")

    def test_list_is_filtered(self) -> None:
        card = self.pay(method="card", amount="1.00").json()
        sent = {"user": self.alice.pk, "amount": "2.00", "method": "cash"}
        cash = self.api(self.dan).post("/api/v3/payments/", sent).json()
        tomorrow = f"{timezone.now() + DAY:%Y-%m-%d}"
        for query, found in [
            ("method=card", [card]),
            (f"taken_by={self.dan.pk}", [cash]),
            (f"taken_by={self.dan.pk}&method=card", []),
            (f"from={cash['taken_at']}", [cash]),
            (f"until={cash['taken_at']}", [card]),
            (f"from={card['taken_at']}&until={tomorrow}", [cash, card]),
            (f"from={tomorrow}", []),
        ]:
            with self.subTest(query=query):
                answer = self.api(self.carol).get(f"/api/v3/payments/?{query}").json()
                self.assertEqual([one["id"] for one in answer["results"]], [one["id"] for one in found])
        self.assertEqual(self.api(self.bob).get("/api/v3/payments/?method=card").json()["results"], [])

    def test_filtered_list_is_paginated(self) -> None:
        paid = [self.pay(amount="1.00").json()["id"] for _ in range(3)]
        first = self.api(self.carol).get("/api/v3/payments/?from=2020-01-01&page_size=2").json()
        second = self.api(self.carol).get(first["next"]).json()
        seen = [one["id"] for one in first["results"] + second["results"]]
        self.assertEqual((seen, second["next"]), (paid[::-1], None))

    def test_invalid_filter_is_a_field_error(self) -> None:
        for name, value in [
            ("method", "coins"),
            ("taken_by", "carol"),
            ("from", "yesterday"),
            ("until", "2026-13-01"),
            ("from", "0001-01-01"),
        ]:
            with self.subTest(name=name, value=value):
                answer = self.api(self.carol).get(f"/api/v3/payments/?{name}={value}")
                self.assertEqual((answer.status_code, list(answer.json())), (400, [name]))

    def test_a_charge_is_not_a_payment(self) -> None:
        charge = LedgerEntry.objects.get()
        self.assertEqual(self.api(self.carol).get(f"/api/v3/payments/{charge.pk}").status_code, 404)

    def test_invalid_amount_is_a_field_error(self) -> None:
        for amount in (
            "0",
            "-1",
            "1.001",
            "1_0",
            "1e1",
            "NaN",
            "Infinity",
            "",
            None,
            True,
            [],
            {},
            "9" * 400,
        ):
            with self.subTest(amount=amount):
                answer = self.pay(amount=amount)
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["amount"]))
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_invalid_method_or_user_is_a_field_error(self) -> None:
        self.assertEqual(list(self.pay(method="cowries").json()), ["method"])
        for user in (987654, "1_0", "", None, True, 1.5, "-1"):
            with self.subTest(user=user):
                self.assertEqual(list(self.pay(user=user).json()), ["user"])


def _rates(**changes: Any) -> list[dict[str, Any]]:
    return [{"book_type": kind, "daily_rate": "2.00"} | changes for kind in (1, 2, 3)]


class PriceListTest(MoneyTestCase):
    path = "/api/v3/price_lists/"

    def make(self, **changes: Any) -> Any:
        return self.api(self.carol).post(self.path, {"name": "Winter", "rates": _rates()} | changes)

    def test_anyone_reads_lists_and_current_one(self) -> None:
        for user in (None, self.alice, self.carol):
            lists = self.api(user).get(self.path).json()["results"]
            self.assertEqual(
                [(row["name"], row["in_force"], row["used"]) for row in lists],
                [("Flat", False, False), ("By kind", False, False), ("Tiered", True, True)],
            )
        regular = lists[2]["rates"][0]
        self.assertEqual((regular["first_days"], regular["minimum"]), (2, "2.00"))

    def test_new_list_takes_effect_at_once(self) -> None:
        self.assertEqual(self.api(self.alice).post(self.path, {}).status_code, 403)
        made = self.make().json()
        self.assertTrue(made["in_force"])
        bought = self.api(self.bob).post("/api/v3/book_rentals/", {"book": self.novel.pk}).json()
        self.assertEqual((bought["price_list"], bought["running_cost"]), ("Winter", "2.00"))

    def test_unused_list_is_changed_and_deleted(self) -> None:
        made = self.make(in_force_from=(timezone.now() + DAY).isoformat()).json()
        path = f"{self.path}{made['id']}"
        client = self.api(self.carol)
        changed = client.patch(path, {"rates": _rates(daily_rate="2.50")}).json()
        self.assertEqual([rate["daily_rate"] for rate in changed["rates"]], ["2.50"] * 3)
        self.assertEqual(client.patch(path, {"name": "Frost"}).json()["name"], "Frost")
        put = client.put(path, {"name": "Thaw", "rates": _rates()}).json()
        self.assertEqual((put["name"], put["in_force_from"]), ("Thaw", made["in_force_from"]))
        self.assertEqual(client.delete(path).status_code, 204)
        self.assertEqual(PriceList.objects.count(), 3)

    def test_used_list_cannot_be_changed(self) -> None:
        tiered = PriceList.objects.get(name="Tiered")
        path = f"{self.path}{tiered.pk}/"
        client = self.api(self.carol)
        for answer in (
            client.patch(path, {"name": "Dear"}),
            client.put(path, {"name": "Dear", "rates": _rates()}),
            client.delete(path),
        ):
            self.assertEqual((answer.status_code, answer.json()["code"]), (409, "price_list_used"))
        self.assertEqual(PriceList.objects.filter(name="Tiered").count(), 1)

    def test_patch_requires_complete_rates(self) -> None:
        made = self.make().json()
        path = f"{self.path}{made['id']}"
        for rates in (
            [{"book_type": kind} for kind in (1, 2, 3)],
            [{"daily_rate": "1.00"} for _ in range(3)],
            [{}, {}, {}],
        ):
            answer = self.api(self.carol).patch(path, {"rates": rates})
            self.assertEqual((answer.status_code, list(answer.json())), (400, ["rates"]))

    def test_highest_charge_fits_the_ledger(self) -> None:
        self.assertEqual(list(self.make(rates=_rates(daily_rate="1000000.00")).json()), ["rates"])
        since = "1970-01-01T00:00:00Z"
        made = self.make(rates=_rates(daily_rate="999999.99", late_fee="999999.99"), in_force_from=since)
        self.assertEqual(made.status_code, 201)
        desk = self.api(self.carol)
        book = add_book(name="Persuasion", kind=3)
        sent = {"book": book.pk, "user": self.bob.pk, "date_rented": since}
        ref = desk.post("/api/v3/book_rentals/", sent).json()["ref"]
        for _ in range(2):
            self.assertEqual(desk.post(f"/api/v3/book_rentals/{ref}/renew").status_code, 200)
        returned = desk.post(f"/api/v3/book_rentals/{ref}/return")
        self.assertEqual(returned.status_code, 200)
        self.assertGreater(float(returned.json()["charge"]), 40_000_000_000)
        self.assertEqual(desk.get("/api/v3/book_rentals/").status_code, 200)

    def test_every_kind_needs_exactly_one_rate(self) -> None:
        for rates in (_rates()[:2], _rates() + _rates()[:1], [], "x", [1], None):
            with self.subTest(rates=rates):
                answer = self.make(rates=rates)
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["rates"]))

    def test_first_day_must_cost_something(self) -> None:
        self.assertEqual(self.make(rates=_rates(daily_rate="0.00")).status_code, 400)
        self.assertEqual(self.make(rates=_rates(first_days=2)).status_code, 400)
        self.assertEqual(self.make(rates=_rates(daily_rate="0.00", minimum="0.01")).status_code, 201)

    def test_taken_name_or_time_is_a_field_error(self) -> None:
        self.assertEqual(list(self.make(name="Tiered").json()), ["name"])
        taken = PriceList.objects.get(name="Tiered").in_force_from.isoformat()
        self.assertEqual(list(self.make(in_force_from=taken).json()), ["in_force_from"])


class WorkedTableTest(CastTestCase):
    """Every amount of the worked table, for rentals recorded with a past date."""

    def test_charges_match_the_worked_table(self) -> None:
        for list_name in ("Flat", "By kind", "Tiered"):
            self._bring_into_force(list_name)
            for kind in (1, 2, 3):
                for number, days in enumerate(WORKED_DAYS):
                    version = ("v1", "v2", "v3")[number % 3]
                    with self.subTest(price_list=list_name, kind=kind, days=days):
                        self.assertEqual(self._charge(version, kind, days), WORKED[list_name, kind][number])

    def _bring_into_force(self, name: str) -> None:
        """Create a list with the rates of `name`, in force since before the rentals began."""
        rates = next(
            row["rates"]
            for row in self.api().get("/api/v3/price_lists/").json()["results"]
            if row["name"] == name
        )
        since = timezone.now() - (40 - PriceList.objects.count()) * DAY
        made = self.api(self.carol).post(
            "/api/v3/price_lists/",
            {"name": f"{name} again", "in_force_from": since.isoformat(), "rates": rates},
        )
        self.assertEqual(made.status_code, 201)

    def _charge(self, version: str, kind: int, days: int) -> str:
        desk = self.api(self.carol)
        book = desk.post(f"/api/{version}/books/", {"name": f"{kind} {days}", "book_type": kind}).json()["id"]
        # An hour less, so that exactly `days` days have started.
        began = timezone.now() - days * DAY + HOUR
        sent = {"book": book, "user": self.alice.pk, "date_rented": began.isoformat()}
        ref = desk.post(f"/api/{version}/book_rentals/create", sent).json()["ref"]
        returned = desk.put(f"/api/{version}/book_rentals/{ref}", {"status": 1})
        self.assertEqual(returned.json()["status"], 1)
        return desk.get(f"/api/v3/book_rentals/{ref}").json()["charge"]

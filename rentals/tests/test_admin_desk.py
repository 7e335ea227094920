"""Tests rentals and the ledger in the administration."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

from django.utils import timezone

from books.models import Copy
from rentals import ledger, services
from rentals.admin.ledger import CreditForm
from rentals.models import LedgerEntry, Policy, Rental
from rentals.tests.test_admin import ShopAdminTestCase


class RentalAdminTest(ShopAdminTestCase):
    def listed(self, **query: Any) -> list[Rental]:
        return list(self.counter.get(self.page("rental_changelist"), query).context["cl"].result_list)

    def test_search_finds_ref_member_copy_and_book(self) -> None:
        mine, other = self.rent(), self.rent(self.bob)
        for words, found in (
            (mine.ref, [mine]),
            ("alice", [mine]),
            ("reed", [other]),
            (other.copy.barcode, [other]),
            ("emma", [other, mine]),
            ("9" * 30, []),
        ):
            self.assertEqual(self.listed(q=words), found)

    def test_state_filter_selects_rentals(self) -> None:
        Copy.objects.bulk_create(Copy(book=self.novel, barcode=f"x{n}") for n in range(2))
        out, overdue = self.rent(), self.rent(self.bob, days_ago=20)
        returned, void = self.rent(self.carol), self.rent(self.dan)
        self.act("rental", "return_now", returned)
        self.act("rental", "make_void", void)
        found = {state: self.listed(state=state) for state in ("out", "overdue", "returned", "void")}
        self.assertEqual(
            found, {"out": [overdue, out], "overdue": [overdue], "returned": [returned], "void": [void]}
        )
        page = self.counter.get(self.page("rental_changelist"))
        for row, state in ((out, "on loan"), (overdue, "overdue"), (void, "void")):
            self.assertContains(page, f'<td class="field-state">{state}</td>', html=True)
            self.assertContains(page, f">{row.ref}</a>")
        self.assertContains(page, '<td class="field-charge">4.50</td>', html=True)

    def test_changelist_query_count_is_constant(self) -> None:
        self.rent()
        with self.assertNumQueries(6):
            self.listed()
        self.rent(self.bob)
        with self.assertNumQueries(6):
            self.listed()

    def test_return_action_returns_selected_rentals(self) -> None:
        first, second = self.rent(days_ago=5), self.rent(self.bob)
        self.assertEqual(
            self.act("rental", "return_now", first, second),
            [
                "Returned “Emma”. Charged $4.50; Bob Reed now owes $4.50.",
                "Returned “Emma”. Charged $9.00; Alice Moss now owes $9.00.",
            ],
        )
        first.refresh_from_db()
        self.assertEqual(first.charge, Decimal("9.00"))
        self.assertEqual(first.rent_entry.actor, self.carol)
        self.assertFalse(Rental.objects.open().exists())

    def test_return_of_a_prepaid_rental_leaves_nothing_owed(self) -> None:
        rental = self.rent()
        ledger.take_payment(
            member=self.alice,
            amount=Decimal("4.50"),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=timezone.now(),
        )
        told = self.act("rental", "return_now", rental)
        self.assertEqual(told, ["Returned “Emma”. Charged $4.50; Alice Moss owes nothing."])

    def test_return_action_reports_refusals(self) -> None:
        returned, out = self.rent(), self.rent(self.bob)
        self.act("rental", "return_now", returned)
        told = self.act("rental", "return_now", returned, out)
        self.assertEqual(
            told,
            [
                f"#{returned.ref}: This book has already been returned.",
                "Returned “Emma”. Charged $4.50; Bob Reed now owes $4.50.",
            ],
        )
        self.assertEqual(LedgerEntry.objects.count(), 2)

    def test_many_refusals_are_counted(self) -> None:
        returned = [self.rent(), self.rent(self.bob)]
        for rental in returned:
            self.act("rental", "return_now", rental)
        with mock.patch("lori_assignment.admin.MAX_ROW_MESSAGES", 1):
            told = self.act("rental", "return_now", *returned)
        self.assertEqual(len(told), 2)
        self.assertEqual(told[1], "1 more was refused.")

    def test_renew_action_stops_at_renewal_limit(self) -> None:
        Policy.objects.update(max_renewals=1)
        rental = self.rent()
        due = rental.due_at
        self.assertEqual(self.act("rental", "renew", rental), ["Renewed 1 rental."])
        told = self.act("rental", "renew", rental)
        self.assertEqual(told, [f"#{rental.ref}: No renewals left."])
        rental.refresh_from_db()
        self.assertEqual(rental.due_at - due, timedelta(days=14))

    def test_void_action_voids_a_rental_once(self) -> None:
        rental = self.rent()
        self.act("rental", "return_now", rental)
        self.assertEqual(self.act("rental", "make_void", rental), ["Voided 1 rental."])
        self.assertEqual(self.act("rental", "make_void", rental), [f"#{rental.ref}: This rental is void."])
        rental.refresh_from_db()
        self.assertEqual((rental.voided_by, ledger.posted_balance(self.alice)), (self.carol, 0))

    def test_rental_is_read_only(self) -> None:
        rental = self.rent()
        self.counter = self.signed_in(self.dan)
        page = self.counter.get(self.page("rental_change", rental))
        self.assertContains(page, "Tiered: novel")
        self.assertNotContains(page, 'name="due_at_0"')
        self.assertEqual(self.send("rental_change", rental, renewals=9).status_code, 403)
        self.assertEqual(self.send("rental_delete", rental, post="yes").status_code, 403)
        self.assertEqual(self.send("rental_add").status_code, 403)


class LedgerAdminTest(ShopAdminTestCase):
    def setUp(self) -> None:
        super().setUp()
        rental = self.rent()
        now = timezone.now()
        # Alice owes 4.50.
        services.return_rental(rental=rental, at=now, actor=self.carol, now=now)
        self.charge = LedgerEntry.objects.get()

    def credit(self, **fields: Any) -> Any:
        whole = {"user": "alice", "kind": "payment", "amount": "2.00", "method": "cash", "note": ""}
        return self.send("ledgerentry_add", **whole | fields)

    def test_payment_is_recorded(self) -> None:
        told = self.told(self.credit(note="Exact change"))
        entry = LedgerEntry.objects.payments().get()
        self.assertEqual((entry.user, entry.actor, entry.method), (self.alice, self.carol, "cash"))
        self.assertEqual((str(entry.amount), str(entry.balance)), ("-2.00", "2.50"))
        self.assertEqual(entry.note, "Exact change")
        self.assertIn("payment -2.00", told[0])

    def test_member_is_found_by_username_or_email(self) -> None:
        for number, name in enumerate(("ALICE", " alice@Example.org "), start=1):
            self.told(self.credit(user=name, amount="1.00"))
            self.assertEqual(LedgerEntry.objects.payments().filter(user=self.alice).count(), number)
        for nobody in ("alicia", "", "alice@"):
            self.assertEqual(list(self.errors(self.credit(user=nobody))), ["user"])

    def test_waiver_requires_a_note(self) -> None:
        self.assertEqual(list(self.errors(self.credit(kind="waiver", method=""))), ["note"])
        self.told(self.credit(kind="waiver", method="", note="Flooded flat"))
        entry = LedgerEntry.objects.get(kind="waiver")
        self.assertEqual((str(entry.amount), entry.note, entry.method), ("-2.00", "Flooded flat", ""))

    def test_credit_is_refunded(self) -> None:
        self.told(self.credit(amount="4.50"))
        self.act("rental", "make_void", Rental.objects.get())
        self.assertIn("less than $4.51", self.errors(self.credit(kind="refund", amount="4.51"))["amount"][0])
        self.assertEqual(
            list(self.errors(self.credit(kind="refund", amount="4.50", method=""))), ["method", "note"]
        )
        told = self.told(self.credit(kind="refund", amount="4.50", note="Charged by mistake."))
        self.assertIn("refund 4.50", told[0])
        self.assertEqual(ledger.posted_balance(self.alice), 0)

    def test_invalid_value_is_a_field_error(self) -> None:
        for field, value in (
            *(("amount", amount) for amount in ("4.51", "0", "-1", "1.001", "NaN", "")),
            *(("method", method) for method in ("", "gold")),
            *(("kind", kind) for kind in ("", "rent", "reversal")),
            ("note", "x" * 501),
        ):
            with self.subTest(field=field, value=value):
                self.assertIn(field, self.errors(self.credit(**{field: value})))
        self.assertEqual(LedgerEntry.objects.count(), 1)
        self.assertIn("less than $4.51", self.errors(self.credit(amount="4.51"))["amount"][0])
        self.told(self.credit(amount="4.50"))

    def test_concurrent_overpayment_is_an_error(self) -> None:
        with mock.patch.object(CreditForm, "clean", lambda form: form.cleaned_data):
            answer = self.credit(amount="4.51")
        self.assertIn("less than $4.51", self.told(answer)[0])
        self.assertEqual(answer.url, self.page("ledgerentry_add"))
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_a_payment_is_reversed_once(self) -> None:
        self.told(self.credit())
        payment = LedgerEntry.objects.payments().get()
        self.assertEqual(self.act("ledgerentry", "reverse", payment), ["Reversed 1 entry."])
        reversal = LedgerEntry.objects.get(reverses=payment)
        self.assertEqual((str(reversal.amount), reversal.actor), ("2.00", self.carol))
        told = self.act("ledgerentry", "reverse", payment, self.charge)
        self.assertEqual(told[0], "payment -2.00: This entry has already been reversed.")
        self.assertIn("rental charge 4.50: Only payments, waivers and refunds can be reversed.", told[1])
        self.assertEqual((len(told), LedgerEntry.objects.count()), (2, 3))

    def test_entry_is_read_only_and_shows_working(self) -> None:
        self.counter = self.signed_in(self.dan)
        page = self.counter.get(self.page("ledgerentry_change", self.charge))
        self.assertContains(page, "price_list")
        self.assertNotContains(page, 'name="amount"')
        self.assertEqual(self.send("ledgerentry_change", self.charge, amount="1").status_code, 403)
        self.assertEqual(self.send("ledgerentry_delete", self.charge, post="yes").status_code, 403)
        listed = self.counter.get(self.page("ledgerentry_changelist"), {"q": "moss"})
        self.assertContains(listed, '<td class="field-balance">4.50</td>', html=True)
        self.assertNotContains(listed, "delete_selected")

"""Tests rentals and the ledger in the administration."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape

from books.models import Copy
from books.stock import add_book
from rentals import holds, ledger, services
from rentals.admin.ledger import CreditForm
from rentals.admin.rentals import Return, Void
from rentals.admin.row_actions import _digest, _perform
from rentals.errors import AlreadyReturned
from rentals.models import LedgerEntry, Policy, Rate, Rental
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
        self.act("rental", "return", returned)
        self.act("rental", "void", void)
        found = {state: self.listed(state=state) for state in ("out", "overdue", "returned", "void")}
        self.assertEqual(
            found, {"out": [overdue, out], "overdue": [overdue], "returned": [returned], "void": [void]}
        )
        page = self.counter.get(self.page("rental_changelist"))
        for row, state in ((out, "on loan"), (overdue, "overdue"), (void, "void")):
            self.assertContains(page, f'<td class="field-state">{state}</td>', html=True)
            self.assertContains(page, f">{row.ref}</a>")
        self.assertContains(page, '<td class="field-charge">$4.50</td>', html=True)

    def test_changelist_query_count_is_constant(self) -> None:
        self.rent()
        with self.assertNumQueries(6):
            self.listed()
        self.rent(self.bob)
        with self.assertNumQueries(6):
            self.listed()

    def lines(self, what: str, action: str, row: Any) -> list[str]:
        page = self.counter.get(self.page(f"{what}_{action}", row))
        for line in page.context["lines"]:
            self.assertContains(page, f"<li>{escape(line)}</li>", html=True)
        lines: list[str] = page.context["lines"]
        return lines

    def test_no_list_has_an_action_on_many_rows(self) -> None:
        rentals = [self.rent(), self.rent(self.bob)]
        charged = services.return_rental(
            rental=rentals[0], at=timezone.now(), actor=self.carol, now=timezone.now()
        ).rent_entry
        for what, rows in (("rental", rentals), ("ledgerentry", [charged])):
            page = self.counter.get(self.page(f"{what}_changelist"))
            self.assertNotContains(page, 'name="action"')
            self.assertNotContains(page, 'name="_selected_action"')
            for action in ("return_now", "renew", "make_void", "void", "reverse", "delete_selected"):
                chosen = {"action": action, "_selected_action": [row.pk for row in rows]}
                self.send(f"{what}_changelist", **chosen, select_across="1", index="0")
        self.assertEqual(Rental.objects.open().get().renewals, 0)
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_list_and_row_link_to_the_actions_that_apply(self) -> None:
        out, returned, void = self.rent(), self.rent(self.bob), None
        self.act("rental", "return", returned)
        void = self.rent(self.dan)
        self.act("rental", "void", void)
        for rental, names in ((out, ["return", "renew", "void"]), (returned, ["void"]), (void, ["return"])):
            for page in (self.page("rental_change", rental), self.page("rental_changelist")):
                found = re.findall(rf"/rental/{rental.ref}/(return|renew|void)/", self.read(page))
                self.assertEqual(found, names, page)

    def read(self, address: str) -> str:
        text: str = self.counter.get(address).content.decode()
        return text

    def test_return_page_shows_charge_balance_and_copy(self) -> None:
        rental = self.rent(days_ago=15)
        Rate.objects.filter(pk=rental.rate_id).update(late_fee="0.50")
        other = add_book(name="Susan", kind=3)
        services.rent_book(member=self.alice, book=other, at=timezone.now(), now=timezone.now())
        self.assertEqual(
            self.lines("rental", "return", rental),
            [
                "“Emma” is back from Alice Moss, and the rental ends.",
                "The charge is $25.00 for 16 days.",
                "2 days are late.",
                "Alice Moss then owes $29.50, including books on loan.",
                f"Copy {rental.copy.barcode} can be rented again.",
            ],
        )
        self.assertFalse(LedgerEntry.objects.exists())

    def test_return_page_names_who_waits(self) -> None:
        rental, _second = self.rent(), self.rent(self.bob)
        holds.place_hold(member=self.dan, book=self.novel, at=timezone.now())
        barcode = rental.copy.barcode
        self.assertEqual(
            self.lines("rental", "return", rental)[-1],
            f"Copy {barcode} is set aside for dan, who is next in line.",
        )
        Copy.objects.filter(pk=rental.copy_id).update(status=Copy.Status.IN_REPAIR)
        self.assertEqual(self.lines("rental", "return", rental)[-1], f"Copy {barcode} stays in repair.")

    def test_return_page_returns_one_rental(self) -> None:
        first, second = self.rent(days_ago=5), self.rent(self.bob)
        self.assertEqual(
            self.act("rental", "return", first, reason="Left in the drop box"),
            ["Returned “Emma”. Charged $9.00; Alice Moss now owes $9.00."],
        )
        first.refresh_from_db()
        self.assertEqual(first.return_reason, "Left in the drop box")
        self.assertEqual(first.rent_entry.actor, self.carol)
        self.assertEqual(first.charge, Decimal("9.00"))
        self.assertEqual(list(Rental.objects.open()), [second])
        told = self.act("rental", "return", first)
        self.assertEqual(told, [f"#{first.ref}: This book has already been returned."])

    def test_return_needs_no_reason(self) -> None:
        self.act("rental", "return", self.rent(), reason="")
        self.assertIsNone(Rental.objects.get().return_reason)

    def test_return_of_a_prepaid_rental_leaves_nothing_owed(self) -> None:
        rental = self.rent()
        ledger.take_payment(
            member=self.alice,
            amount=Decimal("4.50"),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=timezone.now(),
        )
        self.assertIn("Alice Moss then owes nothing.", self.lines("rental", "return", rental))
        told = self.act("rental", "return", rental)
        self.assertEqual(told, ["Returned “Emma”. Charged $4.50; Alice Moss owes nothing."])

    def test_renew_page_stops_at_renewal_limit(self) -> None:
        Policy.objects.update(max_renewals=1)
        rental = self.rent()
        before, after = (date_format(rental.due_at + timedelta(days=days), "DATE_FORMAT") for days in (0, 14))
        self.assertEqual(
            self.lines("rental", "renew", rental),
            ["“Emma” stays with Alice Moss.", f"It is due on {after} instead of {before}."],
        )
        self.assertEqual(self.act("rental", "renew", rental), [f"Renewed “Emma”. It is due on {after}."])
        self.assertEqual(self.act("rental", "renew", rental), [f"#{rental.ref}: No renewals left."])
        self.assertEqual(Rental.objects.get().due_at - rental.due_at, timedelta(days=14))

    def test_void_page_of_a_rental_on_loan(self) -> None:
        rental = self.rent()
        self.assertEqual(
            self.lines("rental", "void", rental),
            [
                "The rental of “Emma” by Alice Moss no longer counts.",
                "Its cost so far, $4.50, is dropped.",
                "Alice Moss then owes nothing.",
                f"Copy {rental.copy.barcode} is missing until it is returned or put back in service.",
            ],
        )
        self.act("rental", "void", rental, reason="Wrong member")
        rental.refresh_from_db()
        self.assertEqual((rental.voided_by, rental.void_reason), (self.carol, "Wrong member"))
        self.assertIn("Wrong member", self.read(self.page("rental_change", rental)))

    def test_book_of_a_void_rental_is_taken_back(self) -> None:
        rental = self.rent()
        told = self.act("rental", "void", rental, reason="Wrong member")
        barcode = rental.copy.barcode
        self.assertEqual(told, [f"Voided the rental of “Emma” by Alice Moss. Copy {barcode} is missing."])
        self.assertEqual(
            self.lines("rental", "return", rental),
            [
                "“Emma” is back from Alice Moss. Nothing is charged, because the rental is void.",
                f"Copy {barcode} can be rented again.",
            ],
        )
        told = self.act("rental", "return", rental, reason="Found on the shelf")
        self.assertEqual(told, ["Took back “Emma”. Its rental stays void."])
        rental.refresh_from_db()
        self.assertEqual((rental.return_reason, rental.copy.status), ("Found on the shelf", "in_service"))
        self.assertFalse(LedgerEntry.objects.exists())

    def test_page_of_a_rental_names_limits_and_former_due_dates(self) -> None:
        rental = self.rent()
        Rental.objects.filter(pk=rental.pk).update(
            limits_broken=["debt_limit", "copy_set_aside"],
            due_before=[["2026-11-20T10:00:00+00:00", "2026-11-24T10:00:00+00:00"]],
        )
        page = self.read(self.page("rental_change", rental))
        for words in (
            "debt limit, set aside for another member",
            "24\N{NO-BREAK SPACE}Nov",
            "Emma",
            "on loan",
        ):
            self.assertIn(words, page)

    def test_void_page_of_a_returned_rental(self) -> None:
        rental = self.rent()
        self.act("rental", "return", rental)
        ledger.take_payment(
            member=self.alice,
            amount=Decimal("4.50"),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=timezone.now(),
        )
        self.assertEqual(
            self.lines("rental", "void", rental)[1:],
            ["Its charge of $4.50 is reversed.", "The shop then owes Alice Moss $4.50."],
        )
        told = self.act("rental", "void", rental, reason="Wrong member")
        self.assertEqual(told, ["Voided the rental of “Emma” by Alice Moss."])
        self.assertEqual(self.act("rental", "void", rental), [f"#{rental.ref}: This rental is void."])
        rental.refresh_from_db()
        reversal = LedgerEntry.objects.get(kind="reversal")
        self.assertEqual((rental.void_reason, reversal.note), ("Wrong member", "Wrong member"))
        self.assertEqual(ledger.posted_balance(self.alice), Decimal("-4.50"))

    def test_void_needs_a_reason(self) -> None:
        rental = self.rent()
        shown = self.counter.get(self.page("rental_void", rental)).context["shown"]
        for reason, error in (
            ("", "This field is required"),
            ("   ", "This field is required"),
            ("x" * 501, "at most 500 characters"),
            ("\0", "Null characters"),
        ):
            answer = self.send("rental_void", rental, shown=shown, reason=reason)
            self.assertContains(answer, error)
        self.assertTrue(Rental.objects.open().exists())

    def test_nothing_happens_that_was_not_shown(self) -> None:
        rental = self.rent()
        shown = self.counter.get(self.page("rental_void", rental)).context["shown"]
        now = timezone.now()
        services.return_rental(rental=rental, at=now, actor=self.carol, now=now)
        for digest in (shown, "", "0" * 64):
            answer = self.send("rental_void", rental, shown=digest, reason="Slip")
            self.assertContains(answer, "Its charge of $4.50 is reversed.")
        self.assertContains(
            self.send("rental_void", rental, shown=shown, reason="Slip"), "Something has changed"
        )
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_row_is_read_again_under_its_locks(self) -> None:
        """Another transaction returns the book after the page has read the row."""
        stale = Rental.objects.with_terms().select_related("user").get(pk=self.rent().pk)
        now = timezone.now()
        lines = Void().preview(stale, at=now)
        services.return_rental(rental=stale, at=now, actor=self.carol, now=now)
        facts = {"shown": _digest(lines), "actor": self.carol, "at": now, "reason": "Slip"}
        self.assertIsNone(_perform(Void(), stale, **facts))
        with self.assertRaises(AlreadyReturned):
            _perform(Return(), stale, **facts)
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_unknown_row_leads_back(self) -> None:
        for row in ("9" * 15, "x", "1_0"):
            answer = self.counter.get(reverse("admin:rentals_rental_void", args=[row]))
            self.assertRedirects(answer, reverse("admin:index"))

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
        self.act("rental", "void", Rental.objects.get())
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
        page = self.counter.get(self.page("ledgerentry_reverse", payment))
        self.assertEqual(
            page.context["lines"],
            [
                "An opposite entry cancels “Payment, cash” of $2.00, entry no. 2 of Alice Moss.",
                "Both entries stay on record.",
                "Alice Moss then owes $4.50, including books on loan.",
            ],
        )
        told = self.act("ledgerentry", "reverse", payment, reason="Wrong amount")
        self.assertEqual(told, ["Reversed payment -2.00."])
        reversal = LedgerEntry.objects.get(reverses=payment)
        self.assertEqual(
            (str(reversal.amount), reversal.actor, reversal.note), ("2.00", self.carol, "Wrong amount")
        )
        page = self.counter.get(self.page("ledgerentry_change", payment))
        self.assertContains(page, "reversal 2.00")
        self.assertNotContains(page, self.page("ledgerentry_reverse", payment))
        told = self.act("ledgerentry", "reverse", payment)
        self.assertEqual(told, ["payment -2.00: This entry has already been reversed."])
        [told] = self.act("ledgerentry", "reverse", self.charge)
        self.assertIn("rental charge 4.50: Only payments, waivers and refunds can be reversed.", told)
        self.assertEqual(LedgerEntry.objects.count(), 3)

    def test_reversal_needs_a_reason(self) -> None:
        self.told(self.credit())
        payment = LedgerEntry.objects.payments().get()
        shown = self.counter.get(self.page("ledgerentry_reverse", payment)).context["shown"]
        answer = self.send("ledgerentry_reverse", payment, shown=shown, reason="")
        self.assertContains(answer, "This field is required")
        self.assertEqual(LedgerEntry.objects.count(), 2)

    def test_list_links_to_reversals_of_payments_only(self) -> None:
        self.told(self.credit())
        payment = LedgerEntry.objects.payments().get()
        page = self.counter.get(self.page("ledgerentry_changelist"))
        self.assertContains(page, self.page("ledgerentry_reverse", payment))
        self.assertNotContains(page, self.page("ledgerentry_reverse", self.charge))

    def test_entry_is_read_only_and_shows_working(self) -> None:
        self.counter = self.signed_in(self.dan)
        page = self.counter.get(self.page("ledgerentry_change", self.charge))
        self.assertContains(page, "price_list")
        self.assertNotContains(page, 'name="amount"')
        self.assertEqual(self.send("ledgerentry_change", self.charge, amount="1").status_code, 403)
        self.assertEqual(self.send("ledgerentry_delete", self.charge, post="yes").status_code, 403)
        listed = self.counter.get(self.page("ledgerentry_changelist"), {"q": "moss"})
        self.assertContains(listed, '<td class="field-posted_balance">4.50</td>', html=True)
        self.assertNotContains(listed, "delete_selected")

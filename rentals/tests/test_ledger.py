"""Tests balances, payments, waivers, refunds, reversals, and that renewals never reduce a charge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

from django.utils import translation

from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import errors, ledger, services
from rentals.models import LedgerEntry, Policy, PriceList, Rate, Rental
from rentals.price_lists import make_price_list

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class LedgerTestCase(CastTestCase):
    novel: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.novel = add_book(name="Emma", kind=3)

    def rent(self, at: datetime = MONDAY, book: Book | None = None) -> Rental:
        return services.rent_book(member=self.alice, book=book or self.novel, at=at, now=at)

    def give_back(self, rental: Rental, at: datetime) -> Rental:
        return services.return_rental(rental=rental, at=at, actor=self.carol, now=at)

    def pay(self, amount: str, at: datetime) -> LedgerEntry:
        return ledger.take_payment(
            member=self.alice,
            amount=Decimal(amount),
            method=LedgerEntry.Method.CASH,
            actor=self.carol,
            at=at,
        )

    def owed(self, at: datetime) -> Decimal:
        return ledger.balance(self.alice, at=at).total


class BalanceTest(LedgerTestCase):
    def test_balance_adds_ledger_and_running_cost(self) -> None:
        self.give_back(self.rent(), MONDAY + 4 * DAY)
        self.rent(MONDAY + 5 * DAY)
        self.pay("2.50", MONDAY + 5 * DAY)
        balance = ledger.balance(self.alice, at=MONDAY + 10 * DAY)
        self.assertEqual((balance.posted, balance.running), (Decimal("3.50"), Decimal("7.50")))
        self.assertEqual(balance.total, Decimal("11.00"))
        self.assertEqual(len(balance.open_rentals), 1)

    def test_a_new_member_owes_nothing(self) -> None:
        self.assertEqual(self.owed(MONDAY), 0)

    def test_every_entry_carries_its_balance(self) -> None:
        self.give_back(self.rent(), MONDAY + 4 * DAY)
        self.pay("1.00", MONDAY + 4 * DAY)
        self.pay("2.00", MONDAY + 5 * DAY)
        entries = LedgerEntry.objects.filter(user=self.alice)
        self.assertEqual([entry.number for entry in entries], [1, 2, 3])
        self.assertEqual([str(entry.balance) for entry in entries], ["6.00", "5.00", "3.00"])

    def test_balance_takes_two_queries(self) -> None:
        for day in range(5):
            self.give_back(self.rent(MONDAY + day * DAY), MONDAY + day * DAY + HOUR)
        with self.assertNumQueries(2):
            self.owed(MONDAY + 9 * DAY)

    def test_charge_is_final_after_a_rate_change(self) -> None:
        rental = self.give_back(self.rent(), MONDAY + DAY)
        Rate.objects.filter(pk=rental.rate.pk).update(daily_rate=Decimal(99))
        rental.refresh_from_db()
        self.assertEqual(rental.charge, Decimal("4.50"))

    def test_kind_change_keeps_price_of_open_rental(self) -> None:
        rental = self.rent()
        Book.objects.filter(pk=self.novel.pk).update(kind=2)
        self.assertEqual(self.give_back(rental, MONDAY + DAY).charge, Decimal("4.50"))

    def test_open_rental_keeps_its_price_list(self) -> None:
        rental = self.rent()
        make_price_list(
            name="Winter",
            in_force_from=MONDAY + HOUR,
            rates=[{"kind": kind, "daily_rate": Decimal(9)} for kind in (1, 2, 3)],
        )
        self.assertEqual(self.give_back(rental, MONDAY + DAY).charge, Decimal("4.50"))
        self.assertEqual(self.rent(MONDAY + 2 * DAY).price_list.name, "Winter")

    def test_charge_stops_at_original_replacement_cap(self) -> None:
        copy = self.novel.copies.get()
        copy.replacement_price = Decimal("12.00")
        copy.save()
        rental = self.rent()
        copy.replacement_price = Decimal("40.00")
        copy.save()
        rental = self.give_back(rental, MONDAY + 30 * DAY)
        self.assertEqual(rental.charge, Decimal("12.00"))
        assert rental.rent_entry is not None
        self.assertEqual(rental.rent_entry.working["lines"][-1], {"what": "cap", "amount": "-33.00"})


class LateRenewalTest(LedgerTestCase):
    def setUp(self) -> None:
        make_price_list(
            name="With late fee",
            in_force_from=MONDAY,
            rates=[
                {"kind": kind, "daily_rate": Decimal(1), "late_fee": Decimal("0.50")} for kind in (1, 2, 3)
            ],
        )

    def test_early_renewal_extends_the_due_date(self) -> None:
        rental = services.renew_rental(rental=self.rent(), at=MONDAY + DAY)
        self.assertEqual(rental.due_at, MONDAY + 28 * DAY)

    def test_late_renewal_counts_from_now(self) -> None:
        rental = self.rent()
        late = MONDAY + 16 * DAY
        before = self.owed(late)
        rental = services.renew_rental(rental=rental, at=late)
        self.assertEqual(rental.due_at, late + 14 * DAY)
        self.assertEqual(self.owed(late), before)
        self.assertEqual(before, Decimal("17.00"))

    def test_late_days_add_up_across_renewals(self) -> None:
        rental = services.renew_rental(rental=self.rent(), at=MONDAY + 16 * DAY)
        rental = services.renew_rental(rental=rental, at=MONDAY + 33 * DAY)
        rental = self.give_back(rental, MONDAY + 49 * DAY)
        assert rental.rent_entry is not None
        # 2, 3 and 2 late days.
        self.assertEqual(rental.rent_entry.working["late_days"], 7)
        self.assertEqual(rental.charge, Decimal("49.00") + 7 * Decimal("0.50"))


class PaymentTest(LedgerTestCase):
    def test_running_cost_can_be_prepaid(self) -> None:
        self.rent()
        with self.assertRaises(errors.Overpayment):
            self.pay("4.51", MONDAY)
        self.pay("4.50", MONDAY)
        self.assertEqual(self.owed(MONDAY), 0)

    def test_refused_payment_writes_nothing(self) -> None:
        with self.assertRaisesMessage(errors.Overpayment, "The member owes $0.00. That's less than $0.01."):
            self.pay("0.01", MONDAY)
        self.assertFalse(LedgerEntry.objects.exists())

    def test_waiver_is_limited_to_the_balance(self) -> None:
        self.give_back(self.rent(), MONDAY + DAY)
        facts = {"member": self.alice, "reason": "Pages missing.", "actor": self.carol, "at": MONDAY + DAY}
        with self.assertRaises(errors.Overpayment):
            ledger.waive(amount=Decimal("4.51"), **facts)  # type: ignore[arg-type]  # mixed values
        waiver = ledger.waive(amount=Decimal("4.50"), **facts)  # type: ignore[arg-type]  # as above
        self.assertEqual((waiver.amount, waiver.note), (Decimal("-4.50"), "Pages missing."))
        self.assertEqual(self.owed(MONDAY + DAY), 0)


class RefundTest(LedgerTestCase):
    def refund(self, amount: str, at: datetime) -> LedgerEntry:
        return ledger.refund(
            member=self.alice,
            amount=Decimal(amount),
            method=LedgerEntry.Method.CASH,
            reason="Charged by mistake.",
            actor=self.carol,
            at=at,
        )

    def have_a_credit(self) -> None:
        """Give Alice a credit of 4.50: a rent that was paid and then voided."""
        rental = self.give_back(self.rent(), MONDAY + DAY)
        self.pay("4.50", MONDAY + DAY)
        services.void_rental(rental=rental, at=MONDAY + 2 * DAY, actor=self.carol)

    def test_refund_is_limited_to_the_credit(self) -> None:
        self.have_a_credit()
        with self.assertRaises(errors.RefundAboveCredit):
            self.refund("4.51", MONDAY + 2 * DAY)
        paid_out = self.refund("4.50", MONDAY + 2 * DAY)
        self.assertEqual((paid_out.kind, paid_out.amount), ("refund", Decimal("4.50")))
        self.assertEqual((paid_out.note, paid_out.method), ("Charged by mistake.", "cash"))
        self.assertEqual(self.owed(MONDAY + 2 * DAY), 0)

    def test_refund_withholds_running_cost(self) -> None:
        self.have_a_credit()
        self.rent(MONDAY + 2 * DAY, add_book(name="Cosmos", kind=1))
        with self.assertRaisesMessage(
            errors.RefundAboveCredit, "has $2.50 in credit. That's less than $2.51."
        ):
            self.refund("2.51", MONDAY + 2 * DAY)
        self.refund("2.50", MONDAY + 2 * DAY)

    def test_refund_without_credit_is_refused(self) -> None:
        self.rent()
        with self.assertRaisesMessage(errors.RefundAboveCredit, "has $0.00 in credit"):
            self.refund("0.01", MONDAY)
        self.assertFalse(LedgerEntry.objects.exists())

    def test_refund_can_be_reversed(self) -> None:
        self.have_a_credit()
        ledger.reverse(entry=self.refund("4.50", MONDAY + 2 * DAY), actor=self.carol, at=MONDAY + 3 * DAY)
        self.assertEqual(self.owed(MONDAY + 3 * DAY), Decimal("-4.50"))


class LanguageNeutralityTest(LedgerTestCase):
    """Stored values do not depend on the language of the request."""

    def test_working_is_not_translated(self) -> None:
        with translation.override("de"), mock.patch.object(Rate, "get_kind_display", return_value="Roman"):
            rental = self.give_back(self.rent(), MONDAY + DAY)
        assert rental.rent_entry is not None
        self.assertEqual(rental.rent_entry.working["kind"], "novel")

    def test_reversal_without_reason_has_no_note(self) -> None:
        rental = self.give_back(self.rent(), MONDAY + DAY)
        services.void_rental(rental=rental, at=MONDAY + 2 * DAY, actor=self.carol)
        self.assertEqual(LedgerEntry.objects.get(kind="reversal").note, "")


class RenewalRefusalTest(LedgerTestCase):
    def test_renewal_refusals_match_renew_rental(self) -> None:
        rental = self.rent()
        policy = Policy.current()
        self.assertEqual(services.renewal_refusals(rental, policy=policy, others_wait=False), [])
        for _ in range(2):
            rental = services.renew_rental(rental=rental, at=MONDAY)
        [why_not] = services.renewal_refusals(rental, policy=policy, others_wait=False)
        with self.assertRaisesMessage(errors.RenewalLimit, str(why_not)):
            services.renew_rental(rental=rental, at=MONDAY)


class ReversalTest(LedgerTestCase):
    def reverse(self, entry: LedgerEntry) -> LedgerEntry:
        return ledger.reverse(entry=entry, reason="Typed twice.", actor=self.carol, at=MONDAY + 2 * DAY)

    def test_reversal_undoes_and_names_its_entry(self) -> None:
        self.give_back(self.rent(), MONDAY + DAY)
        payment = self.pay("4.50", MONDAY + DAY)
        reversal = self.reverse(payment)
        self.assertEqual((reversal.reverses, reversal.amount), (payment, Decimal("4.50")))
        self.assertEqual(self.owed(MONDAY + 2 * DAY), Decimal("4.50"))

    def test_entry_is_reversed_once(self) -> None:
        self.give_back(self.rent(), MONDAY + DAY)
        payment = self.pay("4.50", MONDAY + DAY)
        reversal = self.reverse(payment)
        with self.assertRaises(errors.AlreadyReversed):
            self.reverse(payment)
        with self.assertRaises(errors.NotReversible):
            self.reverse(reversal)
        self.assertEqual(LedgerEntry.objects.count(), 3)

    def test_rent_is_reversed_only_by_voiding(self) -> None:
        rental = self.give_back(self.rent(), MONDAY + DAY)
        assert rental.rent_entry is not None
        with self.assertRaises(errors.NotReversible):
            self.reverse(rental.rent_entry)
        services.void_rental(rental=rental, at=MONDAY + 2 * DAY, actor=self.carol)
        self.assertEqual(ledger.posted_balance(self.alice), 0)

    def test_rental_is_voided_once(self) -> None:
        rental = self.rent()
        services.void_rental(rental=rental, at=MONDAY, actor=self.carol)
        self.give_back(rental, MONDAY)
        for change in (
            lambda: services.void_rental(rental=rental, at=MONDAY, actor=self.carol),
            lambda: self.give_back(rental, MONDAY),
            lambda: services.renew_rental(rental=rental, at=MONDAY),
        ):
            with self.assertRaises(errors.AlreadyVoid):
                change()


class PriceListTest(CastTestCase):
    def test_no_list_is_in_force_before_the_first(self) -> None:
        self.assertEqual(list(PriceList.objects.in_force(datetime(1999, 12, 31, tzinfo=UTC))), [])

    def test_list_takes_effect_at_its_start(self) -> None:
        start = PriceList.objects.get(name="By kind").in_force_from
        in_force = PriceList.objects.in_force
        self.assertEqual(in_force(start - timedelta(microseconds=1)).get().name, "Flat")
        self.assertEqual(in_force(start).get().name, "By kind")

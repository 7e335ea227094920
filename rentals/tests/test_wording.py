"""Tests the descriptions of ledger entries and of how amounts were computed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import TestCase

from books.models import Copy
from books.stock import add_book, add_copy
from lori_assignment.testing.cases import CastTestCase
from rentals import ledger, services
from rentals.models import LedgerEntry, Rental
from rentals.price_lists import make_price_list
from rentals.statements import wording

NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class WordingTest(CastTestCase):
    def setUp(self) -> None:
        self.emma = add_book(name="Emma", kind=3)

    def rent(self, at: datetime = NOW) -> Rental:
        return services.rent_book(member=self.alice, book=self.emma, at=at, now=at)

    def give_back(self, rental: Rental, at: datetime = NOW) -> LedgerEntry:
        services.return_rental(rental=rental, at=at, actor=self.carol, now=at)
        return self.last()

    def pay(self) -> LedgerEntry:
        return ledger.take_payment(
            member=self.alice,
            amount=Decimal("1.00"),
            method=LedgerEntry.Method.TRANSFER,
            actor=self.carol,
            at=NOW,
        )

    def last(self) -> LedgerEntry:
        return LedgerEntry.objects.with_relations().order_by("-number")[0]

    def steps(self, entry: LedgerEntry) -> list[tuple[str, str]]:
        working = wording.working_of(entry)
        assert working is not None
        self.assertEqual(sum(step.amount for step in working.steps), working.total)
        return [(step.words, str(step.amount)) for step in working.steps]

    def test_every_kind_of_entry_has_a_title(self) -> None:
        rent = self.give_back(self.rent())
        payment = self.pay()
        titles = [wording.title_of(rent), wording.title_of(payment)]
        ledger.reverse(entry=payment, actor=self.carol, at=NOW)
        titles.append(wording.title_of(self.last()))
        ledger.waive(member=self.alice, amount=Decimal(1), reason="Torn.", actor=self.carol, at=NOW)
        titles.append(wording.title_of(self.last()))
        self.pay()
        services.void_rental(rental=rent.rental, at=NOW, actor=self.carol)
        titles.append(wording.note_of(self.last()))
        ledger.refund(
            member=self.alice,
            amount=Decimal(1),
            method=LedgerEntry.Method.CASH,
            reason="Void.",
            actor=self.carol,
            at=NOW,
        )
        titles.append(wording.title_of(self.last()))
        titles.append(wording.title_of(LedgerEntry(kind="lost_book", rental=rent.rental)))
        titles.append(wording.title_of(LedgerEntry(kind="lost_book")))
        self.assertEqual(
            titles,
            [
                "Rental: Emma",
                "Payment, bank transfer",
                "Reversal of no. 2",
                "Waived",
                "The rental was entered by mistake and is void.",
                "Refund, cash",
                "Lost book: Emma",
                "Lost book",
            ],
        )

    def test_reversal_has_a_default_note(self) -> None:
        self.give_back(self.rent())
        payment = self.pay()
        self.assertEqual(wording.note_of(payment), "")
        ledger.reverse(entry=payment, actor=self.carol, at=NOW)
        self.assertEqual(wording.note_of(self.last()), "The transaction was entered by mistake.")
        ledger.reverse(entry=self.pay(), reason="Typed twice.", actor=self.carol, at=NOW)
        self.assertEqual(wording.note_of(self.last()), "Typed twice.")

    def test_working_explains_each_step(self) -> None:
        self.assertEqual(
            self.steps(self.give_back(self.rent(NOW - DAY))),
            [("1 day at $1.50", "1.50"), ("Minimum charge for this category", "3.00")],
        )
        rates = [
            {
                "kind": kind,
                "first_days": 2,
                "first_days_rate": Decimal(1),
                "daily_rate": Decimal(2),
                "late_fee": Decimal("0.25"),
            }
            for kind in (1, 2, 3)
        ]
        make_price_list(name="Winter", in_force_from=NOW - 17 * DAY, rates=rates)
        self.emma.copies.update(status=Copy.Status.WITHDRAWN)
        add_copy(book=self.emma, replacement_price=Decimal("20.00"))
        entry = self.give_back(self.rent(NOW - 16 * DAY))
        self.assertEqual(
            self.steps(entry),
            [
                ("First 2 days at $1.00", "2.00"),
                ("14 days at $2.00", "28.00"),
                ("Late fee: 2 days at $0.25", "0.50"),
                ("Capped at the price of the book", "-10.50"),
            ],
        )
        working = wording.working_of(entry)
        assert working is not None
        self.assertEqual((working.price_list, working.kind), ("Winter", "novel"))
        self.assertEqual((working.rented_at, working.until), (NOW - 16 * DAY, NOW))
        self.assertEqual((working.days, working.late_days), (16, 2))

    def test_running_cost_is_explained_like_a_charge(self) -> None:
        rental = Rental.objects.with_terms().get(pk=self.rent(NOW - 5 * DAY).pk)
        so_far = wording.working_so_far(rental, rental.running_price(NOW), until=NOW)
        self.assertEqual(so_far, wording.working_of(self.give_back(rental)))

    def test_only_rent_has_a_working(self) -> None:
        self.give_back(self.rent())
        self.assertIsNone(wording.working_of(self.pay()))


class BalanceInWordsTest(TestCase):
    def test_balance_says_who_owes(self) -> None:
        for balance, words in (
            ("4.50", "You owe $4.50."),
            ("-4.50", "You have $4.50 in credit."),
            ("0.00", "You don't owe anything."),
        ):
            self.assertEqual(wording.balance_in_words(Decimal(balance)), words)
            posted = f"{words[:-1]}, not counting books on loan."
            self.assertEqual(wording.posted_in_words(Decimal(balance)), posted)

    def test_unknown_kind_keeps_its_name(self) -> None:
        self.assertEqual((wording.kind_named("novel"), wording.kind_named("Roman")), ("novel", "Roman"))

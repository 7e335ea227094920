"""A rental or payment that is sent again with its `client_ref` is made once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase, RaceTestCase
from rentals import client_refs
from rentals.consistency import find_errors
from rentals.models import ClientRef, LedgerEntry, Rental
from rentals.services import rent_book, return_rental, void_rental

DAY = timedelta(days=1)


class ClientRefTest(CastTestCase):
    book: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Emma", kind=3, copies=2)
        cls.then = timezone.now() - 5 * DAY
        rental = rent_book(member=cls.alice, book=cls.book, at=cls.then, now=cls.then)
        return_rental(rental=rental, at=cls.then + DAY, actor=cls.carol, now=cls.then + DAY)

    then: Any

    def rent(self, caller: Any = None, **sent: Any) -> Any:
        sent = {"book": self.book.pk, "client_ref": "slip 7"} | sent
        return self.api(caller or self.alice).post("/api/v3/book_rentals/", sent)

    def pay(self, caller: Any = None, **sent: Any) -> Any:
        sent = {"user": self.alice.pk, "amount": "1.00", "method": "cash", "client_ref": "slip 7"} | sent
        return self.api(caller or self.carol).post("/api/v3/payments/", sent)

    def test_rental_sent_again_answers_the_first(self) -> None:
        first, again = self.rent(), self.rent()
        self.assertEqual((first.status_code, again.status_code), (201, 201))
        self.assertEqual(again.json()["ref"], first.json()["ref"])
        self.assertEqual(first.json()["client_ref"], "slip 7")
        self.assertNotIn("Idempotency-Replayed", first)
        self.assertEqual(again["Idempotency-Replayed"], "true")
        self.assertEqual(Rental.objects.open().count(), 1)

    def test_payment_sent_again_answers_the_first(self) -> None:
        first, again = self.pay(), self.pay(amount="1.0", note="")
        self.assertEqual((first.status_code, again.status_code), (201, 201))
        self.assertEqual(again.json(), first.json())
        self.assertEqual(LedgerEntry.objects.payments().count(), 1)
        (seen,) = self.api(self.alice).get("/api/v3/payments/").json()["results"]
        self.assertEqual(seen["client_ref"], "slip 7")

    def test_it_is_kept_after_the_keys_are_purged_and_the_book_came_back(self) -> None:
        past = f"{self.then + 2 * DAY:%Y-%m-%dT%H:%M:%SZ}"
        sent = {"user": self.bob.pk, "date_rented": past}
        first = self.rent(self.carol, **sent).json()
        rental = Rental.objects.get(ref=first["ref"])
        return_rental(rental=rental, at=timezone.now(), actor=self.carol, now=timezone.now())
        call_command("purge_idempotency_keys", verbosity=0)
        again = self.rent(self.carol, **sent)
        self.assertEqual((again.status_code, again.json()["ref"]), (201, first["ref"]))
        void_rental(rental=rental, at=timezone.now(), actor=self.carol)
        self.assertEqual(self.rent(self.carol, **sent).json()["ref"], first["ref"])
        self.assertEqual(Rental.objects.filter(user=self.bob).count(), 1)

    def test_other_content_is_refused(self) -> None:
        self.rent(self.carol, user=self.alice.pk)
        other = add_book(name="Persuasion", kind=3)
        before = Rental.objects.count()
        for sent in (
            {"user": self.bob.pk},
            {"user": self.alice.pk, "book": other.pk},
            {"user": self.alice.pk, "copy": self.book.copies.first().pk},
            {"user": self.alice.pk, "date_rented": f"{self.then:%Y-%m-%dT%H:%M:%SZ}"},
        ):
            answer = self.rent(self.carol, **sent)
            self.assertEqual((answer.status_code, answer.json()["code"]), (409, "client_ref_reused"))
        self.assertEqual(self.pay().json()["code"], "client_ref_reused")
        self.assertEqual((Rental.objects.count(), LedgerEntry.objects.count()), (before, 1))

    def test_other_payment_is_refused(self) -> None:
        self.pay()
        for sent in ({"amount": "1.01"}, {"method": "card"}, {"note": "Thanks"}, {"user": self.bob.pk}):
            self.assertEqual(self.pay(**sent).json()["code"], "client_ref_reused", sent)
        self.assertEqual(LedgerEntry.objects.payments().count(), 1)

    def test_another_account_has_its_own(self) -> None:
        self.assertEqual((self.pay().status_code, self.pay(self.dan).status_code), (201, 201))
        self.assertEqual(LedgerEntry.objects.payments().count(), 2)

    def test_refusal_does_not_use_it_up(self) -> None:
        self.assertEqual(self.pay(amount="99.00").json()["code"], "overpayment")
        self.assertFalse(ClientRef.objects.exists())
        self.assertEqual(self.pay().status_code, 201)

    def test_without_it_each_call_counts(self) -> None:
        sent = {"user": self.alice.pk, "amount": "1.00", "method": "cash", "client_ref": None}
        for _ in range(2):
            answer = self.api(self.carol).post("/api/v3/payments/", sent).json()
            self.assertIsNone(answer["client_ref"])
        self.assertEqual(LedgerEntry.objects.payments().count(), 2)

    def test_invalid_one_is_a_field_error(self) -> None:
        for ref in ("", "x" * 101, ["a"], {}, "a\0b"):
            for answer in (self.rent(client_ref=ref), self.pay(client_ref=ref)):
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["client_ref"]), ref)
        self.assertEqual((Rental.objects.count(), LedgerEntry.objects.count()), (1, 1))

    def test_older_versions_ignore_it(self) -> None:
        answer = self.api(self.alice).post(
            "/api/v2/book_rentals/", {"book": self.book.pk, "client_ref": "slip 7"}
        )
        self.assertEqual(answer.status_code, 201)
        self.assertNotContains(answer, "client_ref", status_code=201)
        self.assertFalse(ClientRef.objects.exists())

    def test_database_keeps_one_per_account(self) -> None:
        self.pay()
        kept = ClientRef.objects.get()
        for facts in (
            {"account": self.carol, "ref": "slip 7"},
            {"account": self.dan, "ref": ""},
            {"account": self.dan, "ref": "b", "rental": Rental.objects.get(), "entry": kept.entry},
        ):
            with self.subTest(facts=facts), self.assertRaises(IntegrityError), transaction.atomic():
                ClientRef.objects.create(content="", made_at=self.then, **facts)

    def test_ref_of_nothing_is_reported(self) -> None:
        self.pay()
        self.assertEqual(list(find_errors()), [])
        ClientRef.objects.update(account=self.dan)
        (sentence,) = find_errors()
        self.assertRegex(
            sentence, r"Client reference \d+ of account \d+ names nothing that the account made\."
        )


class ClientRefRaceTest(RaceTestCase):
    def pay_at_once(self) -> list[Any]:
        now = timezone.now()
        rental = rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        return_rental(rental=rental, at=now, actor=self.carol, now=now)
        sent = {"user": self.alice.pk, "amount": "1.00", "method": "cash", "client_ref": "slip 7"}

        def pay() -> Any:
            return self.api(self.carol).post("/api/v3/payments/", sent)

        return self.run_concurrently(*[pay] * 4)

    def test_concurrent_calls_make_one_payment(self) -> None:
        answers = self.pay_at_once()
        self.assertEqual([answer.status_code for answer in answers], [201] * 4)
        self.assertEqual(len({answer.json()["id"] for answer in answers}), 1)
        self.assertEqual(LedgerEntry.objects.payments().count(), 1)

    def test_without_the_claim_each_call_pays(self) -> None:
        def unclaimed(**facts: Any) -> tuple[Any, bool]:
            return mock.Mock(), True

        with mock.patch.object(client_refs, "_claim", unclaimed):
            self.pay_at_once()
        self.assertEqual(LedgerEntry.objects.payments().count(), 4)

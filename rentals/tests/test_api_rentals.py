"""Tests renting, returning, renewing and voiding in every version of the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.serializers import ModelSerializer

from books.models import Book, Copy
from books.stock import add_book, add_copy
from lori_assignment.testing.cases import CastTestCase
from rentals.api.serializers import v1_v2, v3
from rentals.models import LedgerEntry, Policy, Rental
from rentals.services import renew_rental, rent_book, return_rental, void_rental

DAY = timedelta(days=1)


class RentalTestCase(CastTestCase):
    book: Book
    other: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Middlemarch", author="George Eliot", kind=3)
        cls.other = add_book(name="Cosmos", author="Carl Sagan", kind=1, copies=2)

    def rent(self, user: object = None, book: Book | None = None, days_ago: int = 0) -> Rental:
        now = timezone.now()
        return rent_book(
            member=user or self.alice,  # type: ignore[arg-type]  # a member of the cast
            book=book or self.book,
            at=now - days_ago * DAY,
            now=now,
        )


class RentTest(RentalTestCase):
    def test_v1_and_v2_return_the_old_fields(self) -> None:
        for version, book in (("v1", self.book), ("v2", self.other)):
            answer = self.api(self.alice).post(f"/api/{version}/book_rentals/create", {"book": book.pk})
            self.assertEqual(answer.status_code, 201)
            self.assertEqual(
                list(answer.json()), ["ref", "user", "book", "date_rented", "date_returned", "status"]
            )
            self.assertEqual(answer.json()["user"], self.alice.pk)
            self.assertEqual(answer.json()["book"], book.pk)
            self.assertEqual(answer.json()["status"], 2)

    def test_v3_returns_due_date_and_running_cost(self) -> None:
        rented = self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.book.pk}).json()
        self.assertEqual(
            {key: rented[key] for key in ("renewals", "overdue", "price_list", "charge", "running_cost")},
            {
                "renewals": 0,
                "overdue": False,
                "price_list": "Tiered",
                "charge": None,
                "running_cost": "4.50",
            },
        )
        rental = Rental.objects.get(ref=rented["ref"])
        self.assertEqual(rental.due_at - rental.rented_at, 14 * DAY)

    def test_last_copy_is_rented_once(self) -> None:
        first = self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.book.pk})
        second = self.api(self.bob).post("/api/v3/book_rentals/", {"book": self.book.pk})
        self.assertEqual(first.status_code, 201)
        self.assertEqual(second.status_code, 409)
        self.assertEqual(second.json()["code"], "book_unavailable")

    def test_member_cannot_rent_a_book_twice(self) -> None:
        self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.other.pk})
        again = self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.other.pk})
        self.assertEqual(again.json()["code"], "already_rented")
        self.assertEqual(
            self.api(self.bob).post("/api/v3/book_rentals/", {"book": self.other.pk}).status_code, 201
        )

    def test_refusal_lists_every_reason(self) -> None:
        self.rent(self.alice, self.book, days_ago=20)
        Policy.objects.update(max_open_rentals=1, debt_limit="10.00")
        refused = self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.book.pk}).json()
        self.assertEqual(
            [reason["code"] for reason in refused["reasons"]],
            ["already_rented", "rental_limit", "debt_limit", "book_unavailable"],
        )
        self.assertEqual(refused["code"], "already_rented")

    def test_rental_limit_comes_from_the_policy(self) -> None:
        Policy.objects.update(max_open_rentals=1)
        client = self.api(self.alice)
        self.assertEqual(client.post("/api/v3/book_rentals/", {"book": self.book.pk}).status_code, 201)
        refused = client.post("/api/v3/book_rentals/", {"book": self.other.pk})
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "rental_limit"))

    def test_lowered_limit_counts_at_once(self) -> None:
        for book in (self.book, self.other):
            self.rent(self.alice, book)
        Policy.objects.update(max_open_rentals=1)
        third = add_book(name="Emma", kind=3)
        refused = self.api(self.alice).post("/api/v3/book_rentals/", {"book": third.pk})
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "rental_limit"))

    def test_debt_above_the_limit_is_refused(self) -> None:
        self.rent(self.alice, self.book, days_ago=7)  # 12.00, because the eighth day has started.
        Policy.objects.update(debt_limit="12.00")
        client = self.api(self.alice)
        self.assertEqual(client.post("/api/v3/book_rentals/", {"book": self.other.pk}).status_code, 201)
        Policy.objects.update(debt_limit="13.99")  # The other book costs 2.00.
        third = add_book(name="Emma", kind=3)
        refused = client.post("/api/v3/book_rentals/", {"book": third.pk})
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "debt_limit"))
        self.assertEqual(refused.json()["detail"], "You owe $14.00. Pay $0.01 to rent again.")
        by_staff = self.api(self.carol).post(
            "/api/v3/book_rentals/", {"book": third.pk, "user": self.alice.pk}
        )
        self.assertEqual(
            by_staff.json()["detail"], "The member owes $14.00 and must pay $0.01 to rent again."
        )

    def test_members_other_fields_are_ignored(self) -> None:
        sent = {
            "book": self.book.pk,
            "user": self.bob.pk,
            "date_rented": "2020-01-01T00:00:00Z",
            "ref": 999,
            "charge": "0.01",
        }
        rented = self.api(self.alice).post("/api/v3/book_rentals/", sent).json()
        self.assertEqual(rented["user"], self.alice.pk)
        self.assertNotEqual(rented["ref"], 999)
        self.assertNotIn("2020", rented["date_rented"])

    def test_staff_rent_a_named_copy_for_a_member(self) -> None:
        copy = self.other.copies.last()
        assert copy is not None
        sent = {"book": self.other.pk, "user": self.bob.pk, "copy": copy.pk}
        rented = self.api(self.carol).post("/api/v3/book_rentals/", sent).json()
        self.assertEqual((rented["user"], rented["copy"]), (self.bob.pk, copy.pk))

    def test_unavailable_copy_is_refused(self) -> None:
        first, second = self.other.copies.all()
        Copy.objects.filter(pk=second.pk).update(status=Copy.Status.IN_REPAIR)
        client = self.api(self.carol)
        client.post("/api/v3/book_rentals/", {"book": self.other.pk, "user": self.bob.pk, "copy": first.pk})
        for copy in (first, second):
            sent = {"book": self.other.pk, "user": self.alice.pk, "copy": copy.pk}
            self.assertEqual(client.post("/api/v3/book_rentals/", sent).json()["code"], "copy_unavailable")

    def test_copy_of_another_book_is_a_field_error(self) -> None:
        sent = {"book": self.book.pk, "copy": self.other.copies.all()[0].pk}
        answer = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual(
            (answer.status_code, answer.json()), (400, {"copy": ["This is a copy of another book."]})
        )

    def test_inactive_member_is_refused(self) -> None:
        sent = {"book": self.book.pk, "user": self.bob.pk}
        self.bob.is_active = False
        self.bob.save()
        refused = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "member_inactive"))

    def test_future_date_is_refused(self) -> None:
        sent = {"book": self.book.pk, "date_rented": (timezone.now() + DAY).isoformat()}
        answer = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual(
            (answer.status_code, answer.json()), (400, {"date_rented": ["This time is in the future."]})
        )

    def test_date_before_first_price_list_is_refused(self) -> None:
        sent = {"book": self.book.pk, "date_rented": "1999-12-31T23:59:59Z"}
        refused = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "no_price_in_force"))

    def test_backdated_rental_ignores_limits(self) -> None:
        self.rent(self.alice, self.book, days_ago=100)
        Policy.objects.update(max_open_rentals=1)
        sent = {
            "book": self.other.pk,
            "user": self.alice.pk,
            "date_rented": (timezone.now() - DAY).isoformat(),
        }
        answer = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual(answer.status_code, 201)
        del sent["date_rented"]
        sent["book"] = add_book(name="Emma", kind=3).pk
        self.assertEqual(self.api(self.carol).post("/api/v3/book_rentals/", sent).status_code, 409)

    def test_ambiguous_local_time_needs_an_offset(self) -> None:
        with timezone.override("Europe/Rome"):
            for time in ("2026-03-29T02:30:00", "2025-10-26T02:30:00"):
                sent = {"book": self.book.pk, "date_rented": time}
                answer = self.api(self.carol).post("/api/v3/book_rentals/", sent)
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["date_rented"]))
            sent["date_rented"] = "2025-10-26T02:30:00+01:00"
            self.assertEqual(self.api(self.carol).post("/api/v3/book_rentals/", sent).status_code, 201)

    def test_due_date_is_elapsed_time_across_clock_changes(self) -> None:
        for rented, due in (
            ("2026-03-28T12:00:00+01:00", "2026-04-11T11:00:00Z"),
            ("2025-10-25T12:00:00+02:00", "2025-11-08T10:00:00Z"),
            # In the shop's zone, without an offset.
            ("2025-10-25T12:00:00", "2025-11-08T10:00:00Z"),
        ):
            with self.subTest(rented), timezone.override("Europe/Berlin"):
                answer = self.rent_at(rented)
                self.assertEqual(Rental.objects.get(ref=answer["ref"]).due_at, datetime.fromisoformat(due))

    def rent_at(self, time: str) -> Any:
        """Rent a copy that was never rented before, and void the rental."""
        copy = add_copy(book=self.book)
        sent = {"book": self.book.pk, "copy": copy.pk, "user": self.alice.pk, "date_rented": time}
        answer = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual(answer.status_code, 201, answer.content)
        self.api(self.carol).delete(f"/api/v3/book_rentals/{answer.json()['ref']}")
        return answer.json()

    def test_dates_out_of_range_are_refused(self) -> None:
        for zone in ("Europe/Rome", "America/New_York"):
            with timezone.override(zone):
                for time in ("0001-01-01T00:10:00", "9999-12-31T23:59:59", "1969-12-31T00:00:00Z"):
                    sent = {"book": self.book.pk, "date_rented": time}
                    answer = self.api(self.carol).post("/api/v3/book_rentals/", sent)
                    self.assertEqual((answer.status_code, list(answer.json())), (400, ["date_rented"]))

    def test_backdated_rental_gets_a_copy_in_stock(self) -> None:
        first, second = self.other.copies.order_by("pk")
        was_out = self.rent(self.bob, self.other, days_ago=9)
        self.assertEqual(was_out.copy, first)
        self.api(self.carol).post(f"/api/v3/book_rentals/{was_out.ref}/return")
        self.assertEqual(self.rent(self.alice, self.other, days_ago=5).copy, second)


class RentalReadTest(RentalTestCase):
    def test_members_list_own_rentals_and_staff_all(self) -> None:
        hers, his = self.rent(self.alice), self.rent(self.bob, self.other)
        for version in ("v1", "v2"):
            seen = self.api(self.alice).get(f"/api/{version}/book_rentals/").json()
            self.assertEqual([rental["ref"] for rental in seen], [hers.ref])
        seen = self.api(self.carol).get("/api/v3/book_rentals").json()["results"]
        self.assertEqual([rental["ref"] for rental in seen], [his.ref, hers.ref])

    def test_rental_of_other_member_is_404(self) -> None:
        rental = self.rent(self.alice)
        self.assertEqual(self.api(self.alice).get(f"/api/v3/book_rentals/{rental.ref}").status_code, 200)
        his = self.api(self.bob).get(f"/api/v3/book_rentals/{rental.ref}")
        absent = self.api(self.bob).get("/api/v3/book_rentals/987654")
        self.assertEqual((his.status_code, his.content), (404, absent.content))

    def test_list_query_count_is_constant(self) -> None:
        self.rent(self.alice)
        with self.assertNumQueries(1):
            self.api(self.alice).get("/api/v3/book_rentals/")
        self.rent(self.alice, self.other)
        with self.assertNumQueries(1):
            self.api(self.alice).get("/api/v3/book_rentals/")

    def test_return_reads_few_tables_under_its_locks(self) -> None:
        """PostgreSQL plans a join of eight tables for five milliseconds, and others wait meanwhile."""
        rental = self.rent(self.alice)
        with CaptureQueriesContext(connection) as queries:
            self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return")
        joins = [query["sql"].count(" JOIN ") for query in queries if "rentals_rental" in query["sql"]]
        self.assertLessEqual(max(joins), 4)

    def test_fast_output_equals_serializer_fields(self) -> None:
        """Rows are represented without the serializer fields that document them."""
        self.rent(self.alice, self.book, days_ago=20)
        back = self.rent(self.alice, self.other)
        now = timezone.now()
        return_rental(rental=back, at=now, actor=self.carol, now=now)
        void_rental(rental=self.rent(self.bob, self.other), at=now, actor=self.carol)
        for zone in ("UTC", "Europe/Rome"):
            for shape in (v1_v2, v3):
                out = shape.RentalOut(context={"now": now})
                for rental in Rental.objects.with_prices():
                    with self.subTest(zone=zone, shape=shape.__name__), timezone.override(zone):
                        by_fields = ModelSerializer.to_representation(out, rental)
                        self.assertEqual(list(out.to_representation(rental).items()), list(by_fields.items()))

    def test_list_filters_rentals(self) -> None:
        late = self.rent(self.alice, self.book, days_ago=20)
        self.rent(self.bob, self.other)
        client = self.api(self.carol)

        def refs(query: str) -> list[int]:
            return [rental["ref"] for rental in client.get(f"/api/v1/book_rentals/?{query}").json()]

        self.assertEqual(refs("overdue=true"), [late.ref])
        self.assertNotIn(late.ref, refs("overdue=false"))
        self.assertEqual(refs(f"user={self.alice.pk}"), [late.ref])
        self.assertEqual(refs(f"book={self.book.pk}"), [late.ref])
        self.assertEqual(refs("status=1"), [])
        self.assertEqual(len(refs("status=2")), 2)
        for wrong in ("status=3", "overdue=banana", "user=0_2", "user=%D9%A2", "user=2.9", "book=x"):
            answer = client.get(f"/api/v1/book_rentals/?{wrong}")
            self.assertEqual((answer.status_code, list(answer.json())), (400, [wrong.split("=")[0]]))

    def test_members_rentals_are_restricted(self) -> None:
        rental = self.rent(self.alice)
        path = f"/api/v2/book_rentals/users/{self.alice.pk}"
        for user in (self.alice, self.carol):
            self.assertEqual([row["ref"] for row in self.api(user).get(path).json()], [rental.ref])
        self.assertEqual(self.api(self.bob).get(path).status_code, 404)
        self.assertEqual(self.api().get(path).status_code, 401)


class ReturnTest(RentalTestCase):
    def test_staff_return_by_status_in_every_version(self) -> None:
        for version in ("v1", "v2", "v3"):
            rental = self.rent(self.alice, add_book(name=version, kind=3), days_ago=3)
            path = f"/api/{version}/book_rentals/{rental.ref}/update"
            answer = self.api(self.carol).put(path, {"status": 1})
            self.assertEqual((answer.status_code, answer.json()["status"]), (200, 1))
            entry = LedgerEntry.objects.get(rental=rental)
            # A fourth day has started.
            self.assertEqual((entry.user, str(entry.amount)), (self.alice, "6.00"))

    def test_charge_includes_its_working(self) -> None:
        rental = self.rent(self.alice, self.other, days_ago=2)
        self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return")
        working = LedgerEntry.objects.get(rental=rental).working
        self.assertEqual((working["price_list"], working["kind"], working["days"]), ("Tiered", "regular", 3))
        self.assertEqual(
            working["lines"],
            [
                {"what": "first_days", "days": 2, "rate": "1.00", "amount": "2.00"},
                {"what": "daily", "days": 1, "rate": "1.50", "amount": "1.50"},
            ],
        )

    def test_backdated_return_is_charged_until_then(self) -> None:
        rental = self.rent(self.alice, days_ago=10)
        sent = {"date_returned": (rental.rented_at + 4 * DAY).isoformat()}
        answer = self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return", sent)
        self.assertEqual((answer.json()["charge"], answer.json()["running_cost"]), ("6.00", None))

    def test_clock_change_makes_no_day_late(self) -> None:
        for rented, returned, days in (
            ("2026-03-28T12:00:00+01:00", "2026-04-11T12:30:00+02:00", (14, 0)),
            ("2025-10-25T12:00:00+02:00", "2025-11-08T12:00:00+01:00", (15, 1)),
        ):
            with self.subTest(rented), timezone.override("Europe/Berlin"):
                copy = add_copy(book=self.book)
                sent = {"book": self.book.pk, "copy": copy.pk, "user": self.alice.pk, "date_rented": rented}
                ref = self.api(self.carol).post("/api/v3/book_rentals/", sent).json()["ref"]
                sent = {"date_returned": returned}
                self.api(self.carol).post(f"/api/v3/book_rentals/{ref}/return", sent)
                working = LedgerEntry.objects.get(rental=ref).working
                self.assertEqual((working["days"], working["late_days"]), days)
                self.assertEqual(datetime.fromisoformat(working["returned_at"]).utcoffset(), timedelta())

    def test_a_return_before_the_rental_is_refused(self) -> None:
        rental = self.rent(self.alice, days_ago=1)
        sent = {"date_returned": (rental.rented_at - DAY).isoformat()}
        refused = self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return", sent)
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "return_before_rental"))
        self.assertFalse(LedgerEntry.objects.exists())

    def test_second_return_is_refused(self) -> None:
        rental = self.rent(self.alice)
        client = self.api(self.carol)
        self.assertEqual(client.patch(f"/api/v1/book_rentals/{rental.ref}", {"status": 1}).status_code, 200)
        again = client.patch(f"/api/v1/book_rentals/{rental.ref}", {"status": 1})
        self.assertEqual((again.status_code, again.json()["code"]), (409, "already_returned"))
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_returned_rental_cannot_be_reopened(self) -> None:
        rental = self.rent(self.alice)
        client = self.api(self.carol)
        path = f"/api/v1/book_rentals/{rental.ref}"
        self.assertEqual(client.patch(path, {"status": 2}).status_code, 200)  # Unchanged.
        client.patch(path, {"status": 1})
        self.assertEqual(client.patch(path, {"status": 2}).json()["code"], "already_returned")

    def test_update_requires_a_valid_status(self) -> None:
        rental = self.rent(self.alice)
        client = self.api(self.carol)
        path = f"/api/v3/book_rentals/{rental.ref}"
        self.assertEqual(client.put(path, {}).json(), {"status": ["This field is required."]})
        self.assertEqual(list(client.patch(path, {"status": 3}).json()), ["status"])
        sent = {"date_returned": timezone.now().isoformat()}
        self.assertEqual(list(client.patch(path, sent).json()), ["date_returned"])
        self.assertEqual(client.patch(path, {}).json()["status"], 2)

    def test_client_can_put_back_what_it_read(self) -> None:
        rental = self.rent(self.alice)
        for version in ("v1", "v2", "v3"):
            path = f"/api/{version}/book_rentals/{rental.ref}/"
            got = self.api(self.carol).get(path).json()
            self.assertIsNone(got["date_returned"])
            self.assertEqual(self.api(self.carol).put(path, got).status_code, 200)
        answer = self.api(self.carol).put(path, got | {"status": 1})
        self.assertEqual((answer.status_code, answer.json()["status"]), (200, 1))

    def test_members_cannot_return(self) -> None:
        rental = self.rent(self.alice)
        for user in (self.alice, self.bob):
            client = self.api(user)
            self.assertEqual(client.put(f"/api/v1/book_rentals/{rental.ref}", {"status": 1}).status_code, 403)
            self.assertEqual(client.post(f"/api/v3/book_rentals/{rental.ref}/return").status_code, 403)
        rental.refresh_from_db()
        self.assertTrue(rental.is_open)

    def test_returned_copy_can_be_rented(self) -> None:
        rental = self.rent(self.alice)
        self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return")
        again = self.api(self.bob).post("/api/v3/book_rentals/", {"book": self.book.pk})
        self.assertEqual((again.status_code, again.json()["copy"]), (201, rental.copy.pk))


class RenewTest(RentalTestCase):
    def test_renewal_extends_the_due_date(self) -> None:
        rental = self.rent(self.alice, days_ago=3)
        renewed = self.api(self.alice).post(f"/api/v3/book_rentals/{rental.ref}/renew")
        self.assertEqual((renewed.status_code, renewed.json()["renewals"]), (200, 1))
        due = rental.due_at
        rental.refresh_from_db()
        self.assertEqual(rental.due_at, due + 14 * DAY)

    def test_most_renewals_of_the_longest_period_end(self) -> None:
        Policy.objects.update(rental_days=365, max_renewals=99)
        at = datetime(2199, 12, 31, tzinfo=UTC)
        rental = rent_book(member=self.alice, book=self.book, at=at, now=at)
        for _ in range(99):
            renew_rental(rental=rental, at=at)
        answer = self.api(self.alice).get(f"/api/v3/book_rentals/{rental.ref}")
        self.assertEqual((answer.json()["renewals"], answer.json()["due_at"][:4]), (99, "2299"))

    def test_policy_limits_renewals(self) -> None:
        rental = self.rent(self.alice)
        path = f"/api/v3/book_rentals/{rental.ref}/renew"
        statuses = [self.api(self.alice).post(path).status_code for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 409])
        self.assertEqual(self.api(self.carol).post(path).json()["code"], "renewal_limit")

    def test_rental_of_other_member_is_404(self) -> None:
        rental = self.rent(self.alice)
        path = f"/api/v3/book_rentals/{rental.ref}/renew"
        self.assertEqual(self.api(self.bob).post(path).status_code, 404)
        self.assertEqual(self.api(self.carol).post(path).status_code, 200)

    def test_a_returned_rental_cannot_be_renewed(self) -> None:
        rental = self.rent(self.alice)
        self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return")
        refused = self.api(self.alice).post(f"/api/v3/book_rentals/{rental.ref}/renew")
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "already_returned"))


class VoidTest(RentalTestCase):
    def void(self, rental: Rental, version: str = "v3") -> None:
        path = f"/api/{version}/book_rentals/{rental.ref}/delete"
        self.assertEqual(self.api(self.alice).delete(path).status_code, 403)
        self.assertEqual(self.api(self.carol).delete(path).status_code, 204)

    def rent_by_bob(self) -> int:
        return self.api(self.bob).post("/api/v1/book_rentals/", {"book": self.book.pk}).status_code

    def test_voided_rental_is_hidden_in_older_versions(self) -> None:
        rental = self.rent(self.alice)
        self.void(rental, "v1")
        for version in ("v1", "v2"):
            path = f"/api/{version}/book_rentals/"
            self.assertEqual(self.api(self.carol).get(f"{path}{rental.ref}").status_code, 404)
            self.assertEqual(self.api(self.carol).get(f"{path}?void=true").json(), [])
        rental.refresh_from_db()
        self.assertEqual(rental.voided_by, self.carol)

    def test_staff_read_void_rentals_in_v3(self) -> None:
        rental, valid = self.rent(self.alice), self.rent(self.alice, self.other)
        self.void(rental)
        path = "/api/v3/book_rentals/"
        told = self.api(self.carol).get(f"{path}{rental.ref}").json()
        self.assertTrue(told["voided_at"].endswith("Z"))
        self.assertEqual((told["status"], told["running_cost"], told["overdue"]), (2, None, False))
        self.assertEqual(self.api(self.alice).get(f"{path}{rental.ref}").status_code, 404)
        for user, query, refs in (
            (self.carol, "", [valid.ref]),
            (self.carol, "?void=false", [valid.ref]),
            (self.carol, "?void=true", [rental.ref]),
            (self.alice, "", [valid.ref]),
            (self.alice, "?void=true", []),
        ):
            listed = self.api(user).get(path + query).json()["results"]
            self.assertEqual([one["ref"] for one in listed], refs)
        for change in (
            self.api(self.carol).delete(f"{path}{rental.ref}"),
            self.api(self.carol).post(f"{path}{rental.ref}/renew"),
        ):
            self.assertEqual((change.status_code, change.json()["code"]), (409, "already_void"))

    def test_void_rental_is_taken_back_only_while_it_is_the_last(self) -> None:
        rental = self.rent(self.alice)
        desk = self.api(self.carol)
        desk.delete(f"/api/v3/book_rentals/{rental.ref}")
        again = f"/api/v3/book_rentals/{rental.ref}/return"
        self.assertEqual(desk.post(again).status_code, 200)
        later = self.rent(self.bob)
        now = timezone.now()
        return_rental(rental=later, at=now, actor=self.carol, now=now)
        Copy.objects.filter(pk=rental.copy_id).update(status=Copy.Status.MISSING)
        refused = desk.post(again)
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "already_void"))

    def test_copy_of_a_void_rental_is_missing_until_found(self) -> None:
        rental = self.rent(self.alice)
        self.void(rental)
        self.assertEqual(self.rent_by_bob(), 409)
        copy = f"/api/v3/copies/{rental.copy.pk}/"
        told = self.api(self.carol).get(copy).json()
        self.assertEqual((told["status"], told["available"]), ("missing", False))
        self.api(self.carol).patch(copy, {"status": "in_service"})
        self.assertEqual(self.rent_by_bob(), 201)

    def test_copy_of_a_void_rental_can_be_returned(self) -> None:
        rental = self.rent(self.alice)
        self.void(rental)
        path = f"/api/v3/book_rentals/{rental.ref}/return"
        returned = self.api(self.carol).post(path)
        self.assertEqual((returned.status_code, returned.json()["date_returned"]), (200, None))
        self.assertFalse(LedgerEntry.objects.exists())
        self.assertEqual(self.rent_by_bob(), 201)
        self.assertEqual(self.api(self.carol).post(path).json()["code"], "already_void")

    def test_copy_of_a_void_rental_can_be_with_another_member(self) -> None:
        rental = self.rent(self.alice, days_ago=1)
        self.void(rental)
        sent = {"book": self.book.pk, "user": self.bob.pk, "copy": rental.copy.pk}
        now = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual((now.status_code, now.json()["code"]), (409, "copy_unavailable"))
        sent["date_rented"] = rental.rented_at.isoformat()
        self.assertEqual(self.api(self.carol).post("/api/v3/book_rentals/", sent).status_code, 201)
        self.assertEqual(Copy.objects.get(pk=rental.copy.pk).status, "in_service")

    def test_voiding_a_returned_rental_leaves_its_copy(self) -> None:
        rental = self.rent(self.alice)
        self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return")
        self.void(rental)
        self.assertEqual(self.rent_by_bob(), 201)

    def test_voiding_a_return_reverses_its_charge(self) -> None:
        rental = self.rent(self.alice)
        self.api(self.carol).post(f"/api/v3/book_rentals/{rental.ref}/return")
        self.api(self.carol).delete(f"/api/v3/book_rentals/{rental.ref}")
        kinds = list(LedgerEntry.objects.filter(user=self.alice).values_list("kind", "amount", "balance"))
        self.assertEqual([kind for kind, _, _ in kinds], ["rent", "reversal"])
        self.assertEqual(kinds[1][1], -kinds[0][1])
        self.assertEqual(kinds[1][2], 0)

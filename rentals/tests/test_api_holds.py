"""Tests holds in the API, and their effect on books, copies and rentals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

from django.utils import timezone

from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import holds
from rentals.holds import expire_holds
from rentals.models import Hold, Policy, Rental
from rentals.services import rent_book

DAY = timedelta(days=1)
HOLDS = "/api/v3/holds/"


class HoldTestCase(CastTestCase):
    """Bob has rented the only copy of Emma."""

    book: Book
    out: Rental

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Emma", kind=3)
        now = timezone.now()
        cls.out = rent_book(member=cls.bob, book=cls.book, at=now, now=now)

    def join(self, who: Any = None, book: Book | None = None, **facts: Any) -> Any:
        sent = {"book": (book or self.book).pk} | facts
        return self.api(who or self.alice).post(HOLDS, sent)

    def hold(self, who: Any = None, **facts: Any) -> dict[str, Any]:
        answer = self.join(who, **facts)
        self.assertEqual(answer.status_code, 201, answer.content)
        return answer.json()

    def give_back(self) -> None:
        answer = self.api(self.carol).post(f"/api/v3/book_rentals/{self.out.ref}/return")
        self.assertEqual(answer.status_code, 200)

    def see(self, hold: dict[str, Any], user: Any = None) -> dict[str, Any]:
        return self.api(user or self.alice).get(f"{HOLDS}{hold['id']}").json()


class HoldPlacementTest(HoldTestCase):
    def test_member_places_hold_and_sees_estimate(self) -> None:
        hold = self.hold()
        placed_at = hold.pop("placed_at")
        self.assertIsNotNone(placed_at)
        due = self.api(self.bob).get(f"/api/v3/book_rentals/{self.out.ref}").json()["due_at"]
        self.assertEqual(
            hold,
            {
                "id": Hold.objects.get().pk,
                "user": self.alice.pk,
                "book": self.book.pk,
                "status": "waiting",
                "place": 1,
                "expected_at": due,
                "copy": None,
                "ready_at": None,
                "pick_up_by": None,
                "ended_at": None,
                "rental": None,
            },
        )

    def test_refusal_lists_every_reason(self) -> None:
        Policy.objects.update(max_holds=0)
        answer = self.join(self.bob)
        self.assertEqual(answer.status_code, 409)
        self.assertEqual(
            [reason["code"] for reason in answer.json()["reasons"]], ["already_rented", "hold_limit"]
        )

    def test_holds_of_a_day_are_bounded_at_each_door(self) -> None:
        with mock.patch.object(holds, "MAX_HOLDS_A_DAY", 1):
            held = self.hold()
            self.assertEqual(self.api(self.alice).delete(f"{HOLDS}{held['id']}/").status_code, 204)
            for answer in (self.join(), self.join(self.carol, user=self.alice.pk)):
                self.assertEqual((answer.status_code, answer.json()["code"]), (409, "hold_limit"))
                self.assertIn("The limit is 1 holds in 24 hours.", answer.json()["detail"])
            self.client.force_login(self.alice)
            page = self.client.post(f"/books/{self.book.pk}/queue/", follow=True)
            self.assertContains(page, "The limit is 1 holds in 24 hours.")
        self.assertEqual(Hold.objects.count(), 1)

    def test_available_book_cannot_be_held(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        answer = self.join(book=other)
        self.assertEqual((answer.status_code, answer.json()["code"]), (409, "book_available"))

    def test_only_staff_place_holds_for_members(self) -> None:
        self.assertEqual(self.hold(self.carol, user=self.alice.pk)["user"], self.alice.pk)
        self.assertEqual(self.hold(self.dan)["user"], self.dan.pk)
        again = self.join(self.alice, user=self.dan.pk)
        self.assertEqual(again.json()["code"], "already_waiting")

    def test_invalid_field_is_an_error(self) -> None:
        for book in ("x", None, 987654, True, "1_0"):
            answer = self.api(self.alice).post(HOLDS, {"book": book})
            self.assertEqual((answer.status_code, list(answer.json())), (400, ["book"]))
        answer = self.join(self.carol, user=987654)
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["user"]))
        self.assertEqual(self.api(self.alice).post(HOLDS, {}).json(), {"book": ["This field is required."]})

    def test_anonymous_user_gets_401(self) -> None:
        client = self.api()
        for answer in (client.post(HOLDS, {"book": 1}), client.get(HOLDS), client.delete(f"{HOLDS}1")):
            self.assertEqual(answer.status_code, 401)

    def test_older_versions_have_no_holds(self) -> None:
        for version in ("v1", "v2"):
            self.assertEqual(self.api(self.alice).get(f"/api/{version}/holds/").status_code, 404)


class HoldReadTest(HoldTestCase):
    def test_members_list_own_holds_and_staff_all(self) -> None:
        hers, staffs = self.hold(), self.hold(self.dan)
        seen = self.api(self.alice).get(HOLDS).json()["results"]
        self.assertEqual(seen, [hers])
        seen = self.api(self.carol).get(HOLDS).json()["results"]
        self.assertEqual([(hold["id"], hold["place"]) for hold in seen], [(staffs["id"], 2), (hers["id"], 1)])

    def test_hold_of_other_member_is_404(self) -> None:
        hold = self.hold()
        for method in ("get", "delete"):
            call = getattr(self.api(self.bob), method)
            his, absent = call(f"{HOLDS}{hold['id']}"), call(f"{HOLDS}987654")
            self.assertEqual((his.status_code, his.content), (404, absent.content))
        self.assertEqual(self.see(hold)["status"], "waiting")
        self.assertEqual(self.see(hold, self.carol), hold)

    def test_list_query_count_is_constant(self) -> None:
        self.hold()
        with self.assertNumQueries(4):
            self.api(self.carol).get(HOLDS)
        self.hold(self.carol)
        other = add_book(name="Persuasion", kind=3)
        now = timezone.now()
        rent_book(member=self.bob, book=other, at=now, now=now)
        self.hold(book=other)
        with self.assertNumQueries(4):
            self.api(self.carol).get(HOLDS)

    def test_list_filters_by_member_book_and_status(self) -> None:
        first, second = self.hold(), self.hold(self.dan)
        self.give_back()
        client = self.api(self.carol)

        def ids(query: str) -> list[int]:
            return [hold["id"] for hold in client.get(f"{HOLDS}?{query}").json()["results"]]

        self.assertEqual(ids(f"user={self.alice.pk}"), [first["id"]])
        self.assertEqual(ids(f"book={self.book.pk}"), [second["id"], first["id"]])
        self.assertEqual(ids(f"book={self.book.pk + 1}"), [])
        self.assertEqual(ids("status=ready"), [first["id"]])
        self.assertEqual(ids("status=waiting"), [second["id"]])
        client.delete(f"{HOLDS}{first['id']}")
        self.assertEqual(ids("status=cancelled"), [first["id"]])
        self.assertEqual(ids("status=picked_up") + ids("status=expired"), [])
        for wrong in ("status=ended", "user=x", "book=1_0"):
            answer = client.get(f"{HOLDS}?{wrong}")
            self.assertEqual((answer.status_code, list(answer.json())), (400, [wrong.split("=")[0]]))


class HoldLifecycleTest(HoldTestCase):
    def test_waiting_hold_becomes_a_rental(self) -> None:
        hold = self.hold()
        self.give_back()
        ready = self.see(hold)
        self.assertEqual((ready["status"], ready["place"], ready["expected_at"]), ("ready", None, None))
        self.assertEqual(ready["copy"], self.out.copy.pk)
        times = Hold.objects.get()
        self.assertEqual(times.pick_up_by, times.ready_at + 3 * DAY)  # type: ignore[operator]  # it is ready
        refused = self.api(self.dan).post("/api/v3/book_rentals/", {"book": self.book.pk})
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "book_unavailable"))
        rented = self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.book.pk}).json()
        ended = self.see(hold)
        self.assertEqual((ended["status"], ended["rental"]), ("picked_up", rented["ref"]))

    def test_second_delete_is_refused(self) -> None:
        hold, next_one = self.hold(), self.hold(self.dan)
        client = self.api(self.alice)
        answer = client.delete(f"{HOLDS}{hold['id']}/")
        self.assertEqual((answer.status_code, answer.content), (204, b""))
        again = client.delete(f"{HOLDS}{hold['id']}/")
        self.assertEqual((again.status_code, again.json()["code"]), (409, "hold_ended"))
        self.assertEqual(self.see(next_one, self.dan)["place"], 1)

    def test_staff_cancel_any_hold(self) -> None:
        hold = self.hold()
        self.assertEqual(self.api(self.carol).delete(f"{HOLDS}{hold['id']}").status_code, 204)

    def test_hold_cannot_be_edited(self) -> None:
        hold = self.hold()
        for method in ("put", "patch", "post"):
            answer = getattr(self.api(self.carol), method)(f"{HOLDS}{hold['id']}", {"place": 1})
            self.assertEqual(answer.status_code, 405)

    def test_expired_hold_shows_its_status(self) -> None:
        hold = self.hold()
        self.give_back()
        expire_holds(at=timezone.now() + 4 * DAY)
        self.assertEqual(self.see(hold)["status"], "expired")

    def test_renewal_is_refused_while_others_wait(self) -> None:
        self.hold()
        refused = self.api(self.bob).post(f"/api/v3/book_rentals/{self.out.ref}/renew")
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "others_wait"))


class AllocationTest(HoldTestCase):
    """New and returned copies are allocated to the queue; a book shows what is available after that."""

    def book_shown(self) -> dict[str, Any]:
        return self.api().get(f"/api/v3/books/{self.book.pk}").json()

    def available_ids(self, wanted: str) -> list[int]:
        books = self.api().get(f"/api/v3/books/?available={wanted}").json()["results"]
        return [book["id"] for book in books]

    def test_allocated_copy_is_not_available(self) -> None:
        self.hold()
        self.give_back()
        self.assertEqual((self.book_shown()["copies"], self.book_shown()["available"]), (1, 0))
        self.assertEqual((self.available_ids("true"), self.available_ids("false")), ([], [self.book.pk]))
        copy = self.api(self.carol).get(f"/api/v3/copies/{self.out.copy.pk}").json()
        self.assertIs(copy["available"], False)

    def test_waiting_holds_reduce_availability(self) -> None:
        self.hold()
        Copy.objects.create(book=self.book, barcode="x1")
        self.assertEqual((self.book_shown()["available"], self.available_ids("true")), (0, []))
        Copy.objects.create(book=self.book, barcode="x2")
        self.assertEqual((self.book_shown()["available"], self.available_ids("true")), (1, [self.book.pk]))

    def test_new_copy_is_allocated_at_once(self) -> None:
        hold = self.hold()
        added = self.api(self.carol).post("/api/v3/copies/", {"book": self.book.pk}).json()
        self.assertIs(added["available"], False)
        self.assertEqual(self.see(hold)["copy"], added["id"])

    def test_copy_is_allocated_on_repair_and_released(self) -> None:
        hold = self.hold()
        spare = Copy.objects.create(book=self.book, barcode="x1", status=Copy.Status.IN_REPAIR)
        desk = self.api(self.carol)
        desk.patch(f"/api/v3/copies/{spare.pk}", {"status": "in_service"})
        self.assertEqual(self.see(hold)["status"], "ready")
        desk.patch(f"/api/v3/copies/{spare.pk}", {"status": "in_repair"})
        self.assertEqual((self.see(hold)["status"], self.see(hold)["place"]), ("waiting", 1))

    def test_naming_a_copy_does_not_bypass_the_queue(self) -> None:
        self.hold()
        self.give_back()
        sent = {"book": self.book.pk, "user": self.dan.pk, "copy": self.out.copy.pk}
        refused = self.api(self.carol).post("/api/v3/book_rentals/", sent)
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "copy_unavailable"))
        sent["user"] = self.alice.pk
        self.assertEqual(self.api(self.carol).post("/api/v3/book_rentals/", sent).status_code, 201)

    def test_previously_allocated_copy_is_kept(self) -> None:
        hold = self.hold()
        added = self.api(self.carol).post("/api/v3/copies/", {"book": self.book.pk}).json()
        self.api(self.alice).delete(f"{HOLDS}{hold['id']}")
        refused = self.api(self.carol).delete(f"/api/v3/copies/{added['id']}")
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "copy_has_rentals"))

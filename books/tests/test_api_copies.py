"""Tests of the copies endpoints, which exist from v3 on and are for staff only."""

from __future__ import annotations

from django.utils import timezone

from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals.services import rent_book


class CopyTest(CastTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(name="Emma", kind=3, copies=2)

    emma: Book
    path = "/api/v3/copies/"

    def test_only_staff_read_and_change_copies(self) -> None:
        copy = self.emma.copies.all()[0]
        for user, status in ((None, 401), (self.alice, 403), (self.carol, 200)):
            self.assertEqual(self.api(user).get(self.path).status_code, status)
            self.assertEqual(self.api(user).get(f"{self.path}{copy.pk}").status_code, status)
            answer = self.api(user).patch(f"{self.path}{copy.pk}", {"condition": "worn"})
            self.assertEqual(answer.status_code, status)
        self.assertEqual(self.api(self.carol).get("/api/v1/copies/").status_code, 404)

    def test_copy_gets_given_or_next_barcode(self) -> None:
        client = self.api(self.carol)
        given = client.post(self.path, {"book": self.emma.pk, "barcode": f"{self.emma.pk}-4"})
        self.assertEqual(given.status_code, 201)
        following = client.post(self.path, {"book": self.emma.pk, "replacement_price": "24.90"}).json()
        # The fourth copy would be -4, which is taken.
        self.assertEqual(following["barcode"], f"{self.emma.pk}-5")
        self.assertEqual((following["replacement_price"], following["available"]), ("24.90", True))

    def test_barcode_is_unique(self) -> None:
        taken = self.emma.copies.all()[0].barcode
        answer = self.api(self.carol).post(self.path, {"book": self.emma.pk, "barcode": taken})
        self.assertEqual(answer.json(), {"barcode": ["Another copy already has this barcode."]})

    def test_rented_or_repaired_copy_is_unavailable(self) -> None:
        now = timezone.now()
        rent_book(member=self.alice, book=self.emma, at=now, now=now)
        client = self.api(self.carol)
        rows = client.get(f"{self.path}?book={self.emma.pk}").json()["results"]
        self.assertEqual([row["available"] for row in rows], [False, True])
        changed = client.patch(f"{self.path}{rows[1]['id']}", {"status": "in_repair"}).json()
        self.assertEqual((changed["status"], changed["available"]), ("in_repair", False))
        refused = self.api(self.bob).post("/api/v3/book_rentals/", {"book": self.emma.pk})
        self.assertEqual(refused.json()["code"], "book_unavailable")

    def test_update_keeps_the_book_of_the_copy(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        copy = self.emma.copies.all()[0]
        self.api(self.carol).put(f"{self.path}{copy.pk}", {"book": other.pk, "barcode": "B7"})
        copy.refresh_from_db()
        self.assertEqual((copy.book, copy.barcode), (self.emma, "B7"))

    def test_only_an_unrented_copy_is_deleted(self) -> None:
        now = timezone.now()
        rented = rent_book(member=self.alice, book=self.emma, at=now, now=now).copy
        other = self.emma.copies.exclude(pk=rented.pk).get()
        client = self.api(self.carol)
        refused = client.delete(f"{self.path}{rented.pk}")
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "copy_has_rentals"))
        self.assertEqual(client.delete(f"{self.path}{other.pk}").status_code, 204)
        self.assertEqual(list(Copy.objects.all()), [rented])

    def test_invalid_value_is_a_field_error(self) -> None:
        cases = {
            "book": ["1_0", 987654, None, True, ""],
            "barcode": ["", None, "x" * 41, "\x00"],
            "status": ["gone", None],
            "condition": ["eaten", None],
            "replacement_price": ["0.00", "-1", "1.001", "1_0", "x"],
        }
        for field, values in cases.items():
            for value in values:
                with self.subTest(field=field, value=value):
                    answer = self.api(self.carol).post(self.path, {"book": self.emma.pk, field: value})
                    self.assertEqual((answer.status_code, list(answer.json())), (400, [field]))
        self.assertEqual(Copy.objects.count(), 2)

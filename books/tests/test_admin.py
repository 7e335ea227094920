"""Tests of the administration pages for books and copies."""

from __future__ import annotations

import tempfile
import threading
from typing import Any
from unittest import mock

from django.contrib.messages import get_messages
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from books import covers, stock
from books.admin import BookForm, NewCopyForm
from books.models import Book, Copy
from books.stock import add_book, change_book
from books.tests.pictures import picture, upload
from lori_assignment.testing.cases import CastTestCase
from rentals.models import Rental
from rentals.services import rent_book

ISBN = "9780141439587"
OTHER_ISBN = "9780141439662"


class StockAdminTestCase(CastTestCase):
    emma: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(name="Emma", author="Jane Austen", isbn=ISBN, kind=3, copies=2)

    def setUp(self) -> None:
        self.counter = self.signed_in(self.carol)
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.enterContext(override_settings(MEDIA_ROOT=place.name))

    def signed_in(self, user: Any) -> Client:
        client = Client()
        client.force_login(user)
        return client

    def send(self, what: str, row: Any = None, **fields: Any) -> Any:
        address = reverse(f"admin:books_{what}", args=[row.pk] if row else [])
        return self.counter.post(address, fields)

    def errors(self, answer: Any) -> dict[str, list[str]]:
        self.assertEqual(answer.status_code, 200)
        return dict(answer.context["adminform"].form.errors)

    def told(self, answer: Any) -> list[str]:
        # As if the messages had been shown.
        self.counter.cookies.pop("messages", None)
        return [str(message) for message in get_messages(answer.wsgi_request)]

    def rent(self) -> None:
        now = timezone.now()
        rent_book(member=self.alice, book=self.emma, at=now, now=now)


class BookAdminTest(StockAdminTestCase):
    def form(self, **changes: Any) -> dict[str, Any]:
        """Return the form for Emma as a browser would submit it, with `changes`."""
        fields = {"name": "Emma", "author": "Jane Austen", "isbn": ISBN, "kind": 3, "published": ""}
        return fields | changes

    def test_list_shows_free_copies(self) -> None:
        self.rent()
        page = self.counter.get(reverse("admin:books_book_changelist"), {"q": "austen"})
        self.assertContains(page, '<td class="field-in_service">2</td>', html=True)
        self.assertContains(page, '<td class="field-free">1</td>', html=True)

    def test_a_book_is_added_with_its_copies(self) -> None:
        answer = self.send("book_add", name="Persuasion", isbn=OTHER_ISBN, kind=2, copies=3)
        self.assertEqual(answer.status_code, 302)
        book = Book.objects.get(name="Persuasion")
        self.assertEqual((book.isbn, book.kind, book.copies.count()), (OTHER_ISBN, 2, 3))
        self.assertEqual(book.copies.first().barcode, f"{book.pk}-1")
        self.assertIn("Persuasion", self.told(answer)[0])

    def test_copies_may_be_zero_and_are_bounded(self) -> None:
        self.send("book_add", name="Persuasion", kind=1, copies=1)
        self.send("book_add", name="Sanditon", kind=1, copies=0)
        self.assertEqual(Book.objects.get(name="Persuasion").copies.count(), 1)
        self.assertEqual(Book.objects.get(name="Sanditon").copies.count(), 0)
        errors = self.errors(self.send("book_add", name="Susan", kind=1, copies=1001))
        self.assertEqual(list(errors), ["copies"])

    def test_isbn_is_normalised(self) -> None:
        spellings = ("978-0-14-143966-2", "0-14-143966-1", " 978 0141439662 ", "0141439661")
        for number, spelling in enumerate(spellings):
            self.send("book_add", name=f"Copy {number}", kind=1, copies=0, isbn=spelling)
            self.assertEqual(Book.objects.get(name=f"Copy {number}").isbn, OTHER_ISBN)
            Book.objects.get(name=f"Copy {number}").delete()

    def test_invalid_or_taken_isbn_is_a_field_error(self) -> None:
        # The third is the valid ISBN with a digit appended.
        wrong = {
            "9780141439580": "Enter a valid ISBN",
            "x": "Enter a valid ISBN",
            ISBN + "5": "Enter a valid ISBN",
        }
        for isbn, words in (wrong | {"978-0-14-143958-7": "Another book"}).items():
            errors = self.errors(self.send("book_add", name="Susan", kind=1, copies=1, isbn=isbn))
            self.assertEqual(list(errors), ["isbn"])
            self.assertIn(words, errors["isbn"][0])
        self.assertEqual(Book.objects.count(), 1)
        self.assertEqual(self.send("book_change", self.emma, **self.form()).status_code, 302)

    def test_concurrently_taken_isbn_is_an_error(self) -> None:
        asked = mock.patch.object(BookForm, "clean_isbn", lambda form: form.cleaned_data["isbn"])
        unasked = mock.patch("django.db.models.Model.validate_constraints")
        with asked, unasked:
            answer = self.send("book_add", name="Susan", kind=1, copies=1, isbn=ISBN)
        self.assertEqual(
            (answer.status_code, self.told(answer)), (302, ["Another book already has this ISBN."])
        )
        self.assertEqual(Book.objects.count(), 1)

    def test_only_changed_fields_are_saved(self) -> None:
        def meanwhile(**given: Any) -> Book:
            Book.objects.update(description="Written by somebody else.")
            return change_book(**given)

        with mock.patch.object(stock, "change_book", meanwhile):
            self.send("book_change", self.emma, **self.form(name="Emma Woodhouse"))
        self.emma.refresh_from_db()
        self.assertEqual(
            (self.emma.name, self.emma.description), ("Emma Woodhouse", "Written by somebody else.")
        )

    def test_cover_is_uploaded_and_cleared(self) -> None:
        self.send("book_change", self.emma, **self.form(cover=upload(picture("JPEG"), "emma.jpg")))
        self.emma.refresh_from_db()
        self.assertRegex(self.emma.cover.name, r"\Acovers/[0-9a-f]{32}\.webp\Z")
        page = self.counter.get(reverse("admin:books_book_change", args=[self.emma.pk]))
        self.assertContains(page, self.emma.cover.url)
        self.send("book_change", self.emma, **{**self.form(), "cover-clear": "on"})
        self.emma.refresh_from_db()
        self.assertEqual(self.emma.cover.name, "")

    def test_a_book_is_added_with_a_cover(self) -> None:
        self.send("book_add", name="Persuasion", kind=1, copies=1, cover=upload())
        self.assertTrue(Book.objects.get(name="Persuasion").cover.name.endswith(".webp"))

    def test_invalid_cover_is_a_field_error(self) -> None:
        for content, name in ((picture("GIF"), "a.gif"), (b"text", "a.png"), (picture(), "a.svg")):
            with mock.patch("PIL.ImageFile.ImageFile.verify") as verify:
                errors = self.errors(
                    self.send("book_change", self.emma, **self.form(cover=upload(content, name)))
                )
            # Nothing opens it before the limits are checked.
            verify.assert_not_called()
            self.assertEqual(list(errors), ["cover"])
            self.assertIn("JPEG, PNG or WebP", errors["cover"][0])
        page = self.counter.get(reverse("admin:books_book_change", args=[self.emma.pk]))
        self.assertContains(page, 'accept=".jpg,.jpeg,.png,.webp"')

    def test_busy_decoder_is_a_page_to_try_again(self) -> None:
        with mock.patch.object(covers, "_places", threading.BoundedSemaphore(1)) as places:
            places.acquire()
            for what, row in (("book_change", self.emma), ("book_add", None)):
                answer = self.send(what, row, **self.form(name="Persuasion", copies=1, cover=upload()))
                self.assertContains(answer, "The shop is busy at the moment.", status_code=429)
                self.assertEqual(answer["Retry-After"], "1")
        self.assertFalse(Book.objects.filter(name="Persuasion").exists())

    def test_rented_book_cannot_be_deleted(self) -> None:
        self.rent()
        page = self.send("book_delete", self.emma, post="yes")
        self.assertContains(page, "protected related objects")
        self.send("book_changelist", action="delete_selected", _selected_action=self.emma.pk, post="yes")
        with mock.patch("django.contrib.admin.options.get_deleted_objects", return_value=([], {}, set(), [])):
            answer = self.send("book_delete", self.emma, post="yes")
        self.assertIn("has been rented", self.told(answer)[0])
        self.assertTrue(Book.objects.filter(pk=self.emma.pk).exists())

    def test_unrented_book_is_deleted_with_its_copies(self) -> None:
        self.assertEqual(self.send("book_delete", self.emma, post="yes").status_code, 302)
        self.assertEqual((Book.objects.count(), Copy.objects.count()), (0, 0))

    def test_delete_action_is_all_or_nothing(self) -> None:
        chosen = [self.emma.pk, add_book(name="Persuasion").pk]
        fields = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
        self.rent()
        with mock.patch("django.contrib.admin.options.get_deleted_objects", return_value=([], {}, set(), [])):
            self.assertIn("has been rented", self.told(self.send("book_changelist", **fields))[0])
        self.assertEqual(Book.objects.count(), 2)
        Rental.objects.all().delete()
        self.told(self.send("book_changelist", **fields))
        self.assertEqual(Book.objects.count(), 0)


class CopyAdminTest(StockAdminTestCase):
    def test_lost_copy_on_loan_tells_the_charge(self) -> None:
        self.rent()
        copy = Rental.objects.get().copy
        fields = {"barcode": copy.barcode, "condition": copy.condition, "status": "lost"}
        told = self.told(self.send("copy_change", copy, **fields))
        self.assertIn(
            "The copy was on loan. Its rental has ended, and Alice Moss was charged $4.50.", " ".join(told)
        )

    def test_copy_gets_given_or_next_barcode(self) -> None:
        fields = {"book": self.emma.pk, "condition": "new", "status": "in_service"}
        self.send("copy_add", **fields, barcode="A-17", replacement_price="12.50")
        answer = self.send("copy_add", **fields, barcode="")
        self.assertEqual(answer.status_code, 302)
        own, following = self.emma.copies.order_by("-pk")[:2][::-1]
        self.assertEqual((own.barcode, str(own.replacement_price)), ("A-17", "12.50"))
        self.assertEqual(following.barcode, f"{self.emma.pk}-4")
        self.assertIn(following.barcode, self.told(answer)[-1])

    def test_taken_barcode_is_a_field_error(self) -> None:
        fields = {"book": self.emma.pk, "condition": "new", "status": "in_service"}
        taken = self.emma.copies.first().barcode
        self.assertEqual(
            self.errors(self.send("copy_add", **fields, barcode=taken)),
            {"barcode": ["Another copy already has this barcode."]},
        )
        with mock.patch.object(NewCopyForm, "validate_unique"):
            answer = self.send("copy_add", **fields, barcode=taken)
        self.assertEqual(
            (answer.status_code, self.told(answer)), (302, ["Another copy already has this barcode."])
        )
        self.assertEqual(Copy.objects.count(), 2)

    def test_change_keeps_the_book_of_the_copy(self) -> None:
        copy = self.emma.copies.first()
        other = add_book(name="Persuasion", copies=0)
        fields = {"book": other.pk, "barcode": copy.barcode, "condition": "worn", "status": "in_repair"}
        self.assertEqual(self.send("copy_change", copy, **fields).status_code, 302)
        copy.refresh_from_db()
        self.assertEqual((copy.book, copy.condition, copy.status), (self.emma, "worn", "in_repair"))
        self.assertEqual(
            list(self.errors(self.send("copy_change", copy, **fields | {"barcode": ""}))), ["barcode"]
        )

    def test_rented_copy_cannot_be_deleted(self) -> None:
        self.rent()
        rented, free = self.emma.copies.order_by("rentals")
        rented, free = (rented, free) if rented.rentals.exists() else (free, rented)
        with mock.patch("django.contrib.admin.options.get_deleted_objects", return_value=([], {}, set(), [])):
            for copy in (rented, free):
                self.send("copy_delete", copy, post="yes")
        self.assertEqual(list(Copy.objects.all()), [rented])


class PermissionTest(StockAdminTestCase):
    def test_only_active_staff_may_change_the_stock(self) -> None:
        for user, status in ((self.alice, 302), (self.carol, 200), (self.dan, 200)):
            client = self.signed_in(user)
            for what in ("book_changelist", "book_add", "copy_changelist", "copy_add"):
                self.assertEqual(client.get(reverse(f"admin:books_{what}")).status_code, status)
        self.carol.is_active = False
        self.carol.save()
        self.assertEqual(self.counter.get(reverse("admin:books_book_add")).status_code, 302)

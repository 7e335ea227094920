"""Tests the pages for renting and for the queue: the terms, repeated POSTs and refusals."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.test import override_settings
from django.utils import timezone

from accounts.models import User
from books.models import Book
from books.stock import add_book, change_copy
from lori_assignment.testing.cases import CastTestCase
from rentals import ledger
from rentals.holds import place_hold
from rentals.models import Hold, LedgerEntry, Policy, Rate, Rental
from rentals.services import rent_book, return_rental


class RentingTestCase(CastTestCase):
    emma: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(name="Emma", author="Jane Austen", kind=3)

    def setUp(self) -> None:
        self.now = timezone.now()
        self.client.force_login(self.alice)

    def rented_by(self, user: User) -> Rental:
        return rent_book(member=user, book=self.emma, at=self.now, now=self.now)


class RentTest(RentingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = f"/books/{self.emma.pk}/rent/"

    @override_settings(TIME_ZONE="Europe/Berlin")
    def test_page_shows_the_terms_before_renting(self) -> None:
        change_copy(copy=self.emma.copies.get(), replacement_price=Decimal("18.00"))
        Rate.objects.filter(price_list__name="Tiered", kind=3).update(late_fee="0.75")
        page = self.client.get(self.path)
        due = timezone.localtime(page.context["offer"].due_at)
        self.assertContains(page, due.strftime("%A"))
        for amount in ("$4.50", "$18.00 (the price of the book)", "$1.50 plus a late fee of $0.75"):
            self.assertContains(page, amount)
        self.assertEqual(page.context["at_due_date"].total, Decimal("18.00"))
        self.assertContains(page, "Rent it")
        self.assertEqual((Rental.objects.count(), LedgerEntry.objects.count()), (0, 0))

    def test_button_rents_on_the_shown_terms(self) -> None:
        offer = self.client.get(self.path).context["offer"]
        answer = self.client.post(self.path, follow=True)
        rental = Rental.objects.get()
        self.assertEqual((rental.user, rental.copy, rental.rate), (self.alice, offer.copy, offer.rate))
        self.assertLess(rental.due_at - offer.due_at, timedelta(minutes=1))
        self.assertContains(answer, "“Emma” is yours until")
        self.assertContains(answer, "You have it")

    def test_double_submit_rents_once(self) -> None:
        add_book(name="Another copy would be there", copies=1)
        self.emma.copies.create(barcode="second")
        self.client.post(self.path)
        again = self.client.post(self.path, follow=True)
        self.assertEqual((again.status_code, Rental.objects.count()), (200, 1))
        self.assertContains(again, "You already have “Emma”.")
        self.assertContains(again, "You have it")
        self.assertRedirects(self.client.get(self.path), f"/books/{self.emma.pk}/")

    def test_refusals_are_listed_without_a_button(self) -> None:
        self.rented_by(self.bob)
        Policy.objects.update(debt_limit="1.00")
        ledger.post(
            member=self.alice,
            kind=LedgerEntry.Kind.LOST_BOOK,
            amount=Decimal("9.00"),
            actor=self.carol,
            at=self.now,
        )
        page = self.client.get(self.path)
        self.assertContains(page, "No copy of this book is available right now.")
        self.assertContains(page, "You owe $9.00. Pay $8.00 to rent again.")
        self.assertContains(page, '<a class="button" href="/balance">See your balance</a>', html=True)
        self.assertNotContains(page, "Rent it")
        self.assertNotContains(page, "Join the queue")

    def test_late_submit_offers_the_queue(self) -> None:
        self.assertContains(self.client.get(self.path), "Rent it")
        self.rented_by(self.bob)
        page = self.client.post(self.path)
        self.assertContains(page, "Someone just took the last copy", status_code=409)
        self.assertContains(page, f'action="/books/{self.emma.pk}/queue/"', status_code=409)
        self.assertEqual(Rental.objects.count(), 1)

    def test_page_shows_the_same_reason_as_the_api(self) -> None:
        self.rented_by(self.bob)
        api = self.api(self.alice).post("/api/v3/book_rentals/", {"book": self.emma.pk}).json()
        self.assertContains(self.client.get(self.path), api["detail"])

    def test_only_its_member_picks_up_allocated_copy(self) -> None:
        rental = self.rented_by(self.bob)
        place_hold(member=self.alice, book=self.emma, at=self.now)
        return_rental(rental=rental, at=self.now, actor=self.carol, now=self.now)
        self.assertContains(self.client.get(self.path), "Rent it")
        self.client.force_login(self.bob)
        self.assertNotContains(self.client.get(self.path), "Rent it")
        self.client.force_login(self.alice)
        self.client.post(self.path)
        self.assertEqual(Hold.objects.get().status, Hold.Status.PICKED_UP)

    def test_anonymous_user_signs_in_and_returns(self) -> None:
        self.client.logout()
        answer = self.client.get(self.path)
        self.assertRedirects(answer, f"/user/login/?next={self.path}", fetch_redirect_response=False)
        self.client.post(self.path)
        self.assertEqual(Rental.objects.count(), 0)

    def test_query_count_is_constant(self) -> None:
        # A separate query for the copy set aside is cheaper than one query for that and the free copies.
        with self.assertNumQueries(9):
            self.client.get(self.path)
        for n in range(5):
            other = add_book(name=f"Other {n}")
            rent_book(member=self.alice, book=other, at=self.now, now=self.now)
        self.emma.copies.create(barcode="second")
        # One more query for all copies of the open rentals.
        with self.assertNumQueries(10):
            self.client.get(self.path)

    def test_missing_book_is_404(self) -> None:
        for path in ("/books/0/rent/", f"/books/{10**30}/rent/", "/books/0/queue/"):
            self.assertEqual(self.client.post(path).status_code, 404)


class QueueTest(RentingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = f"/books/{self.emma.pk}/queue/"

    def test_button_joins_the_end_of_the_queue(self) -> None:
        self.rented_by(self.bob)
        place_hold(member=self.dan, book=self.emma, at=self.now)
        answer = self.client.post(self.path, follow=True)
        self.assertContains(answer, "Hold placed. You&#x27;re number 2 in line.")
        self.assertContains(answer, "You're number 2 in line.")

    def test_double_submit_joins_once(self) -> None:
        self.rented_by(self.bob)
        self.client.post(self.path)
        self.assertContains(self.client.post(self.path, follow=True), "You already have a hold on this book.")
        self.assertEqual(Hold.objects.count(), 1)

    def test_available_book_cannot_be_held(self) -> None:
        answer = self.client.post(self.path, follow=True)
        self.assertContains(answer, "A copy has just become available. You can rent the book now.")
        self.assertEqual(Hold.objects.count(), 0)

    def test_refusal_is_shown_as_a_message(self) -> None:
        self.rented_by(self.bob)
        Policy.objects.update(max_holds=1)
        other = add_book(name="Other")
        rent_book(member=self.bob, book=other, at=self.now, now=self.now)
        place_hold(member=self.alice, book=other, at=self.now)
        self.assertContains(
            self.client.post(self.path, follow=True),
            "The limit is 1 hold at a time. Cancel it to place another.",
        )
        Policy.objects.update(max_holds=0)
        self.assertContains(self.client.post(self.path, follow=True), "This shop doesn&#x27;t take holds.")

    def test_get_redirects_to_the_book(self) -> None:
        self.assertRedirects(self.client.get(self.path), f"/books/{self.emma.pk}/")
        self.assertEqual(Hold.objects.count(), 0)

    def test_button_leaves_the_queue(self) -> None:
        self.rented_by(self.bob)
        hold = place_hold(member=self.alice, book=self.emma, at=self.now)
        answer = self.client.post(f"/holds/{hold.pk}/cancel/", follow=True)
        self.assertContains(answer, "Your hold on “Emma” has been cancelled.")
        self.assertContains(answer, "Join the queue")
        hold.refresh_from_db()
        self.assertEqual(hold.status, Hold.Status.CANCELLED)
        again = self.client.post(f"/holds/{hold.pk}/cancel/", follow=True)
        self.assertEqual(again.status_code, 200)

    def test_next_redirects_to_local_pages_only(self) -> None:
        self.rented_by(self.bob)
        for following, target in (
            ("/home", "/home"),
            ("https://elsewhere.example/", f"/books/{self.emma.pk}/"),
        ):
            hold = place_hold(member=self.alice, book=self.emma, at=self.now)
            answer = self.client.post(f"/holds/{hold.pk}/cancel/", {"next": following})
            self.assertRedirects(answer, target, fetch_redirect_response=False)

    def test_only_the_member_can_cancel(self) -> None:
        self.rented_by(self.bob)
        hold = place_hold(member=self.dan, book=self.emma, at=self.now)
        for user in (self.alice, self.carol):
            self.client.force_login(user)
            self.assertEqual(self.client.post(f"/holds/{hold.pk}/cancel/").status_code, 404)
        self.assertEqual(self.client.get(f"/holds/{hold.pk}/cancel/").status_code, 405)
        hold.refresh_from_db()
        self.assertTrue(hold.is_live)

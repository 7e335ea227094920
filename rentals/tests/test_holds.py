"""Tests placing, allocating, picking up, cancelling and expiring holds, and their mail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from django.core import mail
from django.test import override_settings

from accounts.models import User
from books.models import Book, Copy
from books.stock import add_book, add_copy, change_copy, delete_book, delete_copy
from lori_assignment.errors import Refusal
from lori_assignment.testing.cases import CastTestCase
from rentals import availability, holds, services, stock
from rentals.availability import available_books, free_copies, unavailable_books, with_availability
from rentals.errors import HoldLimit
from rentals.holds import ExpiryResult, expire_holds, place_hold
from rentals.models import Hold, Policy, Rental

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)

Status = Hold.Status


class QueueTestCase(CastTestCase):
    """Bob rented the only copy of Emma on Monday; Erin and Fred are members too."""

    book: Book
    copy: Copy
    erin: User
    fred: User
    out: Rental

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.erin, cls.fred = (
            User.objects.create_user(name, f"{name}@example.org") for name in ("erin", "fred")
        )
        cls.book = add_book(name="Emma", kind=3)
        cls.copy = cls.book.copies.get()
        cls.out = services.rent_book(member=cls.bob, book=cls.book, at=MONDAY, now=MONDAY)

    def rent(self, member: User, at: datetime = MONDAY + 2 * DAY, **facts: Any) -> Rental:
        return services.rent_book(**{"member": member, "book": self.book, "at": at, "now": at} | facts)

    def give_back(self, rental: Rental | None = None, at: datetime = MONDAY + DAY) -> Rental:
        return services.return_rental(rental=rental or self.out, at=at, actor=self.carol, now=at)

    def place(self, member: User, book: Book | None = None, at: datetime = MONDAY + HOUR) -> Hold:
        return place_hold(member=member, book=book or self.book, at=at)

    def cancel(self, hold: Hold, at: datetime = MONDAY + 2 * DAY) -> Hold:
        return holds.cancel_hold(hold=hold, at=at)

    def line(self, *members: User) -> list[Hold]:
        return [self.place(member) for member in members]

    def states(self, *holds: Hold) -> list[Status]:
        for hold in holds:
            hold.refresh_from_db()
        return [hold.status for hold in holds]

    def available(self) -> int:
        """Return how many copies can be rented now; assert that all availability queries agree."""
        number = with_availability(Book.objects.filter(pk=self.book.pk)).get().available  # type: ignore[attr-defined]  # annotated
        self.assertEqual(available_books(Book.objects.filter(pk=self.book.pk)).exists(), number > 0)
        for many in (0, 1, availability.MAX_LISTED_UNAVAILABLE):
            with mock.patch.object(availability, "MAX_LISTED_UNAVAILABLE", many):
                none_left = unavailable_books(Book.objects.filter(pk=self.book.pk))
            self.assertEqual(none_left.exists(), number == 0)
        return number

    def assert_refused(self, codes: Sequence[str], call: Any, *args: Any, **facts: Any) -> None:
        with self.assertRaises(Refusal) as caught:
            call(*args, **facts)
        self.assertEqual([reason.code for reason in caught.exception.reasons], list(codes))


class HoldPlacementTest(QueueTestCase):
    def test_member_waits_for_a_rented_book(self) -> None:
        self.assertEqual(self.available(), 0)
        hold = self.place(self.alice)
        self.assertEqual(
            (hold.status, hold.user, hold.placed_at), (Status.WAITING, self.alice, MONDAY + HOUR)
        )

    def test_book_with_many_copies_out_is_unavailable(self) -> None:
        add_copy(book=self.book)
        self.rent(self.erin)
        with mock.patch.object(availability, "MAX_LISTED_UNAVAILABLE", 2), self.assertNumQueries(3):
            none_left = unavailable_books(Book.objects.all())
        self.assertIn(self.book, none_left)

    def test_available_book_cannot_be_held(self) -> None:
        self.give_back()
        self.assertEqual(self.available(), 1)
        self.assert_refused(["book_available"], self.place, self.alice)
        self.assertFalse(Hold.objects.exists())

    def test_copy_allocated_to_another_is_unavailable(self) -> None:
        self.place(self.alice)
        self.give_back()
        self.assertEqual(self.place(self.erin).status, Status.WAITING)

    def test_member_has_one_live_hold_per_book(self) -> None:
        hold = self.place(self.alice)
        self.assert_refused(["already_waiting"], self.place, self.alice)
        self.give_back()
        self.assert_refused(["already_waiting"], self.place, self.alice)
        self.place(self.erin)
        self.cancel(hold)
        self.place(self.alice)

    def test_member_with_the_book_cannot_hold_it(self) -> None:
        self.assert_refused(["already_rented"], self.place, self.bob)

    def test_book_without_copies_cannot_be_held(self) -> None:
        change_copy(copy=self.copy, status=Copy.Status.LOST)
        self.assert_refused(["no_copies"], self.place, self.alice)

    def test_holds_of_a_day_are_bounded(self) -> None:
        with mock.patch.object(holds, "MAX_HOLDS_A_DAY", 2):
            for _ in range(2):
                self.cancel(self.place(self.alice, at=MONDAY + HOUR), at=MONDAY + HOUR)
            with self.assertRaisesMessage(HoldLimit, "The limit is 2 holds in 24 hours."):
                self.place(self.alice, at=MONDAY + HOUR + DAY - SECOND)
            self.place(self.alice, at=MONDAY + HOUR + DAY)

    def test_hold_limit_comes_from_the_policy(self) -> None:
        Policy.objects.update(max_holds=1)
        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.bob, book=other, at=MONDAY, now=MONDAY)
        hold = self.place(self.alice)
        self.assert_refused(["hold_limit"], self.place, self.alice, other)
        self.cancel(hold)
        self.place(self.alice, other)

    def test_refusal_lists_every_reason(self) -> None:
        Policy.objects.update(max_holds=0)
        add_copy(book=self.book)
        User.objects.filter(pk=self.bob.pk).update(is_active=False)
        codes = ["member_inactive", "already_rented", "book_available", "hold_limit"]
        self.assert_refused(codes, self.place, self.bob)


class AllocationTest(QueueTestCase):
    def test_returned_copy_is_allocated_to_the_first(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        self.assertEqual(self.states(first, second), [Status.READY, Status.WAITING])
        self.assertEqual(
            (first.copy, first.ready_at, first.pick_up_by), (self.copy, MONDAY + DAY, MONDAY + 4 * DAY)
        )
        self.assertEqual(self.available(), 0)

    def test_deadline_counts_from_the_recording(self) -> None:
        Policy.objects.update(pick_up_days=5)
        hold = self.place(self.alice)
        services.return_rental(rental=self.out, at=MONDAY + DAY, actor=self.carol, now=MONDAY + 3 * DAY)
        hold.refresh_from_db()
        self.assertEqual(hold.pick_up_by, MONDAY + 8 * DAY)

    def test_copy_of_a_void_rental_is_allocated_when_it_is_found(self) -> None:
        hold = self.place(self.alice)
        services.void_rental(rental=self.out, at=MONDAY + DAY, actor=self.carol)
        self.assertEqual(self.states(hold), [Status.WAITING])
        services.return_rental(rental=self.out, at=MONDAY + DAY, actor=self.carol, now=MONDAY + DAY)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_new_copies_serve_the_queue_first(self) -> None:
        holds = self.line(self.alice, self.erin)
        for _ in range(3):
            add_copy(book=self.book)
        # Two of the three belong to waiting members, even before they are set aside.
        self.assertEqual((free_copies().count(), self.available()), (3, 1))
        expire_holds(at=MONDAY + DAY)
        self.assertEqual(self.states(*holds), [Status.READY, Status.READY])
        self.assertEqual((free_copies().count(), self.available()), (1, 1))

    def test_copy_that_a_member_waits_for_is_unavailable(self) -> None:
        self.place(self.alice)
        add_copy(book=self.book)
        self.assertEqual(self.available(), 0)

    def test_availability_is_never_negative(self) -> None:
        self.line(self.alice, self.erin, self.fred)
        add_copy(book=self.book)
        self.assertEqual(self.available(), 0)

    def test_book_deleted_meanwhile_has_no_copies(self) -> None:
        gone = add_book(name="Persuasion", copies=2)
        delete_book(book=Book.objects.get(pk=gone.pk))
        availability.set_copy_counts([gone])
        counts: Any = gone
        self.assertEqual((counts.copies_in_service, counts.available), (0, 0))

    def test_empty_queue_writes_nothing(self) -> None:
        with self.assertNumQueries(1):
            self.assertEqual(holds.allocate_copies(self.book, at=MONDAY), [])

    def test_replacement_copy_keeps_the_deadline(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        spare = add_copy(book=self.book)
        stock.change_copy(copy=self.copy, at=MONDAY + 2 * DAY, actor=self.carol, status=Copy.Status.IN_REPAIR)
        hold.refresh_from_db()
        self.assertEqual((hold.copy, hold.pick_up_by), (spare, MONDAY + 4 * DAY))

    def test_lost_copy_returns_hold_to_its_place(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        stock.change_copy(copy=self.copy, at=MONDAY + 2 * DAY, actor=self.carol, status=Copy.Status.IN_REPAIR)
        self.assertEqual(self.states(first, second), [Status.WAITING, Status.WAITING])
        stock.change_copy(
            copy=self.copy, at=MONDAY + 3 * DAY, actor=self.carol, status=Copy.Status.IN_SERVICE
        )
        self.assertEqual(self.states(first, second), [Status.READY, Status.WAITING])
        self.assertEqual(first.pick_up_by, MONDAY + 6 * DAY)

    def test_hold_of_closed_account_is_cancelled(self) -> None:
        first, second = self.line(self.alice, self.erin)
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        self.give_back()
        self.assertEqual(self.states(first, second), [Status.CANCELLED, Status.READY])

    def test_leaving_all_queues_passes_copies_on(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.bob, book=other, at=MONDAY, now=MONDAY)
        mine, next_one, elsewhere = (
            self.place(self.alice),
            self.place(self.erin),
            self.place(self.alice, other),
        )
        self.give_back()
        holds.cancel_holds_of(member=self.alice, at=MONDAY + 2 * DAY)
        self.assertEqual(
            self.states(mine, next_one, elsewhere), [Status.CANCELLED, Status.READY, Status.CANCELLED]
        )


class PickUpTest(QueueTestCase):
    def test_allocated_copy_is_for_its_member_only(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        self.assert_refused(["book_unavailable"], self.rent, self.erin)
        self.assert_refused(["copy_unavailable"], self.rent, self.erin, copy=self.copy)
        rental = self.rent(self.alice)
        self.assertEqual(rental.copy, self.copy)
        self.assertEqual(self.states(hold), [Status.PICKED_UP])
        self.assertEqual((hold.rental, hold.ended_at), (rental, rental.rented_at))

    def test_older_account_has_no_precedence(self) -> None:
        first, second = self.line(self.fred, self.alice)
        self.give_back()
        self.assert_refused(["book_unavailable"], self.rent, self.alice)
        self.rent(self.fred)
        self.assertEqual(self.states(first, second), [Status.PICKED_UP, Status.WAITING])

    def test_staff_may_name_the_allocated_copy(self) -> None:
        self.place(self.alice)
        self.give_back()
        self.assertEqual(self.rent(self.alice, copy=self.copy).copy, self.copy)

    def test_first_in_queue_takes_unallocated_copy(self) -> None:
        first, second = self.line(self.alice, self.erin)
        spare = add_copy(book=self.book)
        for stranger in (self.fred, self.erin):
            self.assert_refused(["book_unavailable"], self.rent, stranger)
            self.assert_refused(["copy_unavailable"], self.rent, stranger, copy=spare)
        self.assertEqual(self.rent(self.alice).copy, spare)
        self.assertEqual(self.states(first, second), [Status.PICKED_UP, Status.WAITING])

    def test_surplus_copies_are_for_anyone(self) -> None:
        hold = self.place(self.alice)
        for _ in range(2):
            add_copy(book=self.book)
        self.rent(self.fred)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_other_copy_frees_the_allocated_one(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        spare = add_copy(book=self.book)
        self.assertEqual(self.rent(self.alice, copy=spare).copy, spare)
        self.assertEqual((self.states(hold), hold.copy), ([Status.PICKED_UP], spare))
        self.assertEqual(self.rent(self.erin).copy, self.copy)

    def test_rental_limits_apply_to_pick_up(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        Policy.objects.update(max_open_rentals=1)
        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.alice, book=other, at=MONDAY, now=MONDAY)
        self.assert_refused(["rental_limit"], self.rent, self.alice)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_late_pick_up_works_until_expiry(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        self.rent(self.alice, at=MONDAY + 9 * DAY)
        self.assertEqual(self.states(hold), [Status.PICKED_UP])


class CancelTest(QueueTestCase):
    def test_hold_is_cancelled_once(self) -> None:
        hold = self.cancel(self.place(self.alice))
        self.assertEqual((hold.status, hold.ended_at), (Status.CANCELLED, MONDAY + 2 * DAY))
        self.assert_refused(["hold_ended"], self.cancel, hold)

    def test_allocated_copy_goes_to_next_or_shelf(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        self.cancel(first)
        self.assertEqual((self.states(second), self.available()), ([Status.READY], 0))
        self.cancel(second)
        self.assertEqual(self.available(), 1)

    def test_cancelling_moves_later_members_up(self) -> None:
        first, second, third = self.line(self.alice, self.erin, self.fred)
        self.cancel(second)
        self.give_back()
        self.assertEqual(self.states(first, third), [Status.READY, Status.WAITING])


class RenewTest(QueueTestCase):
    def renew(self) -> Rental:
        return services.renew_rental(rental=self.out, at=MONDAY + DAY)

    def test_renewal_is_refused_while_others_wait(self) -> None:
        hold = self.place(self.alice)
        self.assert_refused(["others_wait"], self.renew)
        self.cancel(hold)
        self.assertEqual(self.renew().renewals, 1)

    def test_refusal_lists_every_reason(self) -> None:
        Policy.objects.update(max_renewals=0)
        self.place(self.alice)
        self.assert_refused(["renewal_limit", "others_wait"], self.renew)

    def test_free_copy_for_first_in_line_allows_renewal(self) -> None:
        self.place(self.alice)
        add_copy(book=self.book)
        self.assertEqual(self.renew().renewals, 1)

    def test_free_copy_serves_one_hold_only(self) -> None:
        self.line(self.alice, self.erin)
        add_copy(book=self.book)
        self.assert_refused(["others_wait"], self.renew)

    def test_copy_set_aside_is_not_free(self) -> None:
        ready, waiting = self.line(self.alice, self.erin)
        stock.add_copy(book=self.book, at=MONDAY + HOUR)
        self.assertEqual(self.states(ready, waiting), [Status.READY, Status.WAITING])
        self.assert_refused(["others_wait"], self.renew)
        self.cancel(waiting)
        self.assertEqual(self.renew().renewals, 1)

    def test_withdrawn_copy_serves_no_hold(self) -> None:
        self.place(self.alice)
        change_copy(copy=stock.add_copy(book=self.book, at=MONDAY + HOUR), status=Copy.Status.LOST)
        self.assert_refused(["others_wait"], self.renew)

    def test_a_closed_account_does_not_wait(self) -> None:
        self.place(self.alice)
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        self.assertEqual(self.renew().renewals, 1)

    def test_renewing_allocates_no_copy(self) -> None:
        self.place(self.alice)
        add_copy(book=self.book)
        before = list(Hold.objects.values())
        with self.captureOnCommitCallbacks() as after_commit:
            self.renew()
        self.assertEqual((list(Hold.objects.values()), after_commit), (before, []))


class ExpireTest(QueueTestCase):
    def test_expired_hold_passes_its_copy_on(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        self.assertEqual(expire_holds(at=MONDAY + 4 * DAY), ExpiryResult(expired=0, ready=0))
        late = MONDAY + 4 * DAY + SECOND
        self.assertEqual(expire_holds(at=late), ExpiryResult(expired=1, ready=1))
        self.assertEqual(self.states(first, second), [Status.EXPIRED, Status.READY])
        self.assertEqual((first.ended_at, second.pick_up_by), (late, late + 3 * DAY))

    def test_a_second_run_changes_nothing(self) -> None:
        self.line(self.alice, self.erin)
        self.give_back()
        expire_holds(at=MONDAY + 5 * DAY)
        before = list(Hold.objects.values())
        self.assertEqual(expire_holds(at=MONDAY + 5 * DAY), ExpiryResult())
        self.assertEqual(list(Hold.objects.values()), before)

    def test_unallocated_copies_serve_the_queue(self) -> None:
        first, second = self.line(self.alice, self.erin)
        add_copy(book=self.book)
        self.assertEqual(expire_holds(at=MONDAY + DAY), ExpiryResult(expired=0, ready=1))
        self.assertEqual(self.states(first, second), [Status.READY, Status.WAITING])

    def test_hold_that_was_ready_is_not_counted_again(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        add_copy(book=self.book)
        self.assertEqual(expire_holds(at=MONDAY + 2 * DAY), ExpiryResult(expired=0, ready=1))
        self.assertEqual(self.states(first, second), [Status.READY, Status.READY])

    def test_lost_copies_and_closed_accounts_are_seen(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        change_copy(copy=self.copy, status=Copy.Status.LOST)
        expire_holds(at=MONDAY + DAY)
        self.assertEqual(self.states(first, second), [Status.WAITING, Status.WAITING])
        User.objects.filter(pk=self.erin.pk).update(is_active=False)
        expire_holds(at=MONDAY + DAY)
        self.assertEqual(self.states(first, second), [Status.WAITING, Status.CANCELLED])

    def test_idle_run_takes_one_query(self) -> None:
        self.place(self.alice)
        with self.assertNumQueries(1):
            expire_holds(at=MONDAY + DAY)


class StockDeletionTest(QueueTestCase):
    def test_previously_allocated_copy_is_kept(self) -> None:
        spare = add_copy(book=self.book, status=Copy.Status.IN_REPAIR)
        hold = self.place(self.alice)
        stock.change_copy(copy=spare, at=MONDAY + DAY, actor=self.carol, status=Copy.Status.IN_SERVICE)
        self.cancel(hold)
        self.assert_refused(["copy_has_rentals"], delete_copy, copy=spare)
        self.assert_refused(["book_has_rentals"], delete_book, book=self.book)


class MailTest(QueueTestCase):
    def sent(self, call: Any) -> list[mail.EmailMessage]:
        mail.outbox.clear()
        with self.captureOnCommitCallbacks(execute=True):
            call()
        return mail.outbox

    @override_settings(TIME_ZONE="Europe/Rome", SITE_URL="https://shop.example")
    def test_ready_mail_names_book_and_local_deadline(self) -> None:
        self.place(self.alice)
        (sent,) = self.sent(self.give_back)
        self.assertEqual(
            (sent.to, sent.subject), (["alice@example.org"], "[Lori Books] Ready to collect: Emma")
        )
        # 9:00 UTC, in winter time.
        self.assertRegex(sent.body, r"“Emma” is ready to collect until Nov\. 27, 2026, 10 a\.m\. \(CET\)")
        self.assertIn("https://shop.example/rentals/", sent.body)
        self.assertIn("Hello Alice Moss,", sent.body)

    def test_expiry_mails_both_members(self) -> None:
        self.line(self.alice, self.erin)
        self.give_back()
        sent = self.sent(lambda: expire_holds(at=MONDAY + 5 * DAY))
        self.assertEqual(
            [(message.to, message.subject) for message in sent],
            [
                (["alice@example.org"], "[Lori Books] Hold expired: Emma"),
                (["erin@example.org"], "[Lori Books] Ready to collect: Emma"),
            ],
        )

    def test_lost_allocation_is_mailed(self) -> None:
        self.place(self.alice)
        self.give_back()
        (sent,) = self.sent(
            lambda: stock.change_copy(
                copy=self.copy, at=MONDAY + 2 * DAY, actor=self.carol, status=Copy.Status.LOST
            )
        )
        self.assertEqual(sent.subject, "[Lori Books] No longer ready to collect: Emma")

    def test_outdated_notice_is_not_sent_at_commit(self) -> None:
        self.place(self.alice)
        add_copy(book=self.book)
        self.assertEqual(self.sent(lambda: self.rent(self.alice)), [])

    def test_subject_is_one_unescaped_line(self) -> None:
        Book.objects.filter(pk=self.book.pk).update(name="Tom & Jerry\nBcc: x@example.org")
        self.place(self.alice)
        (sent,) = self.sent(self.give_back)
        self.assertEqual(sent.subject, "[Lori Books] Ready to collect: Tom & Jerry Bcc: x@example.org")

    def test_mail_failure_is_logged(self) -> None:
        hold = self.place(self.alice)
        broken = mock.patch("accounts.mail.send_mail", side_effect=ConnectionRefusedError)
        with broken, self.assertLogs("accounts.mail", "ERROR"):
            self.sent(self.give_back)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_member_without_an_address_gets_no_mail(self) -> None:
        User.objects.filter(pk=self.alice.pk).update(email="")
        self.place(self.alice)
        self.assertEqual(self.sent(self.give_back), [])

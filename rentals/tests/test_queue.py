"""The queue for a book: placing, handing out, picking up, cancelling and expiring; and its mail."""

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
from lori_assignment.cast import CastTestCase
from lori_assignment.errors import Refusal
from rentals import availability, queue, services, stock
from rentals.availability import available_books, free_copies, unavailable_books, with_availability
from rentals.models import Hold, Policy, Rental
from rentals.queue import Swept, expire_holds, place_hold

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)

Status = Hold.Status


class QueueTestCase(CastTestCase):
    """Bob has the only copy of Emma out, since Monday; Erin and Fred are members too."""

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
        return queue.cancel_hold(hold=hold, at=at)

    def line(self, *members: User) -> list[Hold]:
        return [self.place(member) for member in members]

    def states(self, *holds: Hold) -> list[Status]:
        for hold in holds:
            hold.refresh_from_db()
        return [hold.status for hold in holds]

    def available(self) -> int:
        """How many copies can be rented now, by every way of asking."""
        number = with_availability(Book.objects.filter(pk=self.book.pk)).get().available  # type: ignore[attr-defined]  # annotated
        self.assertEqual(available_books(Book.objects.filter(pk=self.book.pk)).exists(), number > 0)
        for many in (0, 1, availability.MANY):
            with mock.patch.object(availability, "MANY", many):
                none_left = unavailable_books(Book.objects.filter(pk=self.book.pk))
            self.assertEqual(none_left.exists(), number == 0)
        return number

    def assert_refused(self, codes: Sequence[str], call: Any, *args: Any, **facts: Any) -> None:
        with self.assertRaises(Refusal) as caught:
            call(*args, **facts)
        self.assertEqual([reason.code for reason in caught.exception.reasons], list(codes))


class PlaceTest(QueueTestCase):
    def test_a_member_waits_for_what_is_out(self) -> None:
        self.assertEqual(self.available(), 0)
        hold = self.place(self.alice)
        self.assertEqual(
            (hold.status, hold.user, hold.placed_at), (Status.WAITING, self.alice, MONDAY + HOUR)
        )

    def test_a_book_of_which_many_copies_are_out_is_no_more_than_one(self) -> None:
        add_copy(book=self.book)
        self.rent(self.erin)
        with mock.patch.object(availability, "MANY", 2), self.assertNumQueries(3):
            none_left = unavailable_books(Book.objects.all())
        self.assertIn(self.book, none_left)

    def test_what_is_free_is_rented_and_not_waited_for(self) -> None:
        self.give_back()
        self.assertEqual(self.available(), 1)
        self.assert_refused(["book_available"], self.place, self.alice)
        self.assertFalse(Hold.objects.exists())

    def test_a_copy_put_aside_for_another_is_not_free(self) -> None:
        self.place(self.alice)
        self.give_back()
        self.assertEqual(self.place(self.erin).status, Status.WAITING)

    def test_nobody_waits_twice_for_a_book_and_anew_once_it_has_ended(self) -> None:
        hold = self.place(self.alice)
        self.assert_refused(["already_waiting"], self.place, self.alice)
        self.give_back()
        self.assert_refused(["already_waiting"], self.place, self.alice)
        self.place(self.erin)
        self.cancel(hold)
        self.place(self.alice)

    def test_whoever_has_the_book_does_not_wait_for_it(self) -> None:
        self.assert_refused(["already_rented"], self.place, self.bob)

    def test_there_is_nothing_to_wait_for_without_a_copy_in_service(self) -> None:
        change_copy(copy=self.copy, status=Copy.Status.LOST)
        self.assert_refused(["no_copies"], self.place, self.alice)

    def test_the_policy_says_in_how_many_queues_a_member_is(self) -> None:
        Policy.objects.update(max_holds=1)
        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.bob, book=other, at=MONDAY, now=MONDAY)
        hold = self.place(self.alice)
        self.assert_refused(["hold_limit"], self.place, self.alice, other)
        self.cancel(hold)
        self.place(self.alice, other)

    def test_a_refusal_tells_every_reason(self) -> None:
        Policy.objects.update(max_holds=0)
        add_copy(book=self.book)
        User.objects.filter(pk=self.bob.pk).update(is_active=False)
        codes = ["member_inactive", "already_rented", "book_available", "hold_limit"]
        self.assert_refused(codes, self.place, self.bob)


class HandOutTest(QueueTestCase):
    def test_a_copy_that_comes_back_is_put_aside_for_the_first(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        self.assertEqual(self.states(first, second), [Status.READY, Status.WAITING])
        self.assertEqual(
            (first.copy, first.ready_at, first.pick_up_by), (self.copy, MONDAY + DAY, MONDAY + 4 * DAY)
        )
        self.assertEqual(self.available(), 0)

    def test_the_deadline_is_the_policys_and_counts_from_when_the_return_is_written_down(self) -> None:
        Policy.objects.update(pick_up_days=5)
        hold = self.place(self.alice)
        services.return_rental(rental=self.out, at=MONDAY + DAY, actor=self.carol, now=MONDAY + 3 * DAY)
        hold.refresh_from_db()
        self.assertEqual(hold.pick_up_by, MONDAY + 8 * DAY)

    def test_a_rental_made_void_hands_its_copy_on(self) -> None:
        hold = self.place(self.alice)
        services.void_rental(rental=self.out, at=MONDAY + DAY, actor=self.carol)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_new_copies_go_to_the_first_and_the_rest_to_anybody(self) -> None:
        holds = self.line(self.alice, self.erin)
        for _ in range(3):
            add_copy(book=self.book)
        # Two of the three are owed, before anybody has put them aside.
        self.assertEqual((free_copies().count(), self.available()), (3, 1))
        expire_holds(at=MONDAY + DAY)
        self.assertEqual(self.states(*holds), [Status.READY, Status.READY])
        self.assertEqual((free_copies().count(), self.available()), (1, 1))

    def test_more_who_wait_than_copies_leave_none_and_never_less(self) -> None:
        self.line(self.alice, self.erin, self.fred)
        add_copy(book=self.book)
        self.assertEqual(self.available(), 0)

    def test_without_a_queue_nothing_is_written(self) -> None:
        with self.assertNumQueries(1):
            self.assertEqual(queue.hand_out(self.book, at=MONDAY), [])

    def test_a_copy_taken_out_of_service_is_replaced_by_another_with_the_same_deadline(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        spare = add_copy(book=self.book)
        stock.change_copy(copy=self.copy, at=MONDAY + 2 * DAY, status=Copy.Status.IN_REPAIR)
        hold.refresh_from_db()
        self.assertEqual((hold.copy, hold.pick_up_by), (spare, MONDAY + 4 * DAY))

    def test_without_another_the_member_waits_again_in_the_old_place(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        stock.change_copy(copy=self.copy, at=MONDAY + 2 * DAY, status=Copy.Status.IN_REPAIR)
        self.assertEqual(self.states(first, second), [Status.WAITING, Status.WAITING])
        stock.change_copy(copy=self.copy, at=MONDAY + 3 * DAY, status=Copy.Status.IN_SERVICE)
        self.assertEqual(self.states(first, second), [Status.READY, Status.WAITING])
        self.assertEqual(first.pick_up_by, MONDAY + 6 * DAY)

    def test_a_closed_account_waits_for_nothing(self) -> None:
        first, second = self.line(self.alice, self.erin)
        User.objects.filter(pk=self.alice.pk).update(is_active=False)
        self.give_back()
        self.assertEqual(self.states(first, second), [Status.CANCELLED, Status.READY])

    def test_who_leaves_all_queues_hands_on_what_was_put_aside(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.bob, book=other, at=MONDAY, now=MONDAY)
        mine, next_one, elsewhere = (
            self.place(self.alice),
            self.place(self.erin),
            self.place(self.alice, other),
        )
        self.give_back()
        queue.leave_all_queues(member=self.alice, at=MONDAY + 2 * DAY)
        self.assertEqual(
            self.states(mine, next_one, elsewhere), [Status.CANCELLED, Status.READY, Status.CANCELLED]
        )


class PickUpTest(QueueTestCase):
    def test_the_copy_put_aside_is_for_its_member_only(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        self.assert_refused(["book_unavailable"], self.rent, self.erin)
        self.assert_refused(["copy_unavailable"], self.rent, self.erin, copy=self.copy)
        rental = self.rent(self.alice)
        self.assertEqual(rental.copy, self.copy)
        self.assertEqual(self.states(hold), [Status.PICKED_UP])
        self.assertEqual((hold.rental, hold.ended_at), (rental, rental.rented_at))

    def test_the_desk_may_name_the_copy_put_aside_for_the_member(self) -> None:
        self.place(self.alice)
        self.give_back()
        self.assertEqual(self.rent(self.alice, copy=self.copy).copy, self.copy)

    def test_the_first_takes_what_came_back_by_a_door_that_knows_of_no_queue(self) -> None:
        first, second = self.line(self.alice, self.erin)
        spare = add_copy(book=self.book)
        for stranger in (self.fred, self.erin):
            self.assert_refused(["book_unavailable"], self.rent, stranger)
            self.assert_refused(["copy_unavailable"], self.rent, stranger, copy=spare)
        self.assertEqual(self.rent(self.alice).copy, spare)
        self.assertEqual(self.states(first, second), [Status.PICKED_UP, Status.WAITING])

    def test_what_is_left_after_those_who_wait_is_for_anybody(self) -> None:
        hold = self.place(self.alice)
        for _ in range(2):
            add_copy(book=self.book)
        self.rent(self.fred)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_where_the_desk_hands_over_another_copy_the_one_put_aside_is_free_again(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        spare = add_copy(book=self.book)
        self.assertEqual(self.rent(self.alice, copy=spare).copy, spare)
        self.assertEqual((self.states(hold), hold.copy), ([Status.PICKED_UP], spare))
        self.assertEqual(self.rent(self.erin).copy, self.copy)

    def test_the_limits_are_those_of_any_rental(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        Policy.objects.update(max_open_rentals=1)
        other = add_book(name="Persuasion", kind=3)
        services.rent_book(member=self.alice, book=other, at=MONDAY, now=MONDAY)
        self.assert_refused(["rental_limit"], self.rent, self.alice)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_a_late_pick_up_is_one_until_the_hold_has_expired(self) -> None:
        hold = self.place(self.alice)
        self.give_back()
        self.rent(self.alice, at=MONDAY + 9 * DAY)
        self.assertEqual(self.states(hold), [Status.PICKED_UP])


class CancelTest(QueueTestCase):
    def test_a_place_is_given_up_once(self) -> None:
        hold = self.cancel(self.place(self.alice))
        self.assertEqual((hold.status, hold.ended_at), (Status.CANCELLED, MONDAY + 2 * DAY))
        self.assert_refused(["hold_ended"], self.cancel, hold)

    def test_what_was_put_aside_goes_to_the_next_or_back_to_the_shelf(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        self.cancel(first)
        self.assertEqual((self.states(second), self.available()), ([Status.READY], 0))
        self.cancel(second)
        self.assertEqual(self.available(), 1)

    def test_a_place_in_the_middle_moves_the_others_up_and_hands_nothing_out(self) -> None:
        first, second, third = self.line(self.alice, self.erin, self.fred)
        self.cancel(second)
        self.give_back()
        self.assertEqual(self.states(first, third), [Status.READY, Status.WAITING])


class RenewTest(QueueTestCase):
    def renew(self) -> Rental:
        return services.renew_rental(rental=self.out, at=MONDAY + DAY)

    def test_not_while_somebody_waits(self) -> None:
        hold = self.place(self.alice)
        self.assert_refused(["others_wait"], self.renew)
        self.cancel(hold)
        self.assertEqual(self.renew().renewals, 1)

    def test_every_reason_is_told(self) -> None:
        Policy.objects.update(max_renewals=0)
        self.place(self.alice)
        self.assert_refused(["renewal_limit", "others_wait"], self.renew)

    def test_a_free_copy_for_the_first_who_waits_allows_it(self) -> None:
        self.place(self.alice)
        add_copy(book=self.book)
        self.assertEqual(self.renew().renewals, 1)

    def test_a_free_copy_does_not_serve_two_who_wait(self) -> None:
        self.line(self.alice, self.erin)
        add_copy(book=self.book)
        self.assert_refused(["others_wait"], self.renew)

    def test_a_copy_put_aside_is_not_free_for_the_next(self) -> None:
        ready, waiting = self.line(self.alice, self.erin)
        stock.add_copy(book=self.book, at=MONDAY + HOUR)
        self.assertEqual(self.states(ready, waiting), [Status.READY, Status.WAITING])
        self.assert_refused(["others_wait"], self.renew)
        self.cancel(waiting)
        self.assertEqual(self.renew().renewals, 1)

    def test_a_copy_put_aside_and_taken_out_of_service_serves_nobody(self) -> None:
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
    def test_after_the_deadline_the_copy_passes_on(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        self.assertEqual(expire_holds(at=MONDAY + 4 * DAY), Swept(expired=0, ready=0))
        late = MONDAY + 4 * DAY + SECOND
        self.assertEqual(expire_holds(at=late), Swept(expired=1, ready=1))
        self.assertEqual(self.states(first, second), [Status.EXPIRED, Status.READY])
        self.assertEqual((first.ended_at, second.pick_up_by), (late, late + 3 * DAY))

    def test_a_second_run_changes_nothing(self) -> None:
        self.line(self.alice, self.erin)
        self.give_back()
        expire_holds(at=MONDAY + 5 * DAY)
        before = list(Hold.objects.values())
        self.assertEqual(expire_holds(at=MONDAY + 5 * DAY), Swept())
        self.assertEqual(list(Hold.objects.values()), before)

    def test_it_serves_every_queue_for_which_a_copy_has_come_in(self) -> None:
        first, second = self.line(self.alice, self.erin)
        add_copy(book=self.book)
        self.assertEqual(expire_holds(at=MONDAY + DAY), Swept(expired=0, ready=1))
        self.assertEqual(self.states(first, second), [Status.READY, Status.WAITING])

    def test_it_minds_copies_gone_and_accounts_closed(self) -> None:
        first, second = self.line(self.alice, self.erin)
        self.give_back()
        change_copy(copy=self.copy, status=Copy.Status.LOST)
        expire_holds(at=MONDAY + DAY)
        self.assertEqual(self.states(first, second), [Status.WAITING, Status.WAITING])
        User.objects.filter(pk=self.erin.pk).update(is_active=False)
        expire_holds(at=MONDAY + DAY)
        self.assertEqual(self.states(first, second), [Status.WAITING, Status.CANCELLED])

    def test_a_quiet_shop_costs_one_query(self) -> None:
        self.place(self.alice)
        with self.assertNumQueries(1):
            expire_holds(at=MONDAY + DAY)


class DeleteTest(QueueTestCase):
    def test_a_copy_that_was_put_aside_stays_for_the_records(self) -> None:
        spare = add_copy(book=self.book, status=Copy.Status.IN_REPAIR)
        hold = self.place(self.alice)
        stock.change_copy(copy=spare, at=MONDAY + DAY, status=Copy.Status.IN_SERVICE)
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
    def test_whoever_is_next_is_told_the_book_and_the_deadline_in_the_shops_time(self) -> None:
        self.place(self.alice)
        (sent,) = self.sent(self.give_back)
        self.assertEqual((sent.to, sent.subject), (["alice@example.org"], "[Lori Books] Ready for you: Emma"))
        # 9:00 UTC, after the clocks have gone back.
        self.assertRegex(sent.body, r"“Emma” .* by Nov\. 27, 2026, 10 a\.m\. \(CET\)")
        self.assertIn("https://shop.example/rentals/", sent.body)
        self.assertIn("Hello Alice Moss,", sent.body)

    def test_whoever_did_not_come_is_told_and_the_next_as_well(self) -> None:
        self.line(self.alice, self.erin)
        self.give_back()
        sent = self.sent(lambda: expire_holds(at=MONDAY + 5 * DAY))
        self.assertEqual(
            [(message.to, message.subject) for message in sent],
            [
                (["alice@example.org"], "[Lori Books] Not picked up: Emma"),
                (["erin@example.org"], "[Lori Books] Ready for you: Emma"),
            ],
        )

    def test_whoever_waits_again_is_told(self) -> None:
        self.place(self.alice)
        self.give_back()
        (sent,) = self.sent(
            lambda: stock.change_copy(copy=self.copy, at=MONDAY + 2 * DAY, status=Copy.Status.LOST)
        )
        self.assertEqual(sent.subject, "[Lori Books] Not ready after all: Emma")

    def test_what_is_no_longer_true_at_the_commit_is_not_told(self) -> None:
        self.place(self.alice)
        add_copy(book=self.book)
        self.assertEqual(self.sent(lambda: self.rent(self.alice)), [])

    def test_a_title_of_two_lines_is_one_subject_and_signs_are_not_escaped(self) -> None:
        Book.objects.filter(pk=self.book.pk).update(name="Tom & Jerry\nBcc: x@example.org")
        self.place(self.alice)
        (sent,) = self.sent(self.give_back)
        self.assertEqual(sent.subject, "[Lori Books] Ready for you: Tom & Jerry Bcc: x@example.org")

    def test_a_mail_server_that_fails_stops_nothing_and_is_logged(self) -> None:
        hold = self.place(self.alice)
        broken = mock.patch("accounts.mail.send_mail", side_effect=ConnectionRefusedError)
        with broken, self.assertLogs("accounts.mail", "ERROR"):
            self.sent(self.give_back)
        self.assertEqual(self.states(hold), [Status.READY])

    def test_nobody_is_written_to_without_an_address(self) -> None:
        User.objects.filter(pk=self.alice.pk).update(email="")
        self.place(self.alice)
        self.assertEqual(self.sent(self.give_back), [])

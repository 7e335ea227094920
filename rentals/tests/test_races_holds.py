"""Tests concurrent changes of a queue, with locks and without.

As in `test_races`, each test without a lock shows what goes wrong, to prove that the one with it tests it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from django.core import mail
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import User
from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.errors import refuse
from lori_assignment.testing.cases import RaceTestCase
from rentals import holds, services
from rentals.holds import ExpiryResult, expire_holds
from rentals.models import Hold, Policy, Rental
from rentals.tests.test_races import first_without_lock, has_row_locks, lock_all_but, outcome

DAY = timedelta(days=1)

Status = Hold.Status


@contextmanager
def unlocked(*models: type[Any]) -> Iterator[None]:
    """Let `holds` and `services` read the rows of `models` without a lock."""
    with ExitStack() as stack:
        for module in (holds, services):
            stack.enter_context(mock.patch.object(module, "lock", lock_all_but(*models)))
        if Copy in models:
            stack.enter_context(mock.patch.object(services, "lock_first", first_without_lock))
        yield


@contextmanager
def meeting(module: Any, name: str, *, number: int) -> Iterator[None]:
    """Let `number` threads wait for each other where they call the function `name` of `module`."""
    line = threading.Barrier(number)
    real = getattr(module, name)

    def meet_and_call(*args: Any, **options: Any) -> Any:
        line.wait(timeout=10)
        return real(*args, **options)

    with mock.patch.object(module, name, meet_and_call):
        yield


class QueueRaceTest(RaceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = timezone.now()
        self.book = add_book(name="Emma", kind=3)
        self.copy = self.book.copies.get()
        self.erin = User.objects.create_user("erin", "erin@example.org")

    def rent(self, member: User, *, copy: Copy | None = None, at: datetime | None = None) -> Rental:
        at = at or self.now
        return services.rent_book(member=member, book=self.book, at=at, now=at, copy=copy)

    def give_back(self, rental: Rental) -> Rental:
        return services.return_rental(rental=rental, at=self.now, actor=self.carol, now=self.now)

    def place(self, member: User, book: Book | None = None) -> Hold:
        return holds.place_hold(member=member, book=book or self.book, at=self.now)

    def ready(self, member: User, *others: User) -> Hold:
        """Create a ready hold of `member`, with `others` waiting behind it."""
        rental = self.rent(self.dan)
        hold = self.place(member)
        for other in others:
            self.place(other)
        self.give_back(rental)
        return Hold.objects.get(pk=hold.pk)

    def states(self) -> dict[str, Status]:
        return {hold.user.username: hold.status for hold in Hold.objects.select_related("user")}

    def run_concurrently(self, *calls: Callable[[], Any]) -> list[Any]:
        mail.outbox.clear()
        return super().run_concurrently(*calls)

    def outcomes(self, *calls: Callable[[], Any]) -> Counter[str]:
        return Counter(map(outcome, self.run_concurrently(*calls)))

    def pick_up_while(self, change: Callable[[], Any], *, patience: float) -> list[Any]:
        """Return the results of Alice's pick-up and of `change`, which starts after the pick-up's checks.

        The pick-up waits up to `patience` seconds for the change to finish.
        """
        allowed, changed = threading.Event(), threading.Event()
        picking = threading.local()

        def refuse_and_wait(reasons: Any) -> None:
            refuse(reasons)
            if getattr(picking, "up", False):
                allowed.set()
                changed.wait(timeout=patience)

        def pick_up() -> Rental:
            picking.up = True
            return self.rent(self.alice)

        def change_then() -> Any:
            allowed.wait(timeout=10)
            try:
                return change()
            finally:
                changed.set()

        with mock.patch.object(services, "refuse", refuse_and_wait):
            return self.run_concurrently(pick_up, change_then)

    # A pick-up and another rental of the same copy.

    def test_allocated_copy_goes_to_its_member(self) -> None:
        self.ready(self.alice)
        members = User.objects.bulk_create(
            User(username=f"m{number}", email=f"m{number}@example.org") for number in range(8)
        )
        others = [lambda member=member: self.rent(member) for member in members]
        named = [lambda member=member: self.rent(member, copy=self.copy) for member in members]
        found = self.outcomes(*others, lambda: self.rent(self.alice), *named)
        self.assertEqual(found, {"done": 1, "book_unavailable": 8, "copy_unavailable": 8})
        self.assertEqual(Rental.objects.open().get().user, self.alice)

    def give_up_and_let_rent(self, hold: Hold) -> Rental:
        holds.cancel_hold(hold=hold, at=self.now)
        return self.rent(self.bob, copy=self.copy)

    def test_pick_up_blocks_cancelling(self) -> None:
        hold = self.ready(self.alice)
        found = self.pick_up_while(lambda: self.give_up_and_let_rent(hold), patience=0.5)
        self.assertEqual([outcome(result) for result in found], ["done", "hold_ended"])
        self.assertEqual(Rental.objects.open().get().user, self.alice)

    @has_row_locks
    def test_without_locks_cancelling_breaks_pick_up(self) -> None:
        hold = self.ready(self.alice)
        with unlocked(Book, Copy):
            found = self.pick_up_while(lambda: self.give_up_and_let_rent(hold), patience=10)
        self.assertIsInstance(found[0], IntegrityError)
        self.assertEqual(Rental.objects.open().get().user, self.bob)

    # An expiry and a pick-up.

    def test_pick_up_blocks_expiry(self) -> None:
        self.ready(self.alice, self.erin)
        late = self.now + 4 * DAY
        found = self.pick_up_while(lambda: expire_holds(at=late), patience=0.5)
        self.assertEqual((outcome(found[0]), found[1]), ("done", ExpiryResult()))
        self.assertEqual(self.states(), {"alice": Status.PICKED_UP, "erin": Status.WAITING})

    @has_row_locks
    def test_without_book_lock_a_rented_copy_is_ready(self) -> None:
        self.ready(self.alice, self.erin)
        late = self.now + 4 * DAY
        with unlocked(Book):
            found = self.pick_up_while(lambda: expire_holds(at=late), patience=10)
        self.assertEqual((outcome(found[0]), found[1]), ("done", ExpiryResult(expired=1, ready=1)))
        self.assertEqual(self.states()["erin"], Status.READY)
        self.assertEqual(Rental.objects.open().get().copy, self.copy)

    def test_pick_up_and_expiry_have_one_winner(self) -> None:
        self.ready(self.alice, self.erin)
        late = self.now + 4 * DAY
        picked_up, swept = self.run_concurrently(
            lambda: self.rent(self.alice, at=late), lambda: expire_holds(at=late)
        )
        if outcome(picked_up) == "done":
            self.assertEqual(swept, ExpiryResult())
            self.assertEqual(self.states(), {"alice": Status.PICKED_UP, "erin": Status.WAITING})
        else:
            self.assertEqual((outcome(picked_up), swept), ("book_unavailable", ExpiryResult(1, 1)))
            self.assertEqual(self.states(), {"alice": Status.EXPIRED, "erin": Status.READY})

    # Several holds placed by one member.

    def test_member_gets_one_place(self) -> None:
        self.rent(self.bob)
        found = self.outcomes(*[lambda: self.place(self.alice)] * 5)
        self.assertEqual(found, {"done": 1, "already_waiting": 4})

    @has_row_locks
    def test_without_locks_the_constraint_fails(self) -> None:
        self.rent(self.bob)
        with unlocked(User, Book), meeting(holds, "refuse", number=3):
            found = self.run_concurrently(*[lambda: self.place(self.alice)] * 3)
        self.assertEqual(sum(isinstance(result, IntegrityError) for result in found), 2)
        self.assertEqual(Hold.objects.count(), 1)

    def out_with_bob(self, count: int) -> list[Book]:
        books = [add_book(name=f"Volume {number}", kind=1) for number in range(count)]
        for book in books:
            services.rent_book(member=self.bob, book=book, at=self.now, now=self.now)
        return books

    def test_hold_limit_holds_across_books(self) -> None:
        Policy.objects.update(max_holds=2)
        calls = [lambda book=book: self.place(self.alice, book) for book in self.out_with_bob(5)]
        self.assertEqual(self.outcomes(*calls), {"done": 2, "hold_limit": 3})

    def test_holds_of_a_day_hold_across_books(self) -> None:
        calls = [lambda book=book: self.place(self.alice, book) for book in self.out_with_bob(5)]
        with mock.patch.object(holds, "MAX_HOLDS_A_DAY", 2):
            self.assertEqual(self.outcomes(*calls), {"done": 2, "hold_limit": 3})

    @has_row_locks
    def test_without_member_lock_the_limit_fails(self) -> None:
        Policy.objects.update(max_holds=2)
        calls = [lambda book=book: self.place(self.alice, book) for book in self.out_with_bob(5)]
        with unlocked(User), meeting(holds, "refuse", number=5):
            self.assertEqual(self.outcomes(*calls), {"done": 5})

    # A return and a new hold.

    def place_while(self, change: Callable[[], Any], *, patience: float) -> list[Any]:
        """As `pick_up_while`, for Alice's new hold."""
        allowed, changed = threading.Event(), threading.Event()

        def refuse_and_wait(reasons: Any) -> None:
            refuse(reasons)
            allowed.set()
            changed.wait(timeout=patience)

        def change_then() -> Any:
            allowed.wait(timeout=10)
            try:
                return change()
            finally:
                changed.set()

        with mock.patch.object(holds, "refuse", refuse_and_wait):
            return self.run_concurrently(lambda: self.place(self.alice), change_then)

    def test_concurrent_return_is_allocated(self) -> None:
        rental = self.rent(self.bob)
        found = self.place_while(lambda: self.give_back(rental), patience=0.5)
        self.assertEqual([outcome(result) for result in found], ["done", "done"])
        self.assertEqual(self.states(), {"alice": Status.READY})
        self.assertEqual(len(mail.outbox), 1)

    @has_row_locks
    def test_without_book_lock_the_copy_is_missed(self) -> None:
        rental = self.rent(self.bob)
        with unlocked(Book):
            found = self.place_while(lambda: self.give_back(rental), patience=10)
        self.assertEqual([outcome(result) for result in found], ["done", "done"])
        self.assertEqual(self.states(), {"alice": Status.WAITING})
        # The next expiry run repairs this.
        self.assertEqual(expire_holds(at=self.now), ExpiryResult(expired=0, ready=1))

    def test_concurrent_renewal_and_hold_agree(self) -> None:
        rental = self.rent(self.bob)
        renewed, placed = self.run_concurrently(
            lambda: services.renew_rental(rental=rental, at=self.now), lambda: self.place(self.alice)
        )
        self.assertIn(outcome(renewed), {"done", "others_wait"})
        self.assertEqual(outcome(placed), "done")

    # Several runs of `expire_holds`.

    def test_concurrent_expiry_runs_expire_once(self) -> None:
        self.ready(self.alice, self.erin)
        late = self.now + 4 * DAY
        found = self.run_concurrently(*[lambda: expire_holds(at=late)] * 4)
        self.assertEqual(sum(found, ExpiryResult()), ExpiryResult(expired=1, ready=1))
        self.assertEqual(self.states(), {"alice": Status.EXPIRED, "erin": Status.READY})
        self.assertEqual(
            Counter(message.to[0] for message in mail.outbox),
            {"alice@example.org": 1, "erin@example.org": 1},
        )

    @has_row_locks
    def test_without_book_lock_expiry_mails_twice(self) -> None:
        self.ready(self.alice, self.erin)
        late = self.now + 4 * DAY
        # By then both runs have found the hold expired.
        with unlocked(Book), meeting(holds, "_end", number=2):
            found = self.run_concurrently(*[lambda: expire_holds(at=late)] * 2)
        self.assertEqual(sum(result.expired for result in found), 2)
        self.assertEqual(Counter(message.to[0] for message in mail.outbox)["alice@example.org"], 2)

    # Two returns for one queue.

    def two_out(self) -> list[Rental]:
        """Rent out two copies and let Alice and Erin wait; return the rentals."""
        Copy.objects.create(book=self.book, barcode="second")
        rentals = [self.rent(self.bob), self.rent(self.dan)]
        for member in (self.alice, self.erin):
            self.place(member)
        return rentals

    def test_two_concurrent_returns_serve_two_members(self) -> None:
        first, second = self.two_out()
        self.assertEqual(
            self.outcomes(lambda: self.give_back(first), lambda: self.give_back(second)), {"done": 2}
        )
        self.assertEqual(self.states(), {"alice": Status.READY, "erin": Status.READY})
        self.assertEqual(len(mail.outbox), 2)

    @has_row_locks
    def test_without_book_lock_one_hold_is_missed(self) -> None:
        first, second = self.two_out()
        # By then each return has seen the other copy still on loan.
        with unlocked(Book), meeting(holds.Policy, "current", number=2):
            found = self.outcomes(lambda: self.give_back(first), lambda: self.give_back(second))
        self.assertEqual(found, {"done": 2})
        self.assertEqual(self.states(), {"alice": Status.READY, "erin": Status.WAITING})

"""Tests that the queue stays consistent under random sequences of actions."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from accounts.models import User
from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.errors import Refusal
from lori_assignment.testing.cases import CastTestCase
from rentals import holds, services, stock
from rentals.availability import available_books, free_copies, unavailable_books, with_availability
from rentals.models import Hold, Rental
from rentals.tests.test_holds import MONDAY

HOURS = st.integers(0, 100)
WHO = st.integers(0, 4)
# Actions that move the queue are listed several times, to be more frequent.
DEEDS = """
    rent rent rent return return hold hold hold cancel expire renew void leave break mend
"""
STEPS = st.lists(st.tuples(st.sampled_from(DEEDS.split()), WHO, HOURS), min_size=15, max_size=30)


class InvariantTest(CastTestCase):
    book: Book
    copies: list[Copy]
    members: list[User]

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Emma", kind=3, copies=2)
        cls.copies = list(cls.book.copies.order_by("pk"))
        cls.members = [
            User.objects.create_user(f"m{number}", f"m{number}@example.org") for number in range(5)
        ]

    def step(self, what: str, who: int, at: datetime) -> None:
        """Do one action, which may be refused."""
        member, copy = self.members[who], self.copies[who % 2]
        rental = Rental.objects.open().filter(user=member).first()
        hold = Hold.objects.live().filter(user=member).first()
        with suppress(Refusal):
            if what == "rent":
                services.rent_book(member=member, book=self.book, at=at, now=at)
            elif what == "hold":
                holds.place_hold(member=member, book=self.book, at=at)
            elif what == "expire":
                holds.expire_holds(at=at)
            elif what == "leave":
                holds.cancel_holds_of(member=member, at=at)
            elif what in ("break", "mend"):
                status = Copy.Status.IN_REPAIR if what == "break" else Copy.Status.IN_SERVICE
                stock.change_copy(copy=copy, at=at, actor=self.carol, status=status)
            elif what == "cancel" and hold:
                holds.cancel_hold(hold=hold, at=at)
            elif what == "return" and rental:
                services.return_rental(rental=rental, at=at, actor=self.carol, now=at)
            elif what == "renew" and rental:
                services.renew_rental(rental=rental, at=at)
            elif what == "void" and rental:
                services.void_rental(rental=rental, at=at, actor=self.carol)

    def ready(self) -> dict[int, Copy]:
        return {hold.pk: hold.copy for hold in Hold.objects.ready().select_related("copy") if hold.copy}

    def rows(self) -> list[list[Any]]:
        return [list(model.objects.order_by("pk").values_list()) for model in (Rental, Hold, Copy)]

    def check(self, ready_before: dict[int, Copy], rented_before: set[int]) -> None:
        waiting = set(Hold.objects.waiting().values_list("pk", flat=True))
        ready = self.ready()
        out = {rental.copy_id: rental for rental in Rental.objects.open()}
        # Copies set aside are not on loan, and nobody waits while a copy is free.
        self.assertFalse({copy.pk for copy in ready.values()} & set(out))
        self.assertTrue(all(copy.status == Copy.Status.IN_SERVICE for copy in ready.values()))
        free = free_copies().count()
        self.assertFalse(waiting and free)
        # Members whose hold became ready were ahead of all who still wait.
        served = ready.keys() - ready_before.keys()
        self.assertTrue(all(mine < other for mine in served for other in waiting))
        # A copy that was set aside was rented by its member only.
        for rental in out.values():
            if rental.ref not in rented_before:
                claims = [hold for hold, copy in ready_before.items() if copy.pk == rental.copy_id]
                self.assertTrue(all(rental.hold.pk == claim for claim in claims))
        # All availability queries agree with the free copies.
        counted = with_availability(Book.objects.filter(pk=self.book.pk)).get()
        self.assertEqual(counted.available, free)
        self.assertEqual(available_books(Book.objects.all()).exists(), free > 0)
        self.assertEqual(unavailable_books(Book.objects.all()).exists(), free == 0)

    def test_random_history_keeps_the_queue_valid(self) -> None:
        # Generates only: shrinking a failing history would take many minutes.
        @settings(max_examples=15, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
        @given(STEPS)
        def play(steps: list[tuple[str, int, int]]) -> None:
            at = MONDAY
            with transaction.atomic():
                # Both copies are on loan, so that there is a queue from the start.
                for number in (0, 1):
                    self.step("rent", number, at)
                for what, who, hours in steps:
                    at += timedelta(hours=hours)
                    ready, rented = self.ready(), set(Rental.objects.values_list("ref", flat=True))
                    before = self.rows()
                    self.step(what, who, at)
                    # Most steps are refused, and an unchanged state was checked before.
                    if self.rows() != before:
                        self.check(ready, rented)
                transaction.set_rollback(True)

        play()

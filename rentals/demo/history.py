"""Plays a year of the demo shop through the domain functions, in chronological order.

Every member has a story: a generator that yields how many days ago its next visit is, and is sent the time of
that visit.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from random import Random

from django.utils import timezone

from accounts.models import User
from books.models import Book, Copy, Kind
from lori_assignment.money import scale_amount
from rentals import errors, ledger
from rentals.demo.people import Person
from rentals.holds import place_hold
from rentals.models import Hold, LedgerEntry, Rental
from rentals.services import renew_rental, rent_book, return_rental, void_rental

Story = Generator[int, datetime, None]

OPENING, CLOSING = 10, 19

Method = LedgerEntry.Method


@dataclass(frozen=True, slots=True)
class Visitor:
    """A member with the habits of a `Person`."""

    account: User
    joined: int
    pause: int


class Shop:
    """The counter and the calendar of the demo shop."""

    def __init__(
        self, *, books: Sequence[Book], staff: Sequence[User], now: datetime, chance: Random
    ) -> None:
        self.chance = chance
        self.now = now
        self.books = books
        self.staff = staff
        priced = set(Copy.objects.exclude(replacement_price=None).values_list("book", flat=True))
        self.priced = [book for book in books if book.pk in priced]
        self.unpriced_fiction = [book for book in self.of_kind(Kind.FICTION) if book.pk not in priced]
        # Books with many copies are popular.
        copies = Counter(Copy.objects.values_list("book", flat=True))
        self._liked = {book.pk: copies[book.pk] * chance.uniform(0.3, 2) for book in books}
        self._single = {book for book, number in copies.items() if number == 1}
        self._read: set[tuple[int, int]] = set()

    def of_kind(self, *kinds: Kind) -> list[Book]:
        return [book for book in self.books if book.kind in kinds]

    def play(self, stories: Sequence[Story]) -> None:
        agenda = [
            (self._moment(first), number, story)
            for number, story in enumerate(stories)
            if (first := next(story, None)) is not None
        ]
        heapq.heapify(agenda)
        while agenda and agenda[0][0] <= self.now:
            moment, number, story = heapq.heappop(agenda)
            try:
                days_ago = story.send(moment)
            except StopIteration:
                continue
            heapq.heappush(agenda, (self._moment(days_ago), number, story))

    def _moment(self, days_ago: int) -> datetime:
        day = timezone.localdate(self.now) - timedelta(days=days_ago)
        minute = self.chance.randrange(OPENING * 60, CLOSING * 60)
        clock = time(minute // 60, minute % 60, self.chance.randrange(60))
        return datetime.combine(day, clock, timezone.get_current_timezone()).astimezone(UTC)

    @property
    def clerk(self) -> User:
        return self.chance.choice(self.staff)

    def rent(self, member: Visitor, at: datetime, books: Sequence[Book] | None = None) -> Rental:
        """Rent one of `books` that the member has not read, popular ones more often.

        Raises DebtLimit or RentalLimit, and BookUnavailable if all of them are on loan.
        """
        wanted = [
            book
            for book in (self.books if books is None else books)
            if book.added_at < at and (member.account.pk, book.pk) not in self._read
        ]
        while wanted:
            book = self.chance.choices(wanted, weights=[self._liked[book.pk] for book in wanted])[0]
            try:
                rental = rent_book(member=member.account, book=book, at=at, now=at)
            except errors.BookUnavailable:
                wanted.remove(book)
            else:
                self._read.add((member.account.pk, book.pk))
                return rental
        raise errors.BookUnavailable

    def rent_only_copy(self, member: Visitor, at: datetime) -> Rental:
        """Rent a book of which the shop has one copy, so that the next member must wait."""
        return self.rent(member, at, [book for book in self.books if book.pk in self._single])

    def join_queue(self, member: Visitor, at: datetime, rental: Rental) -> Hold:
        """Place a hold on the book of another member's rental."""
        return place_hold(member=member.account, book=rental.book, at=at)

    def take_back(self, rental: Rental, at: datetime) -> Rental:
        return return_rental(rental=rental, at=at, actor=self.clerk, now=at)

    def take_money(
        self, member: Visitor, at: datetime, amount: Decimal, method: LedgerEntry.Method, note: str = ""
    ) -> LedgerEntry:
        return ledger.take_payment(
            member=member.account, amount=amount, method=method, actor=self.clerk, at=at, note=note
        )

    def settle(self, member: Visitor, at: datetime, method: LedgerEntry.Method | None = None) -> None:
        """Take a payment of what the member owes by the ledger, if anything."""
        owed = ledger.posted_balance(member.account)
        if owed > 0:
            self.take_money(member, at, owed, method or self.chance.choice([Method.CASH, Method.CARD]))

    def settle_usually(self, member: Visitor, at: datetime) -> None:
        """Take a payment: usually of everything, sometimes of a round part or of nothing."""
        mood = self.chance.random()
        if mood < 0.75:
            self.settle(member, at)
        elif mood < 0.88:
            part = _about_half(ledger.posted_balance(member.account))
            if part > 0:
                self.take_money(member, at, part, Method.CASH, "Part of it; the rest next time.")


def _about_half(owed: Decimal) -> Decimal:
    """Half of what is owed, rounded as people do: to whole dollars, or to hundreds of yen."""
    unit = scale_amount(Decimal(1))
    return (owed / 2 / unit).quantize(Decimal(1)) * unit


def reader(
    shop: Shop, member: Visitor, *, since: int, until: int = 0
) -> Generator[int, datetime, list[Rental]]:
    """Visit from `since` to `until` days ago; return the rentals that are open then."""
    chance = shop.chance
    at_home: list[Rental] = []
    days_ago = since - chance.randint(1, 4)
    while days_ago >= until:
        at = yield days_ago
        had_some = bool(at_home)
        at_home = _bring_back(shop, member, at_home, at)
        # Members without a book usually come to rent one.
        if len(at_home) < 3 and chance.random() < (0.5 if had_some else 0.9):
            at_home += _borrow(shop, member, at, chance.choices([1, 2], weights=[2, 1])[0])
        days_ago -= _days_until_next_visit(chance, member.pause, with_books=bool(at_home))
    return at_home


def _bring_back(shop: Shop, member: Visitor, at_home: Sequence[Rental], at: datetime) -> list[Rental]:
    kept = []
    for rental in at_home:
        nearly_due = rental.due_at - at < timedelta(days=6)
        if shop.chance.random() < 0.8 or (nearly_due and rental.renewals == 2):
            shop.take_back(rental, at)
        elif nearly_due:
            kept.append(renew_rental(rental=rental, at=at))
        else:
            kept.append(rental)
    shop.settle_usually(member, at)
    return kept


def _borrow(shop: Shop, member: Visitor, at: datetime, wanted: int) -> list[Rental]:
    borrowed: list[Rental] = []
    try:
        for _ in range(wanted):
            borrowed.append(shop.rent(member, at))  # noqa: PERF401  # A refusal must keep the earlier ones.
    except errors.DebtLimit:
        shop.settle(member, at)
    except (errors.RentalLimit, errors.BookUnavailable):
        pass  # They leave with the books they have.
    return borrowed


def _days_until_next_visit(chance: Random, pause: int, *, with_books: bool) -> int:
    if not with_books:
        return max(1, round(pause * chance.uniform(0.4, 1.6)))
    # Sometimes a member forgets the due date.
    return chance.randint(15, 19) if chance.random() < 0.06 else chance.randint(2, 8)


def bookworm(shop: Shop, member: Visitor) -> Story:
    """Has five books on loan, one due today and one tomorrow, and has paid in advance for them."""
    at_home = yield from reader(shop, member, since=member.joined, until=30)
    at = yield 24
    for rental in at_home:
        shop.take_back(rental, at)
    shop.settle(member, at, Method.CARD)
    modest = shop.of_kind(Kind.REGULAR, Kind.NOVEL)
    for days_ago in (14, 13, 8, 4, 1):
        at = yield days_ago
        if days_ago == 4:
            shop.take_money(member, at, scale_amount(Decimal(20)), Method.CARD, "Paid ahead.")
        shop.rent(member, at, modest)


def debtor(shop: Shop, member: Visitor) -> Story:
    """Kept an expensive book for a long time, paid little of the charge, and is late with the next book."""
    at = yield 47
    rental = shop.rent(member, at, shop.unpriced_fiction)
    at = yield 36
    shop.take_back(rental, at)
    shop.take_money(member, at, scale_amount(Decimal(10)), Method.CASH, "The rest at the end of the month.")
    at = yield 20
    shop.rent(member, at, shop.of_kind(Kind.REGULAR))


def forgetful(shop: Shop, member: Visitor) -> Story:
    """Has kept a book for so long that its cost has reached the cap, the replacement price."""
    at = yield 290
    rental = shop.rent(member, at)
    at = yield 281
    shop.take_back(rental, at)
    shop.settle(member, at, Method.CASH)
    at = yield 41
    shop.rent(member, at, shop.priced)


def patient(shop: Shop, member: Visitor) -> Story:
    """Was ill, returned the book late, and had part of the charge waived."""
    at = yield 70
    rental = shop.rent(member, at, shop.of_kind(Kind.REGULAR, Kind.NOVEL))
    at = yield 48
    shop.take_back(rental, at)
    ledger.waive(
        member=member.account,
        amount=scale_amount(Decimal(8)),
        reason="Was in hospital.",
        actor=shop.staff[0],
        at=at,
    )
    at = yield 41
    shop.settle(member, at, Method.TRANSFER)
    at = yield 6
    shop.rent(member, at)


def mistaken(shop: Shop, member: Visitor) -> Story:
    """Was charged for another member's rental, which was then voided."""
    at = yield 126
    rental = shop.rent(member, at)
    at = yield 122
    rental = shop.take_back(rental, at)
    at = yield 121
    void_rental(rental=rental, at=at, actor=shop.staff[0], reason="Rented to the wrong member.")
    yield from reader(shop, member, since=118)


def declined(shop: Shop, member: Visitor) -> Story:
    """Paid with a card that the bank declined, so the payment was reversed and made again in cash."""
    at = yield 138
    rental = shop.rent(member, at)
    at = yield 131
    shop.take_back(rental, at)
    payment = shop.take_money(member, at, ledger.posted_balance(member.account), Method.CARD)
    at = yield 129
    ledger.reverse(entry=payment, reason="The bank declined the card.", actor=shop.staff[0], at=at)
    at = yield 127
    shop.settle(member, at, Method.CASH)
    yield from reader(shop, member, since=120)


def keeper(
    shop: Shop, member: Visitor, *, rented: int, renewed: int | None = None, returned: int | None = None
) -> Story:
    """Rented one book, and perhaps renewed and returned it, the given numbers of days ago."""
    at_home = yield from reader(shop, member, since=member.joined, until=rented + 8)
    at = yield rented + 1
    for rental in at_home:
        shop.take_back(rental, at)
    shop.settle(member, at)
    at = yield rented
    wanted = member.account.username in WANTED_FROM.values()
    rental = shop.rent_only_copy(member, at) if wanted else shop.rent(member, at)
    if renewed is not None:
        at = yield renewed
        renew_rental(rental=rental, at=at)
    if returned is not None:
        at = yield returned
        shop.take_back(rental, at)


def waiting(shop: Shop, member: Visitor, *, since: int) -> Story:
    """Placed a hold, `since` days ago, on a book that another member has on loan."""
    yield from reader(shop, member, since=member.joined, until=since + 2)
    at = yield since
    holder = WANTED_FROM[member.account.username]
    shop.join_queue(member, at, Rental.objects.open().get(user__username=holder))


def ordinary(shop: Shop, member: Visitor) -> Story:
    yield from reader(shop, member, since=member.joined)


# The member who waits, and the member who has the book.
WANTED_FROM = {"yuki": "quinn", "bea": "quinn", "vera": "milo"}

STORIES: dict[str, Callable[[Shop, Visitor], Story]] = {
    "nora": bookworm,
    "theo": debtor,
    "gus": forgetful,
    "ruth": patient,
    "sam": mistaken,
    "rosa": declined,
    # With the rental period of 14 days:
    "june": partial(keeper, rented=20, renewed=9),  # Due next week.
    "dora": partial(keeper, rented=24, renewed=4),  # Renewed when it was late.
    "hana": partial(keeper, rented=14),  # Due today.
    "elias": partial(keeper, rented=13),  # Due tomorrow.
    "milo": partial(keeper, rented=17),  # A little late.
    "ivan": partial(keeper, rented=28),  # Two weeks late.
    # Returned yesterday, so the copy is set aside for Yuki, and Beatrice still waits for it.
    "quinn": partial(keeper, rented=16, returned=1),
    "yuki": partial(waiting, since=5),
    "bea": partial(waiting, since=3),
    "vera": partial(waiting, since=2),  # For the book that Milo is late with.
}


def play_history(shop: Shop, cast: Sequence[tuple[Person, User]]) -> None:
    """Play the year of all members of `cast`; those without a story and a pause never visit."""
    shop.play(
        [
            STORIES.get(person.username, ordinary)(shop, Visitor(user, person.joined, person.pause))
            for person, user in cast
            if person.username in STORIES or person.pause
        ]
    )

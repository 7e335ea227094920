"""A year of the demo shop, played through the domain functions, in the order in which it happened.

Every member has a story: a generator that yields how many days ago its next visit is, and is sent
the moment of that visit. The shop plays the visits of all stories in the order of time, up to now.
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
    """The counter of the demo shop and its calendar."""

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
        # A book of which the shop has many copies is one that many ask for.
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

        Raises DebtLimit and RentalLimit; BookUnavailable when all of them are out.
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
        """Rent a book of which the shop has one copy, so that whoever wants it next must wait."""
        return self.rent(member, at, [book for book in self.books if book.pk in self._single])

    def join_queue(self, member: Visitor, at: datetime, rental: Rental) -> Hold:
        """Wait for the book of another member's rental."""
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
        """The member pays what the ledger says, if it says anything."""
        owed = ledger.posted_balance(member.account)
        if owed > 0:
            self.take_money(member, at, owed, method or self.chance.choice([Method.CASH, Method.CARD]))

    def settle_usually(self, member: Visitor, at: datetime) -> None:
        """Most people pay it all; some pay a round part of it, some another time."""
        mood = self.chance.random()
        if mood < 0.75:
            self.settle(member, at)
        elif mood < 0.88:
            part = (ledger.posted_balance(member.account) / 2).quantize(Decimal(1))
            if part > 0:
                self.take_money(member, at, part, Method.CASH, "Part of it; the rest next time.")


def reader(
    shop: Shop, member: Visitor, *, since: int, until: int = 0
) -> Generator[int, datetime, list[Rental]]:
    """Somebody who comes from `since` to `until` days ago; the answer is what is still at home then."""
    chance = shop.chance
    at_home: list[Rental] = []
    days_ago = since - chance.randint(1, 4)
    while days_ago >= until:
        at = yield days_ago
        had_some = bool(at_home)
        at_home = _bring_back(shop, member, at_home, at)
        # Who comes with empty hands comes to rent.
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
            borrowed.append(shop.rent(member, at))  # noqa: PERF401  # A refusal must leave the ones before.
    except errors.DebtLimit:
        shop.settle(member, at)
    except (errors.RentalLimit, errors.BookUnavailable):
        pass  # They leave with what they got.
    return borrowed


def _days_until_next_visit(chance: Random, pause: int, *, with_books: bool) -> int:
    if not with_books:
        return max(1, round(pause * chance.uniform(0.4, 1.6)))
    # Now and then somebody forgets the due date.
    return chance.randint(15, 19) if chance.random() < 0.06 else chance.randint(2, 8)


def bookworm(shop: Shop, member: Visitor) -> Story:
    """Five books out at the end, one due today and one tomorrow, and something paid ahead for them."""
    at_home = yield from reader(shop, member, since=member.joined, until=30)
    at = yield 24
    for rental in at_home:
        shop.take_back(rental, at)
    shop.settle(member, at, Method.CARD)
    modest = shop.of_kind(Kind.REGULAR, Kind.NOVEL)
    for days_ago in (14, 13, 8, 4, 1):
        at = yield days_ago
        if days_ago == 4:
            shop.take_money(member, at, Decimal("20.00"), Method.CARD, "Paid ahead.")
        shop.rent(member, at, modest)


def debtor(shop: Shop, member: Visitor) -> Story:
    """Kept a dear book for long, paid little of it, and is late with the next."""
    at = yield 47
    rental = shop.rent(member, at, shop.unpriced_fiction)
    at = yield 36
    shop.take_back(rental, at)
    shop.take_money(member, at, Decimal("10.00"), Method.CASH, "The rest at the end of the month.")
    at = yield 20
    shop.rent(member, at, shop.of_kind(Kind.REGULAR))


def forgetful(shop: Shop, member: Visitor) -> Story:
    """Has had a book for so long that it costs no more: the replacement price is the limit."""
    at = yield 290
    rental = shop.rent(member, at)
    at = yield 281
    shop.take_back(rental, at)
    shop.settle(member, at, Method.CASH)
    at = yield 41
    shop.rent(member, at, shop.priced)


def patient(shop: Shop, member: Visitor) -> Story:
    """Was ill, brought the book back late, and was let off a part."""
    at = yield 70
    rental = shop.rent(member, at, shop.of_kind(Kind.REGULAR, Kind.NOVEL))
    at = yield 48
    shop.take_back(rental, at)
    ledger.waive(
        member=member.account, amount=Decimal("8.00"), reason="Was in hospital.", actor=shop.staff[0], at=at
    )
    at = yield 41
    shop.settle(member, at, Method.TRANSFER)
    at = yield 6
    shop.rent(member, at)


def mistaken(shop: Shop, member: Visitor) -> Story:
    """Got charged for a rental that was another member's; it was made void."""
    at = yield 126
    rental = shop.rent(member, at)
    at = yield 122
    rental = shop.take_back(rental, at)
    at = yield 121
    void_rental(rental=rental, at=at, actor=shop.staff[0], reason="Rented to the wrong member.")
    yield from reader(shop, member, since=118)


def declined(shop: Shop, member: Visitor) -> Story:
    """Paid by a card that turned out to be refused, so the payment was reversed and made anew."""
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
    """Has one book out, rented and perhaps renewed that many days ago, and perhaps returned late."""
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
    """Has queued that many days ago for the book that somebody else has at home."""
    yield from reader(shop, member, since=member.joined, until=since + 2)
    at = yield since
    holder = WANTED_FROM[member.account.username]
    shop.join_queue(member, at, Rental.objects.open().get(user__username=holder))


def ordinary(shop: Shop, member: Visitor) -> Story:
    yield from reader(shop, member, since=member.joined)


# Who waits for the book that who has.
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
    # Came back yesterday, so a copy is put aside for Yuki, and Beatrice waits for it still.
    "quinn": partial(keeper, rented=16, returned=1),
    "yuki": partial(waiting, since=5),
    "bea": partial(waiting, since=3),
    "vera": partial(waiting, since=2),  # For what Milo should have brought back.
}


def play_history(shop: Shop, cast: Sequence[tuple[Person, User]]) -> None:
    """Let everybody of `cast` live through the year; who has no story and no pause never comes."""
    shop.play(
        [
            STORIES.get(person.username, ordinary)(shop, Visitor(user, person.joined, person.pause))
            for person, user in cast
            if person.username in STORIES or person.pause
        ]
    )

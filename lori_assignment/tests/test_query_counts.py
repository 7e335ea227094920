"""Frequent calls have a fixed number of queries, including authentication, however much data there is."""

from __future__ import annotations

from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import tokens
from accounts.models import User
from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals import dashboard
from rentals.services import rent_book, return_rental

# Including SAVEPOINT and RELEASE, which replace BEGIN and COMMIT in a test. Renting takes one more query for
# a member with open rentals, however many: for their copies.
RENT, MORE_WHILE_OPEN, RETURN = 14, 1, 11
# A search first asks PostgreSQL for its estimate of the number of books.
ESTIMATE = int(connection.vendor == "postgresql")


class QueryCountTest(CastTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.books = [add_book(name=f"Book {number}", copies=3) for number in range(8)]
        now = timezone.now()
        for book in cls.books[:4]:
            rental = rent_book(member=cls.alice, book=book, at=now, now=now)
            if book.pk % 2:
                return_rental(rental=rental, at=now, actor=cls.carol, now=now)

    books: list[Book]

    def by_token(self, user: User) -> Client:
        return Client(headers={"Authorization": f"JWT {tokens.issue_tokens(user).access}"})

    def test_api_query_counts_are_fixed(self) -> None:
        book, mine = self.books[0].pk, self.alice.pk
        rental = self.alice.rentals.latest("pk").pk
        of_member = {
            "books/": 3,
            "books/?page_size=2": 3,
            "books/?ordering=name": 3,
            "books/?available=true": 3,
            "books/?search=book": 4 + ESTIMATE,
            f"books/{book}": 3,
            f"books/{book}/quote?days=3": 4,
            "book_rentals/": 2,
            "book_rentals/?status=2": 2,
            f"book_rentals/{rental}": 2,
            f"book_rentals/users/{mine}": 2,
            f"book_rentals/users/balance/{mine}": 3,
            f"book_rentals/users/statement/{mine}": 4,
            "holds/": 2,
            "payments/": 2,
            f"accounts/{mine}": 2,
        }
        of_staff = {
            "book_rentals/": 2,
            "book_rentals/?overdue=true": 2,
            f"book_rentals/users/{mine}": 3,
            f"book_rentals/users/balance/{mine}": 4,
            "copies/": 2,
        }
        for user, paths in ((self.alice, of_member), (self.carol, of_staff)):
            caller = self.by_token(user)
            for path, number in paths.items():
                with self.subTest(user=user.username, path=path), self.assertNumQueries(number):
                    self.assertEqual(caller.get(f"/api/v3/{path}").status_code, 200)

    def test_anonymous_query_counts_are_fixed(self) -> None:
        for path, number in (("books/", 2), (f"books/{self.books[0].pk}", 2)):
            with self.subTest(path=path), self.assertNumQueries(number):
                self.client.get(f"/api/v3/{path}")

    def test_admin_query_counts_are_fixed(self) -> None:
        """Includes the queries for the session, the user and permissions. A search needs some more."""
        desk = Client()
        desk.force_login(self.carol)
        desk.get("/admin/")
        for path, number in {
            "": 6,
            "rentals/rental/": 6,
            "rentals/rental/?state=overdue": 6,
            "rentals/rental/?q=book": 12 + ESTIMATE,
            "rentals/ledgerentry/": 6,
            "rentals/hold/": 6,
            "books/copy/": 6,
            "books/book/": 7,
            "accounts/user/": 7,
        }.items():
            with self.subTest(path=path), self.assertNumQueries(number):
                self.assertEqual(desk.get(f"/admin/{path}").status_code, 200)

    def test_figures_query_count_is_constant(self) -> None:
        for book in self.books[4:6]:
            cache.clear()
            with CaptureQueriesContext(connection) as asked:
                dashboard.count_now(at=timezone.now())
            looks = [query["sql"] for query in asked if query["sql"].startswith("SELECT")]
            self.assertEqual(len(looks), 8)
            now = timezone.now()
            rental = rent_book(member=self.bob, book=book, at=now, now=now)
            return_rental(rental=rental, at=now, actor=self.carol, now=now)

    def test_rental_and_return_counts_are_constant(self) -> None:
        caller, desk = self.by_token(self.bob), self.by_token(self.carol)
        refs = []
        for number, book in enumerate(self.books[4:7]):
            with self.subTest(book=book.name):
                with self.assertNumQueries(RENT + (MORE_WHILE_OPEN if number else 0)):
                    made = caller.post("/api/v3/book_rentals/", {"book": book.pk})
                self.assertEqual(made.status_code, 201)
            refs.append(made.json()["ref"])
        for ref in refs:
            with self.subTest(ref=ref), self.assertNumQueries(RETURN):
                desk.post(f"/api/v3/book_rentals/{ref}/return")

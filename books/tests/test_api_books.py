"""Tests of the books endpoints."""

from __future__ import annotations

from typing import Any

from django.core.files.base import ContentFile
from django.db import connection
from django.utils import timezone
from rest_framework.serializers import ModelSerializer

from books.api.serializers import v1_v2, v3
from books.models import Book, Copy
from books.stock import add_book, add_copy
from lori_assignment.testing.cases import CastTestCase
from rentals.availability import with_availability
from rentals.services import rent_book


class CatalogueTestCase(CastTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.emma = add_book(
            name="Emma",
            author="Jane Austen",
            kind=3,
            isbn="9780141439587",
            published=1815,
            language="en",
            copies=2,
        )
        cls.cosmos = add_book(name="Cosmos", author="Carl Sagan", kind=1, published=1980, language="en")
        cls.iliad = add_book(name="Ἰλιάς", author="Ὅμηρος", kind=1, published=-750, language="el")
        cls.undated = add_book(name="Undated", kind=2, copies=0)

    emma: Book
    cosmos: Book
    iliad: Book
    undated: Book

    def names(self, query: str = "", version: str = "v3") -> list[str]:
        answer = self.api().get(f"/api/{version}/books/?{query}").json()
        rows = answer["results"] if version == "v3" else answer
        return [row["name"] for row in rows]


class BookListTest(CatalogueTestCase):
    def test_v1_and_v2_return_the_old_fields(self) -> None:
        for version in ("v1", "v2"):
            book = self.api().get(f"/api/{version}/books/{self.emma.pk}").json()
            self.assertEqual(
                book,
                {
                    "id": self.emma.pk,
                    "name": "Emma",
                    "description": "",
                    "author": "Jane Austen",
                    "image": None,
                    "book_type": 3,
                },
            )

    def test_v3_adds_facts_and_availability(self) -> None:
        now = timezone.now()
        rent_book(member=self.alice, book=self.emma, at=now, now=now)
        add_copy(book=self.emma, status=Copy.Status.LOST)
        book = self.api().get(f"/api/v3/books/{self.emma.pk}/").json()
        facts = {
            "isbn": "9780141439587",
            "published": 1815,
            "language": "en",
            "copies": 2,
            "available": 1,
        }
        self.assertEqual({key: book[key] for key in facts}, facts)

    def test_search_matches_words_and_isbns(self) -> None:
        for text in (
            "emma",
            "austen",
            "jane em",
            "9780141439587",
            "978-0-14-143958-7",
            "0141439580",
            "0-14-143958-0",
        ):
            with self.subTest(text=text):
                self.assertEqual(self.names(f"search={text}"), ["Emma"])
        self.assertEqual(self.names("search=Ὅμηρος"), ["Ἰλιάς"])
        self.assertEqual(self.names("search=emma sagan"), [])
        self.assertEqual(self.names("search=12345678%0AX"), [])

    def test_list_filters_by_kind_and_availability(self) -> None:
        self.assertEqual(self.names("book_type=3"), ["Emma"])
        self.assertEqual(self.names("language=EL"), ["Ἰλιάς"])
        self.assertEqual(self.names("available=false"), ["Undated"])
        self.assertNotIn("Undated", self.names("available=true"))

    def test_list_filters_by_decade(self) -> None:
        for decade, names in (("1810", ["Emma"]), ("-750", ["Ἰλιάς"]), ("1990", []), ("0", [])):
            self.assertEqual(self.names(f"decade={decade}"), names)

    def test_search_ranks_unless_ordering_is_given(self) -> None:
        add_book(name="About Emma", author="A. Reader")
        self.assertEqual(self.names("search=about%20em"), ["About Emma"])
        self.assertEqual(self.names("search=emma"), ["Emma", "About Emma"])
        self.assertEqual(self.names("search=emma&ordering=name"), ["About Emma", "Emma"])

    def test_filters_combine(self) -> None:
        add_book(name="About Emma", author="A. Reader", language="fr", copies=0)
        for query, names in (
            ("search=emma&language=en", ["Emma"]),
            ("search=emma&available=false", ["About Emma"]),
            ("search=emma&decade=1810&book_type=3&available=true", ["Emma"]),
        ):
            with self.subTest(query=query):
                self.assertEqual(self.names(query), names)

    def test_list_follows_the_ordering(self) -> None:
        self.assertEqual(self.names("ordering=name")[:2], ["Cosmos", "Emma"])
        self.assertEqual(self.names("ordering=-published"), ["Cosmos", "Emma", "Ἰλιάς", "Undated"])
        self.assertEqual(self.names("ordering=-id")[0], "Undated")

    def test_invalid_parameter_is_a_field_error(self) -> None:
        for query in (
            "book_type=9",
            "ordering=author__user",
            "page_size=0",
            "page_size=x",
            "search=%00",
            "available=banana",
            "decade=1815",
            "decade=x",
            "decade=12340",
            "decade=-0",
        ):
            with self.subTest(query=query):
                answer = self.api().get(f"/api/v3/books/?{query}")
                self.assertEqual((answer.status_code, list(answer.json())), (400, [query.split("=")[0]]))

    def test_list_query_count_is_constant(self) -> None:
        for version, number in (("v1", 1), ("v2", 1), ("v3", 2)):
            for size in (1, 4):
                with self.assertNumQueries(number):
                    self.api().get(f"/api/{version}/books/?page_size={size}")
                # PostgreSQL takes one more query, the EXPLAIN of the search.
                with self.assertNumQueries(number + (2 if connection.vendor == "postgresql" else 1)):
                    self.api().get(f"/api/{version}/books/?page_size={size}&search=emma")

    def test_fast_output_equals_serializer_fields(self) -> None:
        """BookOut bypasses its fields for speed; both must give the same output."""
        self.emma.cover.save("x.webp", ContentFile(b"RIFF"))
        self.addCleanup(self.emma.cover.delete)
        books = with_availability(Book.objects.order_by("id"))
        for shape in (v1_v2, v3):
            for book in books:
                with self.subTest(shape=shape.__name__, book=book.name):
                    by_fields = ModelSerializer.to_representation(shape.BookOut(), book)
                    told = shape.BookOut(book).data
                    self.assertEqual(list(told.items()), list(by_fields.items()))


class PaginationTest(CatalogueTestCase):
    def test_v3_pages_lead_forward_and_back(self) -> None:
        client = self.api()
        for ordering in ("id", "-id", "name", "-name", "author", "published", "-published"):
            with self.subTest(ordering=ordering):
                everything = self.names(f"ordering={ordering}")
                page = client.get(f"/api/v3/books/?page_size=1&ordering={ordering}").json()
                self.assertIsNone(page["previous"])
                seen = [row["name"] for row in page["results"]]
                while page["next"]:
                    page = client.get(page["next"]).json()
                    seen += [row["name"] for row in page["results"]]
                self.assertEqual(seen, everything)
                seen.clear()
                while page["previous"]:
                    page = client.get(page["previous"]).json()
                    seen += [row["name"] for row in page["results"]]
                self.assertEqual(seen, everything[-2::-1])

    def test_ties_in_the_ordering_are_paginated(self) -> None:
        Book.objects.bulk_create(Book(name=f"Volume {n}", author="Anon", kind=1) for n in range(1200))
        page = self.api().get("/api/v3/books/?page_size=100&ordering=author&search=volume").json()
        seen = [row["id"] for row in page["results"]]
        while page["next"]:
            page = self.api().get(page["next"]).json()
            seen += [row["id"] for row in page["results"]]
        self.assertEqual((len(seen), len(set(seen))), (1200, 1200))

    def test_v1_and_v2_paginate_by_link_header(self) -> None:
        for version in ("v1", "v2"):
            first = self.api().get(f"/api/{version}/books/?page_size=3")
            self.assertEqual(len(first.json()), 3)
            links = dict(reversed(link.split("; ")) for link in first["Link"].split(", "))
            second = self.api().get(links['rel="next"'].strip("<>"))
            self.assertEqual([row["name"] for row in second.json()], ["Undated"])
            self.assertIn('rel="prev"', second["Link"])
            self.assertNotIn('rel="next"', second["Link"])

    def test_links_repeat_only_known_parameters(self) -> None:
        asked = {"zz": "a" * 8000, "language": "en" + 2000 * " ", "search": "", "page_size": "1"}
        for version in ("v1", "v2"):
            address = f"/api/{version}/books/"
            first = self.api().get(address, asked)["Link"]
            self.assertIn('rel="next"', first)
            second = self.api().get(first.split(">")[0].strip("<"))["Link"]
            self.assertTrue(
                second.endswith(f'{address}?language=en&page_size=1>; rel="first"'), second[-500:]
            )
            self.assertLess(len(second), 500)
        page = self.api().get("/api/v3/books/", asked).json()
        self.assertRegex(page["next"], r"/api/v3/books/\?language=en&page_size=1&cursor=\w+$")

    def test_page_size_is_capped(self) -> None:
        Book.objects.bulk_create(Book(name=f"Volume {n}", kind=1) for n in range(600))
        for version, asked, given in (
            ("v1", "", 100),
            ("v1", "9999", 500),
            ("v3", "", 25),
            ("v3", "101", 100),
        ):
            query = f"page_size={asked}" if asked else ""
            self.assertEqual(len(self.names(query, version)), given)

    def test_invalid_cursor_is_404(self) -> None:
        first = self.api().get("/api/v3/books/?page_size=1").json()["next"]
        self.assertEqual(self.api().get(first).status_code, 200)
        for cursor in ("x", "%00", "W10", "WzFd", "W2ZhbHNlLCJ4Il0", "W2ZhbHNlLG51bGxd", "é", "9" * 5000):
            with self.subTest(cursor=cursor[:20]):
                answer = self.api().get(f"/api/v3/books/?cursor={cursor}")
                self.assertEqual((answer.status_code, answer.json()["code"]), (404, "not_found"))
        # A cursor of another order has the wrong number of values.
        self.assertEqual(self.api().get(f"{first}&ordering=name").status_code, 404)

    def test_an_empty_list_is_a_page(self) -> None:
        empty = self.api().get("/api/v3/books/?search=nowhere").json()
        self.assertEqual(empty, {"next": None, "previous": None, "results": []})


class BookWriteTest(CatalogueTestCase):
    given: dict[str, Any] = {"name": "Persuasion", "author": "Jane Austen", "book_type": 3}

    def test_staff_add_a_book_with_its_copies(self) -> None:
        for version, copies in (("v1", None), ("v2", 3), ("v3", 0)):
            sent = self.given | ({} if copies is None else {"copies": copies})
            answer = self.api(self.carol).post(f"/api/{version}/books/", sent)
            self.assertEqual(answer.status_code, 201)
            barcodes = list(Copy.objects.filter(book=answer.json()["id"]).values_list("barcode", flat=True))
            expected = 1 if copies is None else copies
            self.assertEqual(barcodes, [f"{answer.json()['id']}-{n + 1}" for n in range(expected)])

    def test_members_and_anonymous_cannot_write(self) -> None:
        for user, status in ((None, 401), (self.alice, 403)):
            client = self.api(user)
            path = f"/api/v3/books/{self.emma.pk}"
            for answer in (
                client.post("/api/v3/books/", self.given),
                client.put(path, self.given),
                client.patch(f"{path}/update", {"name": "x"}),
                client.delete(path),
                client.delete(f"{path}/delete"),
            ):
                self.assertEqual(answer.status_code, status)
        self.emma.refresh_from_db()
        self.assertEqual(self.emma.name, "Emma")

    def test_isbn_is_stored_as_13_digits(self) -> None:
        sent = self.given | {"isbn": "0-14-143968-8"}
        self.assertEqual(self.api(self.carol).post("/api/v3/books/", sent).json()["isbn"], "9780141439686")

    def test_language_is_stored_as_its_shortest_code(self) -> None:
        for given, kept in (("eng", "en"), ("en-GB", "en"), ("fre", "fr"), ("", "")):
            answer = self.api(self.carol).post("/api/v3/books/", self.given | {"language": given})
            self.assertEqual(answer.json()["language"], kept)

    def test_invalid_or_taken_isbn_is_a_field_error(self) -> None:
        for isbn in ("9780141439588", "123", "x", self.emma.isbn, "0141439580", 5, [], True):
            with self.subTest(isbn=isbn):
                answer = self.api(self.carol).post("/api/v3/books/", self.given | {"isbn": isbn})
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["isbn"]))
        # A book may keep its own ISBN.
        answer = self.api(self.carol).patch(f"/api/v3/books/{self.emma.pk}", {"isbn": self.emma.isbn})
        self.assertEqual(answer.status_code, 200)

    def test_patch_changes_only_given_fields(self) -> None:
        for version in ("v1", "v2", "v3"):
            path = f"/api/{version}/books/{self.emma.pk}/update/"
            changed = self.api(self.carol).patch(path, {"description": version})
            self.assertEqual(changed.json()["description"], version)
        self.emma.refresh_from_db()
        self.assertEqual((self.emma.name, self.emma.kind, self.emma.isbn), ("Emma", 3, "9780141439587"))

    def test_a_put_without_a_kind_keeps_the_kind(self) -> None:
        path = f"/api/v1/books/{self.emma.pk}"
        changed = self.api(self.carol).put(path, {"name": "Emma, again"})
        self.assertEqual((changed.json()["name"], changed.json()["book_type"]), ("Emma, again", 3))

    def test_copies_are_ignored_on_update(self) -> None:
        self.api(self.carol).patch(f"/api/v3/books/{self.emma.pk}", {"copies": 9})
        self.assertEqual(self.emma.copies.count(), 2)

    def test_only_an_unrented_book_is_deleted(self) -> None:
        now = timezone.now()
        rent_book(member=self.alice, book=self.emma, at=now, now=now)
        client = self.api(self.carol)
        refused = client.delete(f"/api/v1/books/{self.emma.pk}")
        self.assertEqual((refused.status_code, refused.json()["code"]), (409, "book_has_rentals"))
        self.assertEqual(client.delete(f"/api/v1/books/{self.cosmos.pk}/delete").status_code, 204)
        self.assertFalse(Book.objects.filter(pk=self.cosmos.pk).exists())
        self.assertFalse(Copy.objects.filter(book=self.cosmos.pk).exists())

    def test_invalid_value_is_a_field_error(self) -> None:
        cases: list[tuple[str, list[Any]]] = [
            ("name", ["", None, "x" * 301, [], {}, "\x00"]),
            ("author", ["x" * 1001, [], "\x00"]),
            ("book_type", [0, 4, "novel", None, 1.5, []]),
            ("published", [99999, -99999, "1_0", "x", 1.5, True, 10**400]),
            ("copies", [-1, 1001, "1_0", "x", None, 10**400]),
            ("language", ["x" * 9, "xx-yy-zz", "tlhx", 5.5, []]),
            ("image", ["x", 1, []]),
        ]
        before = Book.objects.count()
        for field, values in cases:
            for value in values:
                with self.subTest(field=field, value=str(value)[:20]):
                    answer = self.api(self.carol).post("/api/v3/books/", self.given | {field: value})
                    self.assertEqual((answer.status_code, list(answer.json())), (400, [field]))
        self.assertEqual(Book.objects.count(), before)


class QuoteTest(CatalogueTestCase):
    def test_quote_returns_the_price_and_its_working(self) -> None:
        quote = self.api().get(f"/api/v3/books/{self.cosmos.pk}/quote?days=3").json()
        self.assertEqual(
            quote,
            {
                "book": self.cosmos.pk,
                "price_list": "Tiered",
                "currency": "USD",
                "days": 3,
                "late_days": 0,
                "lines": [
                    {"what": "first_days", "days": 2, "rate": "1.00", "amount": "2.00"},
                    {"what": "daily", "days": 1, "rate": "1.50", "amount": "1.50"},
                ],
                "total": "3.50",
            },
        )

    def test_days_past_the_rental_period_are_late(self) -> None:
        quote = self.api().get(f"/api/v3/books/{self.cosmos.pk}/quote?days=16").json()
        self.assertEqual((quote["days"], quote["late_days"]), (16, 2))

    def test_days_must_be_a_positive_integer(self) -> None:
        for query in ("", "days=", "days=0", "days=-1", "days=x", "days=1.5", "days=1_0", "days=3651"):
            with self.subTest(query=query):
                answer = self.api().get(f"/api/v3/books/{self.cosmos.pk}/quote?{query}")
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["days"]))

    def test_only_v3_has_quotes(self) -> None:
        self.assertEqual(self.api().get(f"/api/v2/books/{self.cosmos.pk}/quote?days=1").status_code, 404)

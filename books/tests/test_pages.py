"""Tests of the catalogue and the page of a book, for members and anonymous visitors."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.db import connection
from django.utils import timezone

from accounts.models import User
from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals.holds import place_hold
from rentals.models import PriceList, Rental
from rentals.services import rent_book, return_rental

HOSTILE = ["'", '"><script>', "%", "\\", "\x00", "x" * 10_000, "!!!", "a & !b", "😀", "\u202e"]


class PagesTestCase(CastTestCase):
    emma: Book
    cosmos: Book
    undated: Book

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
            description="A <clever> heiress & matchmaker.",
        )
        cls.cosmos = add_book(
            name="Cosmos", author="Carl Sagan", kind=1, published=1980, language="fr", copies=3
        )
        cls.undated = add_book(name="Undated", kind=2, copies=0)

    def get(self, path: str, user: User | None = None, **headers: str) -> Any:
        if user:
            self.client.force_login(user)
        return self.client.get(path, headers=headers)

    def rent(self, book: Book, user: User) -> Rental:
        now = timezone.now()
        return rent_book(member=user, book=book, at=now, now=now)


class CatalogueTest(PagesTestCase):
    def names(self, query: str = "") -> list[str]:
        page = self.get(f"/home?{query}")
        self.assertEqual(page.status_code, 200, query)
        return [book.name for book in page.context["books"]]

    def test_newest_books_come_first(self) -> None:
        self.assertEqual(self.names(), ["Undated", "Cosmos", "Emma"])

    def test_result_shows_availability_and_price(self) -> None:
        self.rent(self.emma, self.bob)
        text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", self.get("/home").content.decode()))
        for said in (
            "Undated Unavailable Fiction $3.00 a day",
            "Cosmos Carl Sagan 3 of 3 available Standard $1.50 a day minimum $2.00",
            "Emma Jane Austen All rented out Novel $1.50 a day minimum $4.50",
        ):
            self.assertIn(said, text)

    def test_query_string_filters_and_orders(self) -> None:
        for query, names in (
            ("search=austen", ["Emma"]),
            ("kind=fiction", ["Undated"]),
            ("language=fr", ["Cosmos"]),
            ("decade=1810", ["Emma"]),
            ("available=true", ["Cosmos", "Emma"]),
            ("available=true&kind=novel&search=em", ["Emma"]),
            ("ordering=name", ["Cosmos", "Emma", "Undated"]),
            ("ordering=-published", ["Cosmos", "Emma", "Undated"]),
            ("ordering=id", ["Emma", "Cosmos", "Undated"]),
            ("search=nowhere", []),
        ):
            with self.subTest(query=query):
                self.assertEqual(self.names(query), names)

    def test_choices_come_from_the_catalogue(self) -> None:
        form = self.get("/home").context["form"]
        self.assertEqual([name for _, name in form.fields["language"].choices], ["Any", "English", "French"])
        self.assertEqual([name for _, name in form.fields["decade"].choices], ["Any year", "1980s", "1810s"])

    def test_orders_without_a_name_are_not_offered(self) -> None:
        for query in ("", "?ordering=-id"):
            with self.subTest(query=query):
                offered = re.findall(r'<option value="-?id"', self.get(f"/home{query}").content.decode())
                self.assertEqual(offered, [])

    def test_invalid_parameter_is_shown_and_ignored(self) -> None:
        for query, field in (
            ("kind=x", "kind"),
            ("language=tlh", "language"),
            ("decade=1985", "decade"),
            ("decade=x", "decade"),
            ("ordering=price", "ordering"),
            (f"search={'x' * 201}", "search"),
            ("search=%00", "search"),
        ):
            with self.subTest(query=query[:30]):
                page = self.get(f"/home?available=true&{query}")
                self.assertEqual(list(page.context["form"].errors), [field])
                self.assertEqual(len(page.context["books"]), 2)
                self.assertContains(page, 'class="errorlist"')
                self.assertTrue(page.context["canonical"].endswith("/home?available=true"))

    def test_hostile_input_is_harmless(self) -> None:
        for text in HOSTILE:
            for name in ("search", "kind", "language", "decade", "ordering", "available", "cursor"):
                with self.subTest(text=text[:10], name=name):
                    page = self.client.get(f"/home?{name}={quote(text)}", follow=True)
                    self.assertEqual(page.status_code, 200)
                    self.assertNotContains(page, "<script>")

    def test_url_contains_only_given_parameters(self) -> None:
        page = self.get("/home?search=em&kind=&language=&decade=&ordering=")
        self.assertRedirects(page, "/home?search=em")
        self.assertContains(self.get("/home?search=em&utm=x"), '<link rel="canonical" href="http')
        self.assertTrue(self.get("/home?search=em&utm=x").context["canonical"].endswith("/home?search=em"))

    def test_pages_lead_forward_and_back(self) -> None:
        Book.objects.bulk_create(Book(name=f"Volume {n:02}") for n in range(50))
        page = self.get("/home?ordering=name&search=volume")
        seen = [[book.name for book in page.context["books"]]]
        while page.context["next"]:
            self.assertIn("ordering=name", page.context["next"])
            page = self.get(page.context["next"])
            seen.append([book.name for book in page.context["books"]])
        self.assertEqual([len(names) for names in seen], [24, 24, 2])
        everything = [name for names in seen for name in names]
        self.assertEqual(everything, [f"Volume {n:02}" for n in range(50)])
        back = self.get(page.context["previous"])
        self.assertEqual([book.name for book in back.context["books"]], seen[1])

    def test_invalid_cursor_redirects_to_first_page(self) -> None:
        self.assertRedirects(self.get("/home?search=em&cursor=x"), "/home?search=em")

    def test_count_is_shown_up_to_a_thousand(self) -> None:
        self.assertContains(self.get("/home?search=emma"), "1 book")
        self.assertContains(self.get("/home?search=nowhere"), "No books found")
        Book.objects.bulk_create(Book(name=f"Volume {n}") for n in range(1001))
        self.assertContains(self.get("/home"), "More than 1,000 books")
        self.assertContains(self.get("/home?search=volume"), "More than 1,000 books")

    def test_each_filter_can_be_removed(self) -> None:
        chips = self.get("/home?search=em&kind=novel&available=true").context["chips"]
        self.assertEqual(
            [(chip.label, chip.without) for chip in chips],
            [
                ("em", "/home?kind=novel&available=true"),
                ("Novel", "/home?search=em&available=true"),
                ("Available now", "/home?search=em&kind=novel"),
            ],
        )

    def test_htmx_request_gets_only_the_results(self) -> None:
        part = self.get("/home?search=em&kind=", **{"HX-Request": "true"})
        self.assertEqual(part.headers["HX-Push-Url"], "/home?search=em")
        self.assertNotContains(part, "<html")
        self.assertContains(part, "Emma")
        self.assertIn("HX-Request", part.headers["Vary"])
        back = self.get("/home?search=em", **{"HX-Request": "true", "HX-History-Restore-Request": "true"})
        self.assertContains(back, "<html")

    def test_books_are_shown_without_a_price_list(self) -> None:
        PriceList.objects.all().delete()
        self.assertEqual(len(self.names()), 3)
        self.assertEqual(self.get(f"/books/{self.emma.pk}/").status_code, 200)

    def test_query_count_is_constant(self) -> None:
        self.client.force_login(self.alice)
        # Session, member, facets, number, books, copies, rates. A search finds and counts in one query, which
        # PostgreSQL plans first.
        search = 8 if connection.vendor == "postgresql" else 7
        for query, number in (("", 7), ("search=emma", search), ("available=true&kind=novel", 7)):
            with self.subTest(query=query), self.assertNumQueries(number):
                self.client.get(f"/home?{query}")
        for n in range(30):
            add_book(name=f"Emma {n}", language=("de", "it")[n % 2], published=1900 + n)
        for query, number in (("", 7), ("search=emma", search)):
            with self.subTest(query=query), self.assertNumQueries(number):
                self.client.get(f"/home?{query}")

    def test_misspelt_search_is_corrected(self) -> None:
        self.client.force_login(self.alice)
        # Without results, copies are not counted.
        with self.assertNumQueries(11 if connection.vendor == "postgresql" else 5):
            self.client.get("/home?search=emam")


class BookPageTest(PagesTestCase):
    def page(self, book: Book, user: User | None = None) -> Any:
        return self.get(f"/books/{book.pk}/", user)

    def test_anonymous_user_sees_prices_and_rent_link(self) -> None:
        page = self.page(self.emma)
        self.assertEqual(page.context["state"], "free")
        self.assertEqual(
            [str(price.total) for price in page.context["examples"]], ["4.50", "4.50", "10.50", "21.00"]
        )
        self.assertContains(page, f'href="/books/{self.emma.pk}/rent/"')
        self.assertContains(page, "<title>Emma, Jane Austen · Lori Books</title>")
        self.assertContains(page, 'content="A &lt;clever&gt; heiress &amp; matchmaker."')

    def test_button_depends_on_the_state(self) -> None:
        self.assertEqual(self.page(self.undated, self.alice).context["state"], "withdrawn")
        self.assertEqual(self.page(self.emma, self.alice).context["state"], "free")
        rental = self.rent(self.emma, self.bob)
        self.assertEqual(self.page(self.emma, self.bob).context["state"], "rented")
        out = self.page(self.emma, self.alice)
        self.assertEqual((out.context["state"], out.context["next_place"]), ("out", 1))
        self.assertEqual(out.context["queue_estimate"].next_copy_at, rental.due_at)

        now = timezone.now()
        place_hold(member=self.alice, book=self.emma, at=now)
        waiting = self.page(self.emma, self.alice)
        self.assertEqual((waiting.context["state"], waiting.context["queue_estimate"].place), ("waiting", 1))
        self.assertContains(waiting, "You're number 1 in line.")
        self.assertContains(self.page(self.emma, self.carol), "1 person is waiting.")

        return_rental(rental=rental, at=now, actor=self.carol, now=now)
        ready = self.page(self.emma, self.alice)
        self.assertEqual(ready.context["state"], "ready")
        self.assertContains(ready, "Ready to collect")
        self.assertEqual(self.page(self.emma, self.bob).context["state"], "out")

    def test_an_overdue_copy_is_expected_any_day(self) -> None:
        now = timezone.now()
        rent_book(member=self.bob, book=self.emma, at=now - timedelta(days=30), now=now)
        self.assertContains(self.page(self.emma, self.alice), "Next copy expected any day now.")

    def test_page_has_structured_data(self) -> None:
        page = self.page(self.emma)
        [text] = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page.content.decode())
        data = json.loads(text)
        self.assertEqual((data["@type"], data["name"], data["isbn"]), ("Book", "Emma", "9780141439587"))
        self.assertEqual(data["description"], "A <clever> heiress & matchmaker.")
        self.assertEqual(data["offers"]["availability"], "https://schema.org/InStock")
        self.assertEqual((data["offers"]["price"], data["offers"]["priceCurrency"]), ("4.50", "USD"))

    def test_structured_data_escapes_script_tags(self) -> None:
        book = add_book(name="</script><script>alert(1)</script>", author="<!--")
        page = self.page(book)
        self.assertNotContains(page, "<script>alert")
        [text] = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page.content.decode())
        self.assertEqual(json.loads(text)["name"], book.name)

    def test_back_link_returns_to_the_search(self) -> None:
        for referer, back in (
            ("http://testserver/home?search=em", "/home?search=em"),
            ("http://testserver/rentals/", "/home"),
            ("http://elsewhere.example/home?search=em", "/home"),
            ("", "/home"),
        ):
            with self.subTest(referer=referer):
                page = self.get(f"/books/{self.emma.pk}/", Referer=referer)
                self.assertEqual(page.context["back"], back)

    def test_missing_book_is_404(self) -> None:
        for key in (10**6, 10**30, 0):
            self.assertEqual(self.get(f"/books/{key}/").status_code, 404)

    def test_query_count_is_bounded_in_every_state(self) -> None:
        # Book, copies, session, member, rental, hold unless rented, rate, caps; three for the estimated wait.
        self.client.force_login(self.alice)
        counted = {"free": 8, "out": 11, "waiting": 11, "ready": 8, "rented": 7}
        seen = {}

        def look() -> None:
            with self.assertNumQueries(counted[state]):
                page = self.client.get(f"/books/{self.emma.pk}/")
            seen[state] = page.context["state"]

        state = "free"
        look()
        rental = self.rent(self.emma, self.bob)
        now = timezone.now()
        state = "out"
        look()
        place_hold(member=self.alice, book=self.emma, at=now)
        place_hold(member=self.dan, book=self.emma, at=now)
        state = "waiting"
        look()
        return_rental(rental=rental, at=now, actor=self.carol, now=now)
        state = "ready"
        look()
        self.rent(self.emma, self.alice)
        state = "rented"
        look()
        self.assertEqual(seen, {name: name for name in counted})

    def test_query_count_is_constant(self) -> None:
        Copy.objects.bulk_create(Copy(book=self.emma, barcode=f"more-{n}") for n in range(20))
        with self.assertNumQueries(4):
            self.page(self.emma)

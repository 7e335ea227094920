"""Keyset pagination returns every row once, in both directions, even if values are equal."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.test import TestCase

from accounts.models import User
from books.models import Book
from lori_assignment.db.keyset_pagination import Cursor, UnknownCursor, paginate

START = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)


class PageOfTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        # Five years with seven books each.
        Book.objects.bulk_create(Book(name=f"Book {n % 3}", kind=1, published=n // 7) for n in range(35))
        User.objects.bulk_create(
            User(
                username=f"reader{n}", email=f"r{n}@example.org", date_joined=START + timedelta(hours=n // 3)
            )
            for n in range(10)
        )

    def walk(self, rows: QuerySet[Any], size: int) -> list[list[Any]]:
        """Return the keys of all pages on the way to the last one, and on the way back."""
        page = paginate(rows, size=size)
        self.assertIsNone(page.previous)
        seen = [[row.pk for row in page.rows]]
        while page.next:
            page = paginate(rows, size=size, cursor=page.next)
            seen.append([row.pk for row in page.rows])
        while page.previous:
            page = paginate(rows, size=size, cursor=page.previous)
            seen.append([row.pk for row in page.rows])
        self.assertIsNotNone(page.next)
        return seen

    def test_cursors_visit_every_row_once(self) -> None:
        for rows in (
            Book.objects.order_by("id"),
            Book.objects.order_by("-id"),
            Book.objects.order_by("published", "id"),
            Book.objects.order_by("-published", "-id"),
            Book.objects.order_by("name", "published", "id"),
            User.objects.order_by("-date_joined", "-id"),
        ):
            keys = list(rows.values_list("pk", flat=True))
            for size in (1, 4, 7):
                with self.subTest(order=rows.query.order_by, size=size):
                    forth = [keys[at : at + size] for at in range(0, len(keys), size)]
                    self.assertEqual(self.walk(rows, size), forth + forth[-2::-1])

    def test_single_page_has_no_cursors(self) -> None:
        page = paginate(Book.objects.order_by("id"), size=35)
        self.assertEqual((len(page.rows), page.next, page.previous), (35, None, None))
        empty = paginate(Book.objects.none().order_by("id"), size=35)
        self.assertEqual((empty.rows, empty.next, empty.previous), ([], None, None))

    def test_page_takes_one_query(self) -> None:
        rows = Book.objects.order_by("name", "id")
        with self.assertNumQueries(1):
            page = paginate(rows, size=5)
        with self.assertNumQueries(1):
            paginate(rows, size=5, cursor=page.next)

    def test_forged_cursor_is_unknown(self) -> None:
        rows = Book.objects.order_by("published", "id")
        forged = [
            Cursor(back=False, values=values).encode()
            for values in ([1], [1, 2, 3], ["x", 2], [1, "x"], [None, 1], [1, 2.5], [True, 1], [1, [2]])
        ]
        for text in ("", "x", "é", "\x00", "W10", "W2ZhbHNlLG51bGxd", "9" * 5000, *forged):
            with self.subTest(text=text[:20]), self.assertRaises(UnknownCursor):
                paginate(rows, size=5, cursor=text)
        for values in ([1, 1 << 80], [-(1 << 63), 1], [1 << 64, 1]):
            with self.subTest(values=values), self.assertRaises(UnknownCursor):
                paginate(rows, size=5, cursor=Cursor(back=True, values=values).encode())
        for text in ("x\x00", "\ud800"):
            with self.subTest(text=text), self.assertRaises(UnknownCursor):
                cursor = Cursor(back=True, values=[text, 1]).encode()
                paginate(Book.objects.order_by("name", "id"), size=5, cursor=cursor)

    def test_extreme_time_does_not_crash(self) -> None:
        rows = User.objects.order_by("date_joined", "id")
        for text in ("9999-12-31 23:59:59-14:00", "0001-01-01 00:00:00+14:00", "9999-12-31 23:59:59+00:00"):
            # On SQLite some of these are out of range in UTC; PostgreSQL has a wider range.
            with self.subTest(text=text), suppress(UnknownCursor):
                paginate(rows, size=5, cursor=Cursor(back=True, values=[text, 1]).encode())

    def test_number_out_of_range_is_harmless(self) -> None:
        rows = Book.objects.order_by("published", "id")
        cursor = Cursor(back=True, values=[1 << 40, 1 << 62]).encode()
        self.assertEqual(len(paginate(rows, size=50, cursor=cursor).rows), 35)
        cursor = Cursor(back=False, values=[1 << 40, 1 << 62]).encode()
        self.assertEqual(paginate(rows, size=50, cursor=cursor).rows, [])

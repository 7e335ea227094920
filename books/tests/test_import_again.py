"""Property tests that importing the same file twice changes nothing the second time."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from books.models import Book, Copy
from books.tests.importing import DUNE, EMMA, import_text, report_counts

# Few values of each, so that rows collide.
names = st.sampled_from(["A", "a.", "B"])
authors = st.sampled_from(["", "x"])
isbns = st.sampled_from(["", DUNE, EMMA, "9780441013594"])
years = st.sampled_from(["", "1965", "1966"])
kinds = st.sampled_from(["", "novel"])
rows = st.lists(st.tuples(names, authors, isbns, years, kinds), max_size=7)
there = st.lists(
    st.tuples(names, authors, isbns.filter(lambda isbn: isbn != "9780441013594"), years), max_size=4
)


class RepeatedImportTest(TestCase):
    @settings(deadline=None, max_examples=150)
    @given(there, rows, st.integers(1, 4), st.integers(1, 4))
    def test_second_import_changes_nothing(self, there, rows, batch_size, at_a_time_again):
        for name, author, isbn, year in there:
            try:
                with transaction.atomic():
                    Book.objects.create(
                        name=name, author=author, isbn=isbn, published=int(year) if year else None
                    )
            except IntegrityError:
                continue
        text = "name,author,isbn,year,kind\n" + "".join(",".join(row) + "\n" for row in rows)
        first = import_text(text, batch_size=batch_size)
        after = list(Book.objects.order_by("pk").values())
        again = import_text(text, batch_size=at_a_time_again)
        self.assertEqual(report_counts(again), (0, 0, len(rows), 0))
        self.assertEqual(list(Book.objects.order_by("pk").values()), after)
        self.assertEqual(first.read, sum(report_counts(first)))
        self.assertEqual(Copy.objects.count(), first.created)

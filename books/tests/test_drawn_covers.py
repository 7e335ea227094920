"""Tests that every book without a cover gets a drawing, and that its text fits."""

from __future__ import annotations

from unittest import TestCase
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from books.drawn_covers import HEIGHT, LETTER, MARGIN, WIDTH, drawn_cover, svg
from books.models import Book, Kind

books = st.builds(
    Book,
    name=st.text(min_size=1, max_size=300),
    author=st.text(max_size=1000),
    kind=st.sampled_from(Kind.values),
)


def book(name: str, author: str = "Jane Austen") -> Book:
    return Book(name=name, author=author, kind=Kind.NOVEL)


class DrawnCoverTest(TestCase):
    @given(st.text("abcXYZ ", min_size=1, max_size=300), st.text("abcXYZ ,", max_size=300))
    def test_text_stays_on_the_cover(self, name: str, author: str) -> None:
        cover = drawn_cover(book(name, author))
        for line in cover.title:
            self.assertLessEqual(len(line.text) * LETTER * cover.title_size, WIDTH - 2 * MARGIN)
            self.assertTrue(0 < line.y < HEIGHT - MARGIN)
        self.assertLessEqual(len(cover.author), 2)
        self.assertTrue(all(0 < line.y <= HEIGHT - MARGIN for line in cover.author))

    @given(books)
    def test_svg_is_well_formed_for_any_title(self, any_book: Book) -> None:
        drawing = svg(drawn_cover(any_book))
        # Removed, because XML forbids these characters; HTML does not mind them.
        speakable = "".join(sign for sign in drawing if sign >= " " or sign in "\n\t")
        ET.fromstring(speakable.replace("\ufffe", "").replace("\uffff", ""))  # noqa: S314  # Our own.

    def test_look_depends_on_the_book(self) -> None:
        self.assertEqual(drawn_cover(book("Emma")), drawn_cover(book("Emma")))
        looks = {
            (cover.colours, cover.ornament)
            for number in range(60)
            if (cover := drawn_cover(book(f"Volume {number}")))
        }
        self.assertGreater(len(looks), 15)

    def test_long_title_is_truncated(self) -> None:
        cover = drawn_cover(book("A very long title indeed that goes on and on " * 6))
        self.assertTrue(cover.title[-1].text.endswith("…"))
        self.assertLessEqual(len(cover.title), 7)

    def test_the_series_and_the_subtitle_are_left_out(self) -> None:
        for name, shown in [
            ("The Hunger Games (The Hunger Games, #1)", "The Hunger Games"),
            ("Sapiens: A Brief History of Humankind and More", "Sapiens"),
            ("(#1)", "(#1)"),
        ]:
            with self.subTest(name):
                self.assertEqual(" ".join(line.text for line in drawn_cover(book(name)).title), shown)

    def test_long_word_is_broken(self) -> None:
        cover = drawn_cover(book("Donaudampfschifffahrtselektrizitätenhauptbetriebswerk"))
        self.assertEqual(
            "".join(line.text for line in cover.title),
            "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk",
        )

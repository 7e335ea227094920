from __future__ import annotations

from django.core.exceptions import ValidationError
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from books.isbn import looks_like_isbn, normalize_isbn, normalize_repaired_isbn, validate_isbn

nine_digits = st.text("0123456789", min_size=9, max_size=9)


def isbn_10(nine: str) -> str:
    rest = -sum(int(digit) * (10 - place) for place, digit in enumerate(nine)) % 11
    return nine + ("X" if rest == 10 else str(rest))


def is_isbn_13(text: str) -> bool:
    return (
        len(text) == 13
        and text.isascii()
        and text.isdigit()
        and text.startswith(("978", "979"))
        and sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(text)) % 10 == 0
    )


class IsbnTest(SimpleTestCase):
    def test_isbn_10_and_isbn_13_are_equal(self):
        self.assertEqual(normalize_isbn("0-439-02348-3"), "9780439023481")
        self.assertEqual(normalize_isbn("978 0 439 02348 1"), "9780439023481")

    def test_check_digit_x_is_case_insensitive(self):
        self.assertEqual(normalize_isbn("080442957X"), normalize_isbn("080442957x"))
        self.assertEqual(normalize_isbn("080442957X"), "9780804429573")

    def test_wrong_check_digit_is_invalid(self):
        self.assertIsNone(normalize_isbn("0439023484"))
        self.assertIsNone(normalize_isbn("9780439023482"))

    def test_printed_music_is_not_an_isbn(self):
        self.assertIsNone(normalize_isbn("9790060115615"))
        self.assertEqual(normalize_isbn("9791090636071"), "9791090636071")

    def test_only_13_plain_digits_are_stored(self):
        validate_isbn("9780439023481")
        for other in ("978-0439023481", "0439023483", "9780439023482", " 9780439023481"):
            with self.subTest(other), self.assertRaises(ValidationError):
                validate_isbn(other)


class IsbnRepairTest(SimpleTestCase):
    def test_prefixes_and_formatting_are_removed(self):
        written = (
            "439023483.0",
            '="0439023483"',
            "ISBN-13: 978-0-439-02348-1",
            "isbn 0439023483",
            " 439023483 ",
        )
        for text in written:
            with self.subTest(text):
                self.assertEqual(normalize_repaired_isbn(text), "9780439023481")

    def test_rounded_number_is_unknown(self):
        self.assertIsNone(normalize_repaired_isbn("9.78043902348e+12"))
        self.assertFalse(looks_like_isbn("9.78043902348e+12"))

    def test_isbn_shape_is_recognised(self):
        self.assertTrue(looks_like_isbn("7203116"))
        self.assertTrue(looks_like_isbn("978-0-439-02348-2"))
        self.assertFalse(looks_like_isbn("see the shelf"))

    @given(nine_digits)
    def test_lost_leading_zeros_are_restored(self, nine: str):
        whole = isbn_10(nine)
        shortened = whole.lstrip("0")
        if len(shortened) >= 7:
            self.assertEqual(normalize_repaired_isbn(shortened), normalize_isbn(whole))
            self.assertEqual(normalize_repaired_isbn(f"{shortened}.0"), normalize_isbn(whole))
            self.assertTrue(is_isbn_13(normalize_isbn(whole) or ""))

    @given(nine_digits, st.sets(st.integers(1, 9)), st.sampled_from("- \u2010\u2013\u00a0"))
    def test_hyphens_and_spaces_do_not_matter(self, nine: str, places: set[int], between: str):
        whole = isbn_10(nine)
        spaced = "".join(between * (place in places) + digit for place, digit in enumerate(whole))
        self.assertEqual(normalize_repaired_isbn(spaced), normalize_isbn(whole))

    @given(st.text() | st.from_regex(r"\A[ =\"]?[0-9Xx.\- ]{5,16}\Z"))
    def test_result_is_always_valid(self, text: str):
        self.assertTrue(is_isbn_13(normalize_repaired_isbn(text) or "9780439023481"))
        self.assertTrue(is_isbn_13(normalize_isbn(text) or "9780439023481"))

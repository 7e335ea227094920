from __future__ import annotations

from django.test import SimpleTestCase

from books.languages import language_code

# Every code in the goodbooks catalogue.
CODES = {
    "ara": "ar", "dan": "da", "en": "en", "en-CA": "en", "en-GB": "en", "en-US": "en", "eng": "en",
    "fil": "fil", "fre": "fr", "ger": "de", "ind": "id", "ita": "it", "jpn": "ja", "mul": "mul",
    "nl": "nl", "nor": "no", "per": "fa", "pol": "pl", "por": "pt", "rum": "ro", "rus": "ru",
    "spa": "es", "swe": "sv", "tur": "tr", "vie": "vi",
}  # fmt: skip


class LanguageTest(SimpleTestCase):
    def test_catalogue_codes_map_to_shortest_codes(self):
        self.assertEqual({code: language_code(code) for code in CODES}, CODES)

    def test_case_and_region_do_not_matter(self):
        self.assertEqual(
            [language_code(code) for code in ("ENG", " fra ", "pt_BR", "zh-Hant-TW")],
            ["en", "fr", "pt", "zh"],
        )

    def test_undetermined_language_is_empty(self):
        self.assertEqual([language_code(code) for code in ("", " ", "und")], ["", "", ""])

    def test_invalid_code_is_unknown(self):
        for text in ("english", "xx", "12", "x-klingon", "français", "e", "\x00", "en;fr", "y" * 5000):
            with self.subTest(text[:20]):
                self.assertIsNone(language_code(text))

"""The German translation is complete. `make messages` updates the catalogue."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import TestCase

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings

FOLDER = Path(settings.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES"


def texts(message: Message, of: str) -> list[str]:
    found = message.id if of == "id" else message.string
    return list(found) if isinstance(found, (list, tuple)) else [str(found)]


def places(text: str) -> set[str]:
    """Return the placeholders in a text."""
    return set(re.findall(r"%\([a-z_]+\)[sd]|%[sd]|\{[a-z_]*\}|<[^>]+>", text))


class GermanTest(TestCase):
    catalogue: Catalog

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with (FOLDER / "django.po").open("rb") as lines:
            cls.catalogue = read_po(lines)

    def test_every_message_is_translated(self) -> None:
        self.assertGreater(len(self.catalogue), 300)
        lacking = [
            message.id for message in self.catalogue if message.id and not all(texts(message, "string"))
        ]
        self.assertEqual(lacking, [])
        self.assertEqual([message.id for message in self.catalogue if message.id and message.fuzzy], [])

    def test_placeholders_match(self) -> None:
        for message in self.catalogue:
            if message.id:
                wanted = {place for text in texts(message, "id") for place in places(text)}
                for text in texts(message, "string"):
                    with self.subTest(text):
                        # "One day" needs no number.
                        missing = set() if message.pluralizable else wanted - places(text)
                        self.assertEqual((missing, places(text) - wanted), (set(), set()))

    def test_compiled_catalogue_is_current(self) -> None:
        with (FOLDER / "django.mo").open("rb") as compiled:
            shown = {tuple(texts(one, "id")): texts(one, "string") for one in read_mo(compiled) if one.id}
        written = {tuple(texts(one, "id")): texts(one, "string") for one in self.catalogue if one.id}
        self.assertEqual(shown, written, "Run make messages, which compiles the catalogue.")

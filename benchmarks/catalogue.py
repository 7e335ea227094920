"""Generates books for a shop of any size from a catalogue of a few thousand.

The first books are those of the source. Each of the others combines the beginning of one title, the end of
another and the author of a third book. Every third gets a unique name, because a larger catalogue has more
rare words, which matters to searches.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

SEED = 1895
# Occurs in five books, however large the shop is.
RARE = "quillonade"
RARE_BOOKS = (97, 1009, 2203, 3301, 4409)
MISSPELT = "quilonade"
COMMON = "the"
# Occurs in one book of a hundred: in a large shop, in more books than a search can rank.
FREQUENT = "golden"

LANGUAGES = ("en",) * 7 + ("de", "fr", "es", "it")
ADJECTIVES = (
    "bitter blue bright broken burning cold crooked dark distant early empty endless fallen final first "
    "forgotten golden good great green grey hidden hollow hungry last late little long lost lucky "
    "midnight naked narrow new nineteenth old open pale patient perfect quiet red restless salt second "
    "secret seventh shallow silent silver slow small strange sweet tall thin third unknown wandering "
    "warm white wild winter"
).split()
NOUNS = (
    "afternoon alphabet angel anger apple army atlas bell bird blood boat bone book border bread bride "
    "bridge brother candle captain castle cat child circle city clock cloud country court cousin crow "
    "crown dance daughter day death desert devil doctor dog door dream dust empire enemy engine "
    "evening farm father feather field fire fish flower fool forest friend game garden gate ghost girl "
    "glass gold grave guest hand harbour heart heaven hero history hill honey horse hour house hunger "
    "hunter ice inheritance island journey judge key king kitchen knife lake lamp language law letter "
    "library lie life light lighthouse line lion love machine map market marriage master memory "
    "merchant mirror money moon morning mother mountain murder music name needle night nurse ocean "
    "orchard orphan palace paper party path peace piano picture pilot poet power prince promise queen "
    "question rain reader river road room rose sailor sea season shadow ship shore silence sister sky "
    "sleep snow soldier son song spring spy star station storm story stranger street summer sun sword "
    "table teacher theatre thief time tower town train tree truth uncle valley village violin voice "
    "wall war water weather widow wife wind window wing wolf woman wood word work world year"
).split()
FORENAMES = (
    "Ada Agnes Albert Alma Anton Aron Beatrix Bruno Carla Clara Daniel Dora Edith Elias Elsa Emil Erika "
    "Felix Frieda Georg Greta Hanna Hugo Ida Ines Jakob Jonas Julia Karl Klara Leo Lotte Lukas Magda "
    "Martin Mina Nora Oskar Paula Peter Rosa Rudolf Selma Simon Sofia Stella Theo Vera Viktor Walter"
).split()
SYLLABLES = (
    "ba bel bor cas dal den dor el fen gar hal hel il jar kal ker lan lor mal mar mir nar nel or pel "
    "ran ros sal sar sel tal tor ul val vel vor wen yor zan zel"
).split()


class Row(NamedTuple):
    """A book of the source catalogue."""

    name: str
    author: str
    published: int | None
    language: str


def generate_books(number: int) -> list[Row]:
    """Generate a plausible catalogue of `number` books, the same every time."""
    chance = Random(SEED)  # noqa: S311  # Not used for security.
    authors = [f"{chance.choice(FORENAMES)} {_name(chance)}" for _ in range(max(1, number // 4))]
    return [
        Row(
            _title(chance),
            ", ".join(
                authors[int(len(authors) * chance.random() ** 2)] for _ in range(chance.choice((1, 1, 1, 2)))
            ),
            2026 - int(150 * chance.random() ** 3),
            chance.choice(LANGUAGES),
        )
        for _ in range(number)
    ]


def from_csv(path: Path) -> list[Row]:
    """Read the books of a CSV file with the columns of the goodbooks-10k data set."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(
                _plain(row["title"])[:300] or "Untitled",
                _plain(row["authors"])[:1000],
                int(float(row["original_publication_year"])) if row["original_publication_year"] else None,
                "en" if row["language_code"].startswith("en") else row["language_code"][:2],
            )
            for row in csv.DictReader(file)
        ]


def multiply_books(source: Sequence[Row], number: int) -> Iterator[Row]:
    """Generate `number` books from those of `source`, which come first."""
    chance = Random(SEED)  # noqa: S311  # Not used for security.
    for place in range(number):
        book = source[place % len(source)]
        if place >= len(source):
            here, there = book.name.split(" "), chance.choice(source).name.split(" ")
            name = " ".join(here[: (len(here) + 1) // 2] + there[len(there) // 2 :])
            if place % 3 == 0:
                name = f"{name[:250]} of {_name(chance)}"
            book = Row(name[:300].strip(), chance.choice(source).author, book.published, book.language)
        if place in RARE_BOOKS:
            book = book._replace(name=f"{book.name[:280]} {RARE.title()}")
        yield book


def isbn(number: int) -> str:
    """Return the ISBN-13 with this number, which must be below 1,000,000,000."""
    digits = f"978{number:09d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def _name(chance: Random) -> str:
    return "".join(chance.choice(SYLLABLES) for _ in range(chance.choice((2, 3, 3, 4)))).capitalize()


def _title(chance: Random) -> str:
    adjective, noun, other = (
        chance.choice(ADJECTIVES),
        _weighted_choice(chance, NOUNS),
        _weighted_choice(chance, NOUNS),
    )
    return chance.choice(
        (
            f"The {adjective} {noun}",
            f"The {noun} of the {other}",
            f"{noun} and {other}",
            f"A {adjective} {noun}",
            f"The {noun} in {_name(chance)}",
            f"{_name(chance)}",
            f"My {noun}, your {other}: a {adjective} story of love",
        )
    ).title()


def _weighted_choice(chance: Random, words: Sequence[str]) -> str:
    """Choose one of `words`; the first ones are more likely than the last."""
    return words[int(len(words) * chance.random() ** 2)]


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("\\", "/")

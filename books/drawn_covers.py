"""Draws an SVG cover from title, author and kind for a book without a cover image.

The same book always gets the same cover. Colours are attributes of the drawing, so it needs no stylesheet and
looks the same in dark mode.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from html import escape
from typing import NamedTuple
from unicodedata import east_asian_width

from django.utils.safestring import SafeString, mark_safe

from books.models import Book, Kind

WIDTH, HEIGHT = 200, 300
MARGIN = 18
# Width of a letter relative to the font size, in the widest font of FONTS.
LETTER = 0.6
ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Colours:
    paper: str
    ornament: str
    second: str
    ink: str


# Each kind has its own palettes, so that it can be recognised from its colours.
PALETTES: dict[int, tuple[Colours, ...]] = {
    Kind.REGULAR: (
        Colours("#16324f", "#2f6690", "#d9b44a", "#f7f2e4"),
        Colours("#e9dfc7", "#b8503c", "#1f3a4d", "#22303c"),
        Colours("#33473d", "#5d7a68", "#e3c16f", "#f4efe0"),
        Colours("#dfe6e3", "#3c6e71", "#c8553d", "#1f2f33"),
    ),
    Kind.FICTION: (
        Colours("#3b1c4a", "#7a4988", "#f2b880", "#f8efe6"),
        Colours("#11243a", "#26507a", "#e4572e", "#f5f0e6"),
        Colours("#2a2140", "#51438a", "#7fd1b9", "#f1eef7"),
        Colours("#f0e2d0", "#6b3fa0", "#e76f51", "#2c1f3d"),
    ),
    Kind.NOVEL: (
        Colours("#6d1f2b", "#a23b44", "#e9c46a", "#fbf1e3"),
        Colours("#f3e5d8", "#a63d40", "#31493c", "#3a2226"),
        Colours("#1f4037", "#3a6b5c", "#e6b89c", "#f5efe3"),
        Colours("#8a4b2a", "#b9703f", "#f1d6a3", "#fff6e8"),
    ),
}
# {0} is the palette's `ornament` colour, {1} its `second` colour.
ORNAMENTS = {
    "sun": '<circle cx="100" cy="300" r="96" fill="{0}"/><circle cx="100" cy="300" r="70" fill="{1}"/>',
    "arch": '<path fill="{0}" d="M40 300V220a60 60 0 0 1 120 0v80z"/>'
    '<path fill="{1}" d="M68 300v-76a32 32 0 0 1 64 0v76z"/>',
    "waves": '<path fill="{0}" d="M0 222q50-34 100 0t100 0v78H0z"/>'
    '<path fill="{1}" d="M0 248q50-30 100 0t100 0v52H0z"/>',
    "stripes": '<path stroke="{0}" stroke-width="12" d="M0 204h200M0 226h200M0 248h200"/>'
    '<path fill="{1}" d="M0 0h9v300H0z"/>',
    "rings": '<g fill="none" stroke-width="9"><circle cx="160" cy="236" r="66" stroke="{0}"/>'
    '<circle cx="160" cy="236" r="44" stroke="{1}"/><circle cx="160" cy="236" r="22" stroke="{0}"/></g>',
    "window": '<path fill="{0}" d="M18 186h164v62H18z"/>'
    '<path fill="{1}" d="M18 186h50v62H18zM132 186h50v62h-50z"/>',
}
FONTS = "Iowan Old Style, Palatino Linotype, Palatino, Georgia, serif"


class Line(NamedTuple):
    """A line of text; `y` is its baseline."""

    text: str
    y: float


@dataclass(frozen=True, slots=True)
class DrawnCover:
    """The content of a drawing; lengths are in units of its WIDTH × HEIGHT view box."""

    colours: Colours
    ornament: str
    title: tuple[Line, ...]
    title_size: int
    author: tuple[Line, ...]
    author_top: int


def drawn_cover(book: Book) -> DrawnCover:
    chosen = zlib.crc32(f"{book.name}\n{book.author}".encode())
    palettes = PALETTES[book.kind]
    size, title = _title_lines(_main_title(book.name))
    author = _wrapped(_first_author(book.author), 13, most=2)
    step = size * 1.18
    return DrawnCover(
        colours=palettes[chosen % len(palettes)],
        ornament=list(ORNAMENTS)[chosen // 7 % len(ORNAMENTS)],
        title=tuple(Line(text, round(30 + size + step * row, 1)) for row, text in enumerate(title)),
        title_size=size,
        author=tuple(
            Line(text, HEIGHT - MARGIN - 16 * (len(author) - 1 - row)) for row, text in enumerate(author)
        ),
        # The ornament ends where the band with the author begins.
        author_top=HEIGHT - MARGIN - 16 * len(author) - 4,
    )


def svg(drawn: DrawnCover) -> SafeString:
    """Return the drawing as SVG. It is built without a template, because a catalogue page has 24 of them."""
    colours = drawn.colours
    return mark_safe(  # noqa: S308  # nosec B308 B703  # Our own numbers and colours; the texts are escaped.
        '<svg class="cover" viewBox="0 0 200 300" aria-hidden="true" focusable="false">'
        f'<path fill="{colours.paper}" d="M0 0h200v300H0z"/>'
        f"{ORNAMENTS[drawn.ornament].format(colours.ornament, colours.second)}"
        f'<path fill="{colours.paper}" d="M0 {drawn.author_top}h200v60H0z"/>'
        '<path fill-opacity=".16" d="M0 0h6v300H0z"/>'
        f'<g fill="{colours.ink}" font-family="{FONTS}">'
        f'<g font-size="{drawn.title_size}" font-weight="700">{_texts(drawn.title)}</g>'
        f'<g font-size="13">{_texts(drawn.author)}</g></g></svg>'
    )


def _texts(lines: tuple[Line, ...]) -> str:
    return "".join(f'<text x="18" y="{line.y}">{escape(line.text)}</text>' for line in lines)


def _main_title(name: str) -> str:
    """Return the title without series and subtitle, for which a cover has no room."""
    short = re.sub(r"\s*[(\[].*[)\]]\s*$", "", name)
    before, colon, _after = short.partition(": ")
    return (before if colon and len(short) > 40 else short) or name


def _first_author(author: str) -> str:
    first, comma, _others = author.partition(", ")
    return f"{first} …" if comma and len(author) > 40 else author


def _title_lines(title: str) -> tuple[int, list[str]]:
    """Return the largest font size at which the whole title fits, and its lines. A very long title is cut."""
    for size, most in ((28, 4), (24, 5), (20, 6), (17, 7)):
        lines = _wrapped(title, size, most=most)
        if not lines[-1].endswith(ELLIPSIS):
            return size, lines
    return 17, _wrapped(title, 17, most=7)


def _width(text: str) -> float:
    """Return the width of `text` relative to the font size."""
    if text.isascii():
        return LETTER * len(text)
    return sum(1.0 if east_asian_width(sign) in "WF" else LETTER for sign in text)


def _wrapped(text: str, size: int, *, most: int) -> list[str]:
    """Break `text` into at most `most` lines that fit the cover, between words where possible."""
    room = (WIDTH - 2 * MARGIN) / size
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(longer) <= room:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        if _width(word) <= room:
            lines[-1] = word
            continue
        # A word wider than the cover is broken across lines.
        for sign in word:
            if _width(lines[-1] + sign) > room:
                lines.append("")
            lines[-1] += sign
    if len(lines) > most:
        lines = lines[:most]
        lines[-1] = lines[-1][:-1].rstrip() + ELLIPSIS
    return lines

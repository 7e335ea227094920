"""Takes out of an image file what decoding needs, and its orientation, before Pillow reads it.

Pillow parses metadata in Python, unpacks profiles and joins segments, so a small file could hold a thread for
long. Decoders also look for images where others see none. So each file is rebuilt from known parts.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

# Each scan of a JPEG goes through the whole image again. Common encoders write 1 to 18.
MAX_SCANS = 32
# Segments of a JPEG and chunks of a PNG or WebP. Large files have about a thousand.
MAX_PARTS = 10_000
# Bytes of metadata in which the orientation is looked for; a JPEG has no more in a segment.
MAX_EXIF = 64 * 1024
# A tag, and the type of its value.
ORIENTATION, _SHORT = 0x0112, 3


class TooManyParts(Exception):
    """The file has too many parts to be read in a short time."""


class Essentials(NamedTuple):
    """An image file without metadata, and what the metadata say of its orientation."""

    content: bytes
    orientation: int = 1
    is_animated: bool = False


def jpeg_essentials(content: bytes) -> Essentials:
    """Return the tables and scans of a JPEG. Raises TooManyParts, and ValueError for unknown parts."""
    kept, exif = [b"\xff\xd8"], b""
    is_scan, frames, scans, position = False, 0, 0, 2
    for _ in range(MAX_PARTS):
        found = _JPEG_MARKER.search(content, position)
        if is_scan:
            kept.append(content[position : found.start() if found else None])
        if found is None or found[1] == _END_OF_IMAGE:
            break
        marker, start = found[1], found.end()
        length = int.from_bytes(content[start : start + 2], "big")
        position = start + length
        if marker not in _JPEG_SEGMENTS or length < 2 or position > len(content):
            raise ValueError("Not a segment of a JPEG.")
        data = content[start + 2 : position]
        is_scan = marker == _START_OF_SCAN
        scans += is_scan
        frames += marker in _JPEG_FRAMES
        if scans > MAX_SCANS or frames > 1:
            raise TooManyParts
        if marker == _APP1 and data.startswith(_EXIF):
            exif = exif or data
        if marker in _JPEG_TABLES or data.startswith(_JPEG_COLORS.get(marker, ())):
            kept.append(content[found.start() : position])
    else:
        raise TooManyParts
    if not scans:
        raise ValueError("A JPEG without a scan.")
    return Essentials(b"".join([*kept, b"\xff\xd9" if found else b""]), _orientation(exif))


# A marker, or what is none but makes libjpeg look for the next one, such as FF 02. Inside of a scan there are
# also bytes FF (FF 00), restarts (FF D0 to D7) and fill bytes (FF FF).
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = b"\xda", b"\xd9", b"\xe1"
# Baseline, extended and progressive.
_JPEG_FRAMES = frozenset({b"\xc0", b"\xc1", b"\xc2"})
# With tables, scans and the restart interval.
_JPEG_TABLES = _JPEG_FRAMES | {b"\xc4", b"\xdb", _START_OF_SCAN, b"\xdd"}
# Without these, libjpeg guesses the colours.
_JPEG_COLORS = {b"\xe0": b"JFIF\0", b"\xee": b"Adobe"}
# With the number of lines, applications' segments and comments.
_JPEG_SEGMENTS = _JPEG_TABLES | {b"\xdc", b"\xfe", *(bytes([0xE0 + number]) for number in range(16))}
_EXIF = b"Exif\0\0"


def png_essentials(content: bytes) -> Essentials:
    """Return the pixels, palette and transparency of a PNG. Raises TooManyParts and ValueError."""
    kept, exif, is_animated = [b"\x89PNG\r\n\x1a\n"], b"", False
    needed = _PNG_CHUNKS
    for number, (kind, start, end) in enumerate(_chunks(content, 8, "big")):
        if (number == 0) != (kind == b"IHDR"):
            raise ValueError("A PNG has one header, at its start.")
        if kind == b"acTL":
            is_animated |= int.from_bytes(content[start : start + 4], "big") > 1
        elif kind == b"eXIf":
            exif = exif or content[start : min(end, start + MAX_EXIF)]
        elif kind in needed:
            # With length and type before the data, and the checksum behind them.
            kept.append(content[start - 8 : end + 4])
        if kind == b"IDAT":
            # A transparent colour behind it would be found only after the size was checked.
            needed = _PNG_PIXELS
        elif kind == b"IEND":
            break
    return Essentials(b"".join(kept), _orientation(exif), is_animated)


_PNG_PIXELS = frozenset({b"IDAT", b"IEND"})
_PNG_CHUNKS = _PNG_PIXELS | {b"IHDR", b"PLTE", b"tRNS"}


def webp_essentials(content: bytes) -> Essentials:
    """Return the header, pixels and transparency of a WebP. Raises TooManyParts and ValueError."""
    kept, exif = [b"WEBP"], b""
    size = int.from_bytes(content[4:8], "little")
    for kind, start, end in _chunks(content[: 8 + size], 12, "little"):
        if kind == b"EXIF":
            exif = exif or content[start : min(end, start + MAX_EXIF)]
        elif kind in _WEBP_CHUNKS:
            # Chunks of an odd length are followed by a byte, which some programs leave out at the end.
            kept.append(content[start - 8 : end] + b"\0" * ((end - start) % 2))
    body = b"".join(kept)
    return Essentials(b"RIFF" + struct.pack("<I", len(body)) + body, _orientation(exif))


_WEBP_CHUNKS = frozenset({b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF"})


def _chunks(
    content: bytes, position: int, order: Literal["big", "little"]
) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the data of each chunk: big-endian as in PNG, little-endian as in WebP.

    Raises TooManyParts, and ValueError if one ends behind the file.
    """
    for _ in range(MAX_PARTS):
        if position >= len(content):
            return
        head, start = content[position : position + 8], position + 8
        if order == "big":
            kind, end = head[4:], start + int.from_bytes(head[:4], "big")
            position = end + 4
        else:
            kind, end = head[:4], start + int.from_bytes(head[4:], "little")
            position = end + (end - start) % 2
        if end > len(content):
            raise ValueError("A chunk that is not complete.")
        yield kind, start, end
    if position < len(content):
        raise TooManyParts


def _orientation(exif: bytes) -> int:
    """Return the orientation in metadata (TIFF 6.0); 1 if they have none.

    Pillow makes an object of each value of a tag, however many a file has, and warns about them in the log.
    """
    exif = exif.removeprefix(_EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    if start + 2 > len(exif):
        return 1
    (number,) = struct.unpack_from(f"{order}H", exif, start)
    # Each entry takes 12 bytes.
    number = min(number, (len(exif) - start - 2) // 12)
    entries = exif[start + 2 : start + 2 + 12 * number]
    for tag, kind, count, value in struct.iter_unpack(f"{order}HHIHxx", entries):
        if (tag, kind, count) == (ORIENTATION, _SHORT, 1):
            return int(value)
    return 1

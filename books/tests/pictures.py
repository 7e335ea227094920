"""Makes images for the tests of covers."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

RED = (200, 30, 30)
BLUE = (30, 30, 200)


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 90), mode: str = "RGB", **options: Any) -> bytes:
    kept = BytesIO()
    Image.new("RGB", size, RED).convert(mode).save(kept, kind, **options)
    return kept.getvalue()


def upload(content: bytes | None = None, name: str = "cover.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, picture() if content is None else content, "image/png")


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    size: tuple[int, int],
    rows: bytes,
    *,
    bits: int = 8,
    color_type: int = 2,
    more: bytes = b"",
    end: bytes = b"",
) -> bytes:
    """Return a PNG of these rows, each of which begins with its filter; `more` are chunks before them."""
    header = struct.pack(">IIBBBBB", *size, bits, color_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), more, chunk(b"IDAT", zlib.compress(rows)), end, chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_declaring_size(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that declares this size, with hardly any data."""
    return png((width, height), b"\0" * 1000)


def grey_png(value: int, *, more: bytes = b"") -> bytes:
    """Return a PNG of 60 x 90 pixels of one grey with 16 bits."""
    return png((60, 90), (b"\0" + struct.pack(">H", value) * 60) * 90, bits=16, color_type=0, more=more)


def webp_declaring_size(form: bytes, width: int, height: int) -> bytes:
    """Return the header of a WebP of this form and size, with hardly any data."""
    data = {
        b"VP8 ": b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height),
        b"VP8L": b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 5,
        b"VP8X": b"\0" * 4 + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3],
    }[form]
    body = b"WEBP" + form + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_with_scans(count: int, size: tuple[int, int] = (60, 90)) -> bytes:
    """Return a progressive JPEG that repeats its last scan until it has this many."""
    content = picture("JPEG", size, mode="L", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * (count - content.count(b"\xff\xda") + 1) + content[-2:]


def segment(marker: int, data: bytes = b"") -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(data)) + data


def jpeg_hiding_scans(count: int, size: tuple[int, int] = (60, 90)) -> bytes:
    """Return a JPEG whose restart interval makes libjpeg find scans behind FF 02, which has no segment."""
    frame = struct.pack(">BHHB", 8, size[1], size[0], 1) + b"\1\x11\0"
    codes = b"\x01" + b"\0" * 16
    start = [segment(0xDB, b"\0" + b"\1" * 64), segment(0xC2, frame)]
    start += [segment(0xC4, table + codes) for table in (b"\0", b"\x10")]
    start += [segment(0xDD, b"\0\1"), segment(0xDA, b"\1\1\0\0\0\0"), b"\xff\x02\xff"]
    hidden = segment(0xDA, b"\1\1\0\1\x3f\0") + b"\xff\x02"
    return b"\xff\xd8" + b"".join(start) + hidden * count + b"\xff\xd9"


def exif(entries: list[tuple[int, int, int, int]], *, order: str = "<", data: bytes = b"") -> bytes:
    """Return EXIF metadata of these tags, types, counts and values, followed by `data`."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    rows = [
        struct.pack(
            f"{order}HHIHH" if kind == 3 else f"{order}HHII", tag, kind, count, value, *([0] * (kind == 3))
        )
        for tag, kind, count, value in entries
    ]
    return head + b"".join(rows) + b"\0" * 4 + data


def orientation_of_many_values() -> bytes:
    """Return EXIF metadata whose orientation is 500,000 fractions."""
    return exif([(0x0112, 5, 500_000, 26)], data=struct.pack("<II", 1, 3) * 500_000)


def webp_with(content: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return the WebP, which has an extended header, with more chunks at its end."""
    more = b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(content) + len(more) - 8) + content[8:] + more

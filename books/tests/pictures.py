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


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 60), mode: str = "RGB", **options: Any) -> bytes:
    kept = BytesIO()
    Image.new("RGB", size, RED).convert(mode).save(kept, kind, **options)
    return kept.getvalue()


def upload(content: bytes | None = None, name: str = "cover.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, picture() if content is None else content, "image/png")


def png_declaring_size(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that declares this size, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 1000)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

"""Validates uploaded cover images and re-encodes them.

Decoding an upload and encoding it again keeps nothing but the pixels: no metadata, such as the position of a
camera, and no file that one program reads as an image and another as a script.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import PurePath
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageOps

from books.image_files import (
    ORIENTATION,
    TooManyParts,
    jpeg_essentials,
    png_essentials,
    webp_essentials,
)
from lori_assignment.errors import Busy

# Formats by the end of the file's name, which browsers and programs go by.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    # With all of the header that has the size.
    "WEBP": re.compile(rb"RIFF.{4}WEBPVP8[ LX].{14}", re.DOTALL),
}
ESSENTIALS = {"JPEG": jpeg_essentials, "PNG": png_essentials, "WEBP": webp_essentials}
MAX_BYTES = 5 * 1024 * 1024
# A photo of a phone with 12 megapixels has up to 4160 x 3120. Decoding WebP takes twice as much memory.
MAX_PIXELS = {"JPEG": 13_000_000, "PNG": 13_000_000, "WEBP": 6_000_000}
# A colour that stands for transparent takes more memory: Pillow makes a second image with transparency.
MAX_PIXELS_WITH_KEY = 6_000_000
# The catalogue shows covers 200 pixels wide; a smaller image than this is no more than a blur.
MIN_SIDE = 50
# A longer strip would be cut to its middle, or vanish when it is scaled down.
MAX_RATIO = 10
# Enough for a full-page view on a dense screen.
MAX_SIDE = 1600
NOT_A_COVER = _(
    "Upload the cover as a JPEG, PNG or WebP image. Its file name must end in .jpg, .jpeg, .png or .webp "
    "to match."
)
TOO_MANY_PIXELS = _("Covers are limited to %(most)d megapixels in this format.")
TOO_MANY_PARTS = _("This image is built from too many parts. Save it again as a plain JPEG or PNG image.")

# Decoding takes up to 150 MB, so a process decodes one cover at a time, and one waits. More that wait would
# hold all threads of the server.
MAX_WAITING = 1
# Seconds, in which most covers are decoded.
RETRY_AFTER = 1
_decoding = threading.Lock()
_places = threading.BoundedSemaphore(1 + MAX_WAITING)


@contextmanager
def _turn() -> Iterator[None]:
    """Wait until no other cover is decoded. Raises Busy if another one waits already."""
    if not _places.acquire(blocking=False):
        raise Busy(RETRY_AFTER)
    try:
        with _decoding:
            yield
    finally:
        _places.release()


def clean_cover(upload: File) -> ContentFile[bytes]:
    """Return the image in `upload` as WebP without metadata, upright, no side longer than MAX_SIDE pixels.

    Raises ValidationError when the upload breaks one of the limits above, is animated, or when its content is
    not of the format that its name says. All of this is checked before the pixels are decoded. Colours are
    read as sRGB. Raises Busy while one cover is decoded and another one waits.
    """
    if upload.size > MAX_BYTES:
        raise ValidationError(_("Covers are limited to 5 MB."))
    kind = FORMATS.get(PurePath(upload.name or "").suffix.lower())
    upload.seek(0)
    content = upload.read()
    if kind is None or not SIGNATURES[kind].match(content):
        raise ValidationError(NOT_A_COVER)
    try:
        with _turn():
            kept = _decode(kind, content)
    except (ValidationError, Busy):
        raise
    except TooManyParts as error:
        raise ValidationError(TOO_MANY_PARTS) from error
    except Exception as error:
        # Damaged files make the decoders raise all kinds of errors, TypeError and struct.error among them.
        raise ValidationError(NOT_A_COVER) from error
    # A random name: unique, and independent of the name of the uploaded file.
    return ContentFile(kept, name=f"{uuid.uuid4().hex}.webp")


def _decode(kind: str, content: bytes) -> bytes:
    """Return the image as WebP. Raises ValidationError, TooManyParts and what decoders raise."""
    image = ESSENTIALS[kind](content)
    # Pillow reserves memory for the pixels of a WebP image when it opens it.
    if kind == "WEBP":
        _check_size(kind, *_webp_size(image.content))
    with Image.open(BytesIO(image.content), formats=[kind]) as picture:
        _check_size(kind, picture.width, picture.height)
        if picture.mode in ("RGB", "I;16") and "transparency" in picture.info:
            _check_pixels(picture.width * picture.height, most=MAX_PIXELS_WITH_KEY)
        if image.is_animated or getattr(picture, "n_frames", 1) > 1:
            raise ValidationError(_("Covers can't be animated. Upload a single image."))
        kept = BytesIO()
        _small_and_upright(picture, image.orientation).save(kept, "WEBP", quality=82)
    return kept.getvalue()


def _check_pixels(pixels: int, *, most: int) -> None:
    if pixels > most:
        raise ValidationError(TOO_MANY_PIXELS, params={"most": most // 1_000_000})


def _check_size(kind: str, width: int, height: int) -> None:
    """Raise ValidationError if an image of this size is too large, too small or too narrow."""
    _check_pixels(width * height, most=MAX_PIXELS[kind])
    shorter, longer = sorted((width, height))
    if shorter < MIN_SIDE or longer > MAX_RATIO * shorter:
        raise ValidationError(
            _(
                "Each side of a cover must have at least %(least)d pixels, "
                "and neither may be more than %(ratio)d times as long as the other."
            ),
            params={"least": MIN_SIDE, "ratio": MAX_RATIO},
        )


def _webp_size(content: bytes) -> tuple[int, int]:
    """Return the width and height in the header of a WebP file (RFC 9649)."""
    form, data = content[12:16], content[20:30]
    if form == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if form == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return width, height


def _small_and_upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Return the image in RGB or RGBA, at most MAX_SIDE wide and high, turned as `orientation` says.

    It is scaled down first, so that all other steps take little memory.
    """
    # A JPEG is decoded at an eighth to a half of its size where that is enough.
    picture.draft(None, (MAX_SIDE, MAX_SIDE))
    small = _with_eight_bits(picture)
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    small.getexif()[ORIENTATION] = orientation
    upright = ImageOps.exif_transpose(small)
    return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


def _with_eight_bits(picture: Image.Image) -> Image.Image:
    """Return the image in a mode whose pixels can be averaged, with eight bits for each colour."""
    if picture.mode == "I;16":
        key = picture.info.pop("transparency", None)
        # Pillow's own conversion makes everything above 255 white.
        picture = picture.point(_to_eight_bits).convert("L")
        if key is not None:
            picture.info["transparency"] = int(_to_eight_bits(key))
    if picture.mode in ("1", "P") or "transparency" in picture.info:
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return picture


def _to_eight_bits(value: Any) -> Any:
    return value * (1 / 257) + 0.5

"""Tests of covers: accepted files, re-encoding, and deletion of files."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import TestCase, mock

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import IntegrityError
from django.test import override_settings
from PIL import Image

from books import covers, image_files, stock
from books.covers import clean_cover
from books.errors import IsbnTaken
from books.models import Book, Copy
from books.stock import add_book, change_book
from books.tests.pictures import (
    BLUE,
    RED,
    chunk,
    exif,
    grey_png,
    jpeg_hiding_scans,
    jpeg_with_scans,
    orientation_of_many_values,
    picture,
    png,
    png_declaring_size,
    segment,
    upload,
    webp_declaring_size,
    webp_with,
)
from lori_assignment.errors import Busy
from lori_assignment.server import gunicorn_conf
from lori_assignment.testing.cases import CastTestCase, RaceTestCase

ISBN = "9780141439587"
GPS = 0x8825
ORIENTATION = 0x0112


SIGNATURES = {b"\xff\xd8": "photo.jpg", b"RIFF": "photo.webp"}


def named(content: bytes) -> ContentFile[bytes]:
    """Return a file whose name fits its content; for unknown content it is a PNG."""
    fits = (name for signature, name in SIGNATURES.items() if content.startswith(signature))
    return ContentFile(content, next(fits, "photo.png"))


def cleaned(content: bytes) -> Image.Image:
    return Image.open(BytesIO(clean_cover(named(content)).read()))


def color(image: Image.Image, at: tuple[int, int] = (10, 10)) -> tuple[int, ...]:
    """Return the pixel of an image in colour."""
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return pixel


def sentence(content: bytes, name: str | None = None) -> str:
    """Return the message of the ValidationError for `content`; fails if it is accepted."""
    try:
        clean_cover(ContentFile(content, name) if name is not None else named(content))
    except ValidationError as error:
        return str(error.messages[0])
    raise AssertionError("The file was accepted.")


class CleanCoverTest(TestCase):
    def test_each_accepted_format_becomes_webp(self) -> None:
        for kind in ("JPEG", "PNG", "WEBP"):
            kept = cleaned(picture(kind))
            self.assertEqual((kept.format, kept.size), ("WEBP", (60, 90)))

    def test_metadata_is_removed(self) -> None:
        tags = Image.Exif()
        tags.get_ifd(GPS)[2] = (52.0, 22.0, 12.0)
        tags[0x010E] = "at home"
        content = picture("JPEG", exif=tags, icc_profile=b"<script>alert(1)</script>", comment=b"at home")
        self.assertTrue(Image.open(BytesIO(content)).getexif().get_ifd(GPS))
        kept = clean_cover(named(content)).read()
        self.assertEqual(len(Image.open(BytesIO(kept)).getexif()), 0)
        for secret in (b"at home", b"<script>", b"EXIF", b"ICCP"):
            self.assertNotIn(secret, kept)

    def test_orientation_is_applied(self) -> None:
        tags = Image.Exif()
        tags[ORIENTATION] = 6
        for kind in ("JPEG", "PNG", "WEBP"):
            self.assertEqual(cleaned(picture(kind, (90, 60), exif=tags)).size, (60, 90))
            self.assertEqual(cleaned(picture(kind, (90, 60))).size, (90, 60))
        self.assertEqual(cleaned(picture("JPEG", (3200, 2000), exif=tags)).size, (1000, 1600))

    def test_orientation_is_read_from_common_metadata_only(self) -> None:
        for order in "<>":
            turned = (ORIENTATION, 3, 1, 6)
            for entries, size in (
                ([(0x010F, 2, 4, 0), turned], (60, 90)),
                ([(ORIENTATION, 3, 1, 9)], (90, 60)),
                ([(ORIENTATION, 3, 1, 0)], (90, 60)),
                ([(ORIENTATION, 3, 2, 6)], (90, 60)),
                ([(ORIENTATION, 4, 1, 6)], (90, 60)),
                ([], (90, 60)),
            ):
                whole = exif(entries, order=order)
                for data in (whole, whole[:-2]):
                    with self.subTest(order=order, entries=entries):
                        content = picture("PNG", (90, 60))
                        content = content[:33] + chunk(b"eXIf", data) + content[33:]
                        self.assertEqual(cleaned(content).size, size)
        for damaged in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x07\0\0\0", b"MM*\0" + b"\xff" * 99):
            content = picture("JPEG", (90, 60))
            content = content[:2] + segment(0xE1, b"Exif\0\0" + damaged) + content[2:]
            self.assertEqual(cleaned(content).size, (90, 60))

    def test_only_what_decoding_needs_reaches_pillow(self) -> None:
        told = exif([(0x010E, 2, 9, 26)], data=b"somewhere")
        jpeg, png_, webp = picture("JPEG"), picture(), picture("WEBP", exif=told, icc_profile=b"somewhere")
        apps = [segment(0xE0 + number, b"somewhere") for number in range(16)]
        text = zlib.compress(b"somewhere")
        more = [chunk(b"iCCP", b"k\0\0" + text), chunk(b"zTXt", b"k\0\0" + text), chunk(b"eXIf", told)]
        for content in (
            jpeg[:20]
            + b"".join([*apps, segment(0xE1, b"Exif\0\0" + told), segment(0xFE, b"somewhere")])
            + jpeg[20:],
            png_[:33] + b"".join(more) + png_[33:-12] + b"".join(more) + png_[-12:],
            webp_with(webp, (b"XMP ", b"somewhere"), (b"none", b"somewhere")),
        ):
            with mock.patch("PIL.Image.open", wraps=Image.open) as opened:
                self.assertIsNotNone(clean_cover(named(content)))
            given = opened.call_args.args[0].getvalue()
            self.assertLess(len(given), len(content))
            for secret in (b"somewhere", b"Exif", b"EXIF", b"eXIf", b"ICCP", b"iCCP", b"zTXt", b"XMP "):
                self.assertNotIn(secret, given)

    def test_large_picture_is_scaled_down(self) -> None:
        self.assertEqual(cleaned(picture("PNG", (2000, 3200))).size, (1000, 1600))
        self.assertEqual(cleaned(picture("PNG", (1600, 1600))).size, (1600, 1600))

    def test_animations_are_refused(self) -> None:
        frames = [Image.new("RGB", (60, 90), color) for color in (RED, BLUE)]
        for kind in ("WEBP", "PNG"):
            animation = BytesIO()
            frames[0].save(animation, kind, save_all=True, append_images=frames[1:], duration=100)
            self.assertIn("can't be animated", sentence(animation.getvalue()))

    def test_preview_in_a_photo_is_ignored(self) -> None:
        photo = BytesIO()
        preview = Image.new("RGB", (60, 90), BLUE)
        Image.new("RGB", (60, 90), RED).save(photo, "MPO", save_all=True, append_images=[preview])
        red, _, blue = color(cleaned(photo.getvalue()))
        self.assertGreater(red, blue)

    def test_transparency_is_kept(self) -> None:
        glass = BytesIO()
        Image.new("RGBA", (60, 60), (0, 0, 0, 0)).save(glass, "PNG")
        palette = BytesIO()
        Image.new("P", (60, 60), 0).save(palette, "PNG", transparency=0)
        rgb = picture("PNG", transparency=RED)
        grey = grey_png(30000, more=chunk(b"tRNS", struct.pack(">H", 30000)))
        for content in (glass.getvalue(), palette.getvalue(), rgb, grey):
            self.assertEqual(color(cleaned(content).convert("RGBA"))[3], 0)
        self.assertEqual(cleaned(picture("PNG")).mode, "RGB")

    def test_other_colour_modes_become_rgb(self) -> None:
        for kind, mode in (("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "1"), ("PNG", "P"), ("PNG", "LA")):
            with self.subTest(mode=mode):
                self.assertIn(cleaned(picture(kind, mode=mode)).mode, ("RGB", "RGBA"))
        # What a JPEG says of its colours is kept.
        for content in (picture("JPEG", mode="CMYK"), picture("JPEG", keep_rgb=True)):
            for found, right in zip(color(cleaned(content)), RED, strict=True):
                self.assertAlmostEqual(found, right, delta=8)

    def test_16_bit_colors_keep_their_brightness(self) -> None:
        for value in (0, 255, 256, 30000, 65535):
            with self.subTest(value=value):
                pixel = color(cleaned(grey_png(value)).convert("RGB"))
                for channel in pixel:
                    self.assertAlmostEqual(channel, value / 257, delta=2)
        for color_type, pixel, mode in (
            (2, (30000, 10000, 20000), "RGB"),
            (6, (30000, 10000, 20000, 40000), "RGBA"),
        ):
            row = b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * 60
            kept = cleaned(png((60, 90), row * 90, bits=16, color_type=color_type))
            self.assertEqual(kept.mode, mode)
            for found, right in zip(color(kept), pixel, strict=True):
                self.assertAlmostEqual(found, right / 257, delta=4)

    def test_file_size_is_limited(self) -> None:
        content = picture()
        with mock.patch.object(covers, "MAX_BYTES", len(content)):
            self.assertIsNotNone(cleaned(content))
            self.assertEqual(sentence(content + b"\0"), "Covers are limited to 5 MB.")

    def test_limits_are_as_documented(self) -> None:
        pixels = {"JPEG": 13_000_000, "PNG": 13_000_000, "WEBP": 6_000_000}
        self.assertEqual((covers.MAX_BYTES, covers.MAX_PIXELS), (5 * 1024 * 1024, pixels))
        self.assertEqual((covers.MIN_SIDE, covers.MAX_RATIO, image_files.MAX_SCANS), (50, 10, 32))
        self.assertEqual((covers.MAX_PIXELS_WITH_KEY, image_files.MAX_PARTS), (6_000_000, 10_000))
        self.assertEqual(list(covers.FORMATS), [".jpg", ".jpeg", ".png", ".webp"])

    def test_without_the_limit_large_image_is_decoded(self) -> None:
        with (
            mock.patch.dict(covers.MAX_PIXELS, PNG=10**9),
            mock.patch("PIL.Image.Image.thumbnail", side_effect=EOFError) as decode,
        ):
            self.assertIn("as a JPEG, PNG or WebP", sentence(png_declaring_size(5000, 5000)))
        decode.assert_called_once()

    def test_pixel_limit_applies_before_decoding(self) -> None:
        # 25 megapixels, and 400, which Pillow itself refuses.
        for size in ((5000, 5000), (20_000, 20_000)):
            with mock.patch("PIL.Image.Image.thumbnail") as decode:
                self.assertIn(
                    "13 megapixels" if size[0] == 5000 else "as a JPEG", sentence(png_declaring_size(*size))
                )
            decode.assert_not_called()

    def test_webp_is_measured_before_it_is_opened(self) -> None:
        for form in (b"VP8 ", b"VP8L", b"VP8X"):
            with mock.patch("PIL.Image.open") as opened:
                self.assertEqual(
                    sentence(webp_declaring_size(form, 3000, 2001)),
                    "Covers are limited to 6 megapixels in this format.",
                )
            opened.assert_not_called()
            self.assertEqual(covers._webp_size(webp_declaring_size(form, 3000, 2000)), (3000, 2000))
        for options in ({}, {"lossless": True}, {"exif": Image.Exif(), "icc_profile": b"x"}):
            self.assertEqual(covers._webp_size(picture("WEBP", (61, 90), **options)), (61, 90))

    def test_photo_of_12_megapixels_is_accepted(self) -> None:
        self.assertEqual(cleaned(picture("JPEG", (4160, 3120), progressive=True)).size, (1600, 1200))

    def test_small_and_narrow_pictures_are_refused(self) -> None:
        for size in ((1, 1), (49, 90), (90, 49), (50, 501), (5010, 500)):
            for kind in ("JPEG", "PNG", "WEBP"):
                with self.subTest(size=size, kind=kind):
                    self.assertIn("must have at least 50 pixels", sentence(picture(kind, size)))
        self.assertEqual(cleaned(picture("PNG", (50, 500))).size, (50, 500))

    def test_scans_of_a_jpeg_are_limited(self) -> None:
        self.assertEqual(cleaned(jpeg_with_scans(32)).size, (60, 90))
        with mock.patch("PIL.Image.open") as opened:
            self.assertIn("too many parts", sentence(jpeg_with_scans(33)))
        opened.assert_not_called()
        # Those of a preview, inside of a segment, are not decoded.
        content = picture("JPEG")
        segment = b"\xff\xe2" + struct.pack(">H", 2 + 40 * 4) + b"\xff\xda\0\x02" * 40
        self.assertIsNotNone(cleaned(content[:2] + segment + content[2:]))
        # CMYK has the most scans of what encoders write by themselves.
        self.assertIsNotNone(cleaned(picture("JPEG", mode="CMYK", progressive=True)))

    def test_hidden_scans_are_refused_unopened(self) -> None:
        whole = picture("JPEG", restart_marker_blocks=1)
        start = whole.rindex(b"\xff\xd3")
        # Restarts, fill bytes and the byte FF are part of a scan.
        for between in (b"", b"\xff", b"\xff" * 50_000):
            self.assertIsNotNone(cleaned(whole[:start] + between + whole[start:]))
        known = {
            0x00,
            *range(0xC0, 0xC3),
            0xC4,
            *range(0xD0, 0xD8),
            *range(0xD9, 0xDE),
            *range(0xE0, 0xF0),
            0xFE,
            0xFF,
        }
        with mock.patch("PIL.Image.open") as opened:
            self.assertIn("as a JPEG, PNG or WebP", sentence(jpeg_hiding_scans(1)))
            for marker in set(range(256)) - known:
                for place in (2, start):
                    content = whole[:place] + segment(marker, b"\xff\xda\0\2") + whole[place:]
                    self.assertIn("as a JPEG, PNG or WebP", sentence(content))
        opened.assert_not_called()

    def test_a_jpeg_has_one_frame(self) -> None:
        content = picture("JPEG")
        start = content.index(b"\xff\xc0")
        frame = content[start : start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")]
        with mock.patch("PIL.Image.open") as opened:
            self.assertIn("too many parts", sentence(content[:start] + frame + content[start:]))
        opened.assert_not_called()

    def test_transparent_color_lowers_the_pixel_limit(self) -> None:
        for bits, color_type, key in ((8, 2, 6), (16, 2, 6), (16, 0, 2)):
            clear = chunk(b"tRNS", b"\0" * key)
            content = png((3001, 2000), b"", bits=bits, color_type=color_type, more=clear)
            with mock.patch("PIL.Image.Image.load") as load:
                self.assertIn("limited to 6 megapixels", sentence(content))
            load.assert_not_called()
            late = png((60, 90), b"\0" * 40_000, bits=bits, color_type=color_type, end=clear)
            self.assertEqual(cleaned(late).mode, "RGB")

    def test_parts_of_a_file_are_limited(self) -> None:
        jpeg = picture("JPEG")
        # Behind the first segment or chunk.
        start, png_start = 20, 33
        with mock.patch.object(image_files, "MAX_PARTS", 20):
            for between in (b"\xff\xfe\0\x02", b"\xff\xe1\0\x02", b"\xff\xdb\0\x02"):
                with self.subTest(between=between), mock.patch("PIL.Image.open") as opened:
                    self.assertIn("too many parts", sentence(jpeg[:start] + between * 20 + jpeg[start:]))
                    opened.assert_not_called()
            # Pillow, which would read these one by one, is not given them.
            for between in (b"\xff\xff", b"\xff\xd0", b"\0\0"):
                with mock.patch("PIL.Image.open", wraps=Image.open) as opened:
                    self.assertIsNotNone(cleaned(jpeg[:start] + between * 20 + jpeg[start:]))
                self.assertEqual(opened.call_args_list[0].args[0].getvalue(), jpeg)
            webp = picture("WEBP", exif=exif([]))
            self.assertIsNotNone(cleaned(webp_with(webp, *[(b"none", b"")] * 5)))
            self.assertIn("too many parts", sentence(webp_with(webp, *[(b"none", b"")] * 20)))
            content = picture()
            for number, refused in ((5, False), (20, True)):
                stuffed = content[:png_start] + chunk(b"prVt") * number + content[png_start:]
                with self.subTest(number=number):
                    if refused:
                        self.assertIn("too many parts", sentence(stuffed))
                    else:
                        self.assertIsNotNone(cleaned(stuffed))
            # What follows the image is not read.
            self.assertIsNotNone(cleaned(content + b"\0" * 1000))
            self.assertIsNotNone(cleaned(jpeg + b"\xff\xda\0\x02" * 1000))

    def test_jpeg_without_a_scan_is_refused_unopened(self) -> None:
        for content in (b"\xff\xd8" + b"\xff" * 1000, b"\xff\xd8\xff\xd9" + picture("JPEG")[2:]):
            with mock.patch("PIL.Image.open") as opened:
                self.assertIn("as a JPEG, PNG or WebP", sentence(content))
            opened.assert_not_called()

    def test_name_must_fit_the_content(self) -> None:
        contents = {kind: picture(kind) for kind in ("JPEG", "PNG", "WEBP")}
        fitting = {"JPEG": (".jpg", ".JPG", ".jpeg"), "PNG": (".png", ".Png"), "WEBP": (".webp",)}
        ends = {end for fits in fitting.values() for end in fits} | {".svg", ".html", ".php", ".gif", ".", ""}
        for kind, content in contents.items():
            for end in ends:
                with self.subTest(kind=kind, end=end):
                    if end in fitting[kind]:
                        self.assertIsNotNone(clean_cover(ContentFile(content, f"photo{end}")))
                    else:
                        self.assertIn("end in .jpg, .jpeg, .png or .webp", sentence(content, f"photo{end}"))
        for name in ("", ".png", "photo.png.html"):
            self.assertIn("end in .jpg", sentence(contents["PNG"], name))

    def test_other_file_types_are_refused(self) -> None:
        svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
        jpeg = picture("JPEG", (300, 300))
        for content in (picture("GIF"), picture("BMP"), picture("TIFF"), svg, b"text", jpeg[:600], b"\0"):
            with self.subTest(content=content[:8]):
                self.assertIn("as a JPEG, PNG or WebP", sentence(content))

    def test_damaged_file_is_refused(self) -> None:
        # Damaged EXIF data has caused TypeError and struct.error.
        for error in (TypeError, struct.error, KeyError, EOFError):
            with mock.patch("PIL.ImageOps.exif_transpose", side_effect=error("damaged")):
                self.assertIn("as a JPEG, PNG or WebP", sentence(picture()))
        for kind in ("JPEG", "PNG", "WEBP"):
            for length in (0, 1, 11, 20, 29, 60):
                self.assertIn("as a JPEG, PNG or WebP", sentence(picture(kind)[:length], f"x.{kind.lower()}"))


class CostTest(TestCase):
    """What one cover may take, measured in a process of its own, since a peak is never forgotten."""

    SCRIPT = """
import resource, sys, time
from django.conf import settings
settings.configure(USE_I18N=False)
from django.core.files.base import ContentFile
from books.covers import clean_cover
content = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
clean_cover(ContentFile(content, sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
print((used.ru_maxrss - before) // 1024, used.ru_utime + used.ru_stime)
"""

    def cost(self, content: bytes, name: str) -> tuple[float, float]:
        """Return the MB and the seconds of a processor that it takes to clean `content`."""
        command = [sys.executable, "-c", self.SCRIPT, name]
        done = subprocess.run(  # noqa: S603  # the command is our own
            command, input=content, capture_output=True, check=True, cwd=settings.BASE_DIR
        )
        memory, seconds = done.stdout.split()
        return float(memory), float(seconds)

    def test_largest_covers_take_limited_memory_and_time(self) -> None:
        largest = {
            "lossless.webp": picture("WEBP", (3000, 2000), "RGBA", lossless=True, method=0),
            "alpha.png": picture("PNG", (4160, 3120), "RGBA", compress_level=1),
            "cmyk.jpg": picture("JPEG", (4160, 3120), "CMYK", progressive=True),
            "scans.jpg": jpeg_with_scans(32, (4160, 3120)),
            "key.png": picture("PNG", (3000, 2000), transparency=RED),
            "grey-key.png": png(
                (3000, 2000), b"\0" * 6001 * 2000, bits=16, color_type=0, more=chunk(b"tRNS", b"\0\0")
            ),
            "palette.png": picture("PNG", (4160, 3120), "P", transparency=0),
        }
        for name, content in largest.items():
            with self.subTest(name):
                memory, seconds = self.cost(content, name)
                self.assertLess(memory, 150)
                self.assertLess(seconds, 5)

    def test_metadata_cost_nothing(self) -> None:
        jpeg, many = picture("JPEG"), orientation_of_many_values()
        pieces = [
            segment(0xE1, b"Exif\0\0" + many[start : start + 65_000]) for start in range(0, len(many), 65_000)
        ]
        profile = chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(1_000_000), 9)) * 4_000
        plain = picture()
        stuffed = {
            "many.jpg": jpeg[:2] + segment(0xE1, b"Exif\0\0" + b"x" * 500) * 9_900 + jpeg[2:],
            "values.jpg": jpeg[:2] + b"".join(pieces) + jpeg[2:],
            "values.png": plain[:33] + chunk(b"eXIf", many) + plain[33:],
            "values.webp": webp_with(picture("WEBP", icc_profile=b"x"), (b"EXIF", many)),
            "profiles.png": plain[:33] + profile + plain[33:],
        }
        for name, content in stuffed.items():
            with self.subTest(name):
                memory, seconds = self.cost(content, name)
                self.assertLess(memory, 40)
                self.assertLess(seconds, 2)


class CoverCase(CastTestCase):
    book: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.book = add_book(name="Emma")

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.enterContext(override_settings(MEDIA_ROOT=place.name))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.place.rglob("*.*"))

    def send(self, image: Any, version: str = "v3", name: str = "cover.png") -> Any:
        body = {"image": upload(image, name) if isinstance(image, bytes) else image}
        return self.api(self.carol).patch(f"/api/{version}/books/{self.book.pk}/", body, format="multipart")


class CoverApiTest(CoverCase):
    def test_upload_is_stored_in_every_version(self) -> None:
        for version in ("v1", "v2", "v3"):
            answer = self.send(picture("JPEG"), version, name="../../my holiday.jpg")
            self.assertEqual(answer.status_code, 200, answer.content)
            image = self.api().get(f"/api/{version}/books/{self.book.pk}/").json()["image"]
            self.assertRegex(image, r"\Ahttp://localhost:8000/media/covers/[0-9a-f]{32}\.webp\Z")

    def test_new_book_is_created_with_its_cover(self) -> None:
        body = {"name": "Persuasion", "image": upload()}
        answer = self.api(self.carol).post("/api/v3/books/", body, format="multipart")
        self.assertEqual(answer.status_code, 201, answer.content)
        self.assertEqual(Path(answer.json()["image"]).name, self.files()[0])

    def test_cover_url_serves_the_picture(self) -> None:
        image = self.send(picture()).json()["image"].removeprefix("http://localhost:8000")
        answer = self.client.get(image)
        self.assertEqual((answer.status_code, answer["Content-Type"]), (200, "image/webp"))
        self.assertEqual(Image.open(BytesIO(b"".join(answer.streaming_content))).format, "WEBP")

    def test_invalid_cover_is_an_image_error(self) -> None:
        for content in (picture("GIF"), b"<svg/>", png_declaring_size(5000, 5000), picture(size=(1, 1)), b""):
            answer = self.send(content)
            self.assertEqual((answer.status_code, list(answer.json())), (400, ["image"]))
        for version in ("v1", "v2", "v3"):
            for name in ("cover.jpg", "cover.svg", "cover.html", "cover"):
                answer = self.send(picture(), version, name)
                self.assertEqual((answer.status_code, list(answer.json())), (400, ["image"]))
        for text in ("cover.png", "data:image/png;base64,AAAA"):
            self.assertEqual(list(self.send(text).json()), ["image"])
        answer = self.api(self.carol).patch(f"/api/v3/books/{self.book.pk}/", {"image": "cover.png"})
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["image"]))
        self.assertEqual(self.files(), [])

    def test_busy_decoder_is_429_in_every_version(self) -> None:
        with mock.patch.object(covers, "_places", threading.BoundedSemaphore(1)) as places:
            places.acquire()
            for version in ("v1", "v2", "v3"):
                with self.subTest(version=version), self.assertLogs("security", "INFO"):
                    answer = self.send(picture(), version)
                    self.assertEqual((answer.status_code, answer["Retry-After"]), (429, "1"))
                    self.assertEqual(answer.json()["code"], "throttled")
                    self.assertIn("The shop is busy at the moment.", answer.json()["detail"])
            places.release()
            self.assertEqual(self.files(), [])
            self.assertEqual(self.send(picture()).status_code, 200)

    def test_busy_decoder_does_not_use_up_an_idempotency_key(self) -> None:
        body = {"name": "Persuasion"}
        sent = {"format": "multipart", "headers": {"Idempotency-Key": "one"}}
        with mock.patch.object(covers, "_places", threading.BoundedSemaphore(1)) as places:
            places.acquire()
            answer = self.api(self.carol).post("/api/v3/books/", {**body, "image": upload()}, **sent)
            self.assertEqual(answer.status_code, 429)
            self.assertFalse(Book.objects.filter(**body).exists())
            places.release()
            answer = self.api(self.carol).post("/api/v3/books/", {**body, "image": upload()}, **sent)
        self.assertEqual(answer.status_code, 201)


class DecodingTest(TestCase):
    def setUp(self) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.addCleanup(self.go_on.set)
        self.decode = covers._decode
        self.enterContext(mock.patch.object(covers, "_decode", self.slowly))
        self.at_work = self.most = 0
        self.done: list[Any] = []

    def slowly(self, *given: Any) -> bytes:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        self.begun.release()
        self.go_on.wait(timeout=10)
        self.at_work -= 1
        return self.decode(*given)

    def clean(self) -> None:
        self.done.append(clean_cover(upload()))

    def test_one_is_decoded_one_waits_and_others_are_busy(self) -> None:
        taken = threading.Semaphore(0)

        class Places(threading.BoundedSemaphore):
            def acquire(self, *given: Any, **options: Any) -> bool:
                has_place = super().acquire(*given, **options)
                taken.release()
                return has_place

        self.enterContext(mock.patch.object(covers, "_places", Places(1 + covers.MAX_WAITING)))
        threads = [threading.Thread(target=self.clean) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in threads:
            self.assertTrue(taken.acquire(timeout=10))
        self.assertTrue(self.begun.acquire(timeout=10))
        with self.assertRaises(Busy) as told:
            clean_cover(upload())
        self.assertEqual(told.exception.seconds, covers.RETRY_AFTER)
        self.go_on.set()
        for thread in threads:
            thread.join(timeout=10)
        self.assertEqual((len(self.done), self.most), (2, 1))

    def test_a_refused_cover_gives_its_place_back(self) -> None:
        self.go_on.set()
        for _ in range(5):
            self.assertIn("as a JPEG, PNG or WebP", sentence(picture()[:60]))
        self.clean()

    def test_worker_has_spare_threads(self) -> None:
        self.assertGreaterEqual(gunicorn_conf.threads, 1 + covers.MAX_WAITING + 2)


class CoverFileTest(CoverCase):
    def test_replaced_cover_is_deleted_on_commit(self) -> None:
        self.send(picture())
        [first] = self.files()
        with self.captureOnCommitCallbacks() as waiting:
            self.send(picture("JPEG"), name="cover.jpg")
        self.assertIn(first, self.files())
        for callback in waiting:
            callback()
        self.assertEqual(len(self.files()), 1)
        self.assertNotIn(first, self.files())

    def test_failed_file_deletion_keeps_the_change(self) -> None:
        self.send(picture())
        storage = self.book.cover.storage
        with (
            mock.patch.object(storage, "delete", side_effect=OSError("no bucket")),
            self.assertLogs("django.test", "ERROR"),
            self.captureOnCommitCallbacks(execute=True),
        ):
            answer = self.send(picture("JPEG"), name="cover.jpg")
        self.assertEqual((answer.status_code, len(self.files())), (200, 2))

    def test_null_removes_the_cover(self) -> None:
        self.send(picture())
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.api(self.carol).patch(f"/api/v1/books/{self.book.pk}/", {"image": None})
        self.assertEqual((answer.status_code, answer.json()["image"], self.files()), (200, None, []))

    def test_other_changes_keep_the_cover(self) -> None:
        self.send(picture())
        with self.captureOnCommitCallbacks(execute=True):
            change_book(book=self.book, name="Emma Woodhouse")
        self.assertEqual(len(self.files()), 1)

    def test_refused_change_keeps_the_cover(self) -> None:
        add_book(name="Persuasion", isbn=ISBN)
        self.book = change_book(book=self.book, cover=clean_cover(upload()))
        with self.assertRaises(IsbnTaken):
            change_book(book=self.book, isbn=ISBN)
        self.assertEqual(len(self.files()), 1)

    def test_refused_book_leaves_no_cover(self) -> None:
        add_book(name="Persuasion", isbn=ISBN)
        change_book(book=self.book, cover=clean_cover(upload()))
        [kept] = self.files()
        for refused in (IsbnTaken, IntegrityError):
            given = {"isbn": ISBN} if refused is IsbnTaken else {"kind": 9}
            for call in (
                lambda given=given: add_book(name="Susan", cover=clean_cover(upload()), **given),
                lambda given=given: change_book(book=self.book, cover=clean_cover(upload()), **given),
            ):
                with self.subTest(given=given), self.assertRaises(refused):
                    call()
                self.assertEqual(self.files(), [kept])
        with (
            mock.patch.object(Copy.objects, "bulk_create", side_effect=IntegrityError("barcode")),
            self.assertRaises(IntegrityError),
        ):
            add_book(name="Susan", cover=clean_cover(upload()))
        self.assertEqual(self.files(), [kept])

    def test_without_cleanup_the_cover_would_stay(self) -> None:
        add_book(name="Persuasion", isbn=ISBN)
        with mock.patch.object(stock, "_delete_cover_on_failure", nullcontext), self.assertRaises(IsbnTaken):
            add_book(name="Susan", isbn=ISBN, cover=clean_cover(upload()))
        self.assertEqual(len(self.files()), 1)

    def test_failed_cleanup_keeps_the_refusal(self) -> None:
        add_book(name="Persuasion", isbn=ISBN)
        with (
            mock.patch.object(self.book.cover.storage, "delete", side_effect=OSError("no bucket")),
            self.assertLogs("books.stock", "ERROR"),
            self.assertRaises(IsbnTaken),
        ):
            add_book(name="Susan", isbn=ISBN, cover=clean_cover(upload()))

    def test_cover_is_deleted_with_its_book(self) -> None:
        self.send(picture())
        with self.captureOnCommitCallbacks(execute=True):
            self.api(self.carol).delete(f"/api/v3/books/{self.book.pk}/")
        self.assertEqual(self.files(), [])


class RaceTest(RaceTestCase):
    def test_losing_book_leaves_no_cover(self) -> None:
        """Both requests pass validation of the ISBN before either writes."""
        place = self.enterContext(tempfile.TemporaryDirectory())
        line = threading.Barrier(2)

        def send() -> Any:
            body = {"name": "Emma", "isbn": ISBN, "image": upload()}
            return self.api(self.carol).post("/api/v3/books/", body, format="multipart")

        def meet(*_: Any) -> None:
            line.wait(timeout=10)

        with (
            override_settings(MEDIA_ROOT=place),
            mock.patch("rest_framework.validators.UniqueValidator.__call__", meet),
        ):
            answers = self.run_concurrently(send, send)
        self.assertEqual(sorted(answer.status_code for answer in answers), [201, 409])
        [kept] = Path(place).rglob("*.webp")
        self.assertEqual(Book.objects.get().cover.name, f"covers/{kept.name}")

"""Tests of covers: accepted files, re-encoding, and deletion of files."""

from __future__ import annotations

import struct
import tempfile
import threading
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import TestCase, mock

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import IntegrityError
from django.test import override_settings
from PIL import Image

from books import covers, stock
from books.covers import clean_cover
from books.errors import IsbnTaken
from books.models import Book, Copy
from books.stock import add_book, change_book
from books.tests.pictures import BLUE, RED, picture, png_declaring_size, upload
from lori_assignment.testing.cases import CastTestCase, RaceTestCase

ISBN = "9780141439587"
GPS = 0x8825
ORIENTATION = 0x0112


def cleaned(content: bytes) -> Image.Image:
    return Image.open(BytesIO(clean_cover(ContentFile(content)).read()))


def sentence(content: bytes) -> str:
    """Return the message of the ValidationError for `content`; fails if it is accepted."""
    try:
        clean_cover(ContentFile(content))
    except ValidationError as error:
        return str(error.messages[0])
    raise AssertionError("The file was accepted.")


class CleanCoverTest(TestCase):
    def test_each_accepted_format_becomes_webp(self) -> None:
        for kind in ("JPEG", "PNG", "WEBP"):
            kept = cleaned(picture(kind))
            self.assertEqual((kept.format, kept.size), ("WEBP", (40, 60)))

    def test_metadata_is_removed(self) -> None:
        exif = Image.Exif()
        exif.get_ifd(GPS)[2] = (52.0, 22.0, 12.0)
        exif[0x010E] = "at home"
        content = picture("JPEG", exif=exif, icc_profile=b"<script>alert(1)</script>", comment=b"at home")
        self.assertTrue(Image.open(BytesIO(content)).getexif().get_ifd(GPS))
        kept = clean_cover(ContentFile(content)).read()
        self.assertEqual(len(Image.open(BytesIO(kept)).getexif()), 0)
        for secret in (b"at home", b"<script>", b"EXIF", b"ICCP"):
            self.assertNotIn(secret, kept)

    def test_orientation_is_applied(self) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        self.assertEqual(cleaned(picture("JPEG", (60, 40), exif=exif)).size, (40, 60))
        self.assertEqual(cleaned(picture("JPEG", (60, 40))).size, (60, 40))

    def test_large_picture_is_scaled_down(self) -> None:
        self.assertEqual(cleaned(picture("PNG", (2000, 3200))).size, (1000, 1600))
        self.assertEqual(cleaned(picture("PNG", (1600, 1600))).size, (1600, 1600))

    def test_first_frame_of_an_animation_is_used(self) -> None:
        frames = [Image.new("RGB", (20, 20), color) for color in (RED, BLUE)]
        for kind in ("WEBP", "PNG"):
            animation = BytesIO()
            frames[0].save(animation, kind, save_all=True, append_images=frames[1:], duration=100)
            kept = cleaned(animation.getvalue())
            red, _, blue = kept.convert("RGB").getpixel((10, 10))
            self.assertEqual((getattr(kept, "n_frames", 1), red > blue), (1, True))

    def test_transparency_is_kept(self) -> None:
        glass = BytesIO()
        Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(glass, "PNG")
        palette = BytesIO()
        Image.new("P", (20, 20), 0).save(palette, "PNG", transparency=0)
        for content in (glass.getvalue(), palette.getvalue()):
            self.assertEqual(cleaned(content).convert("RGBA").getpixel((5, 5))[3], 0)
        self.assertEqual(cleaned(picture("PNG")).mode, "RGB")

    def test_other_colour_modes_become_rgb(self) -> None:
        for kind, mode in (("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "1"), ("PNG", "P"), ("PNG", "LA")):
            with self.subTest(mode=mode):
                self.assertIn(cleaned(picture(kind, mode=mode)).mode, ("RGB", "RGBA"))

    def test_file_size_is_limited(self) -> None:
        content = picture()
        with mock.patch.object(covers, "MAX_BYTES", len(content)):
            self.assertIsNotNone(cleaned(content))
            self.assertEqual(sentence(content + b"\0"), "Covers are limited to 5 MB.")

    def test_limits_are_as_documented(self) -> None:
        promised = (("JPEG", "PNG", "WEBP"), 5 * 1024 * 1024, 20_000_000)
        self.assertEqual((covers.FORMATS, covers.MAX_BYTES, covers.MAX_PIXELS), promised)

    def test_without_the_limit_large_image_is_decoded(self) -> None:
        with (
            mock.patch.object(covers, "MAX_PIXELS", 10**9),
            mock.patch("PIL.ImageOps.exif_transpose", side_effect=EOFError) as decode,
        ):
            self.assertIn("as a JPEG, PNG or WebP", sentence(png_declaring_size(5000, 5000)))
        decode.assert_called_once()

    def test_pixel_limit_applies_before_decoding(self) -> None:
        # 25 megapixels, and 400, which Pillow itself refuses.
        for size in ((5000, 5000), (20_000, 20_000)):
            with mock.patch("PIL.ImageOps.exif_transpose") as decode:
                self.assertEqual(sentence(png_declaring_size(*size)), "Covers are limited to 20 megapixels.")
            decode.assert_not_called()

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
            answer = self.send(picture("JPEG"), version, name="../../my holiday.php")
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
        for content in (picture("GIF"), b"<svg/>", png_declaring_size(5000, 5000), b""):
            answer = self.send(content)
            self.assertEqual((answer.status_code, list(answer.json())), (400, ["image"]))
        for text in ("cover.png", "data:image/png;base64,AAAA"):
            self.assertEqual(list(self.send(text).json()), ["image"])
        answer = self.api(self.carol).patch(f"/api/v3/books/{self.book.pk}/", {"image": "cover.png"})
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["image"]))
        self.assertEqual(self.files(), [])


class CoverFileTest(CoverCase):
    def test_replaced_cover_is_deleted_on_commit(self) -> None:
        self.send(picture())
        [first] = self.files()
        with self.captureOnCommitCallbacks() as waiting:
            self.send(picture("JPEG"))
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
            answer = self.send(picture("JPEG"))
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

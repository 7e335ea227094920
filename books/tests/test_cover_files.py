"""Tests of the view that serves covers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import SimpleTestCase, override_settings
from PIL import Image

from books import cover_files
from books.covers import clean_cover
from lori_assignment.testing.cases import CastTestCase

NAME = f"covers/{'0a' * 16}.webp"
PICTURE = b"RIFF" + b"a picture that would become smaller by far" * 100


class CoverTestCase(CastTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        elsewhere = override_settings(MEDIA_ROOT=self.folder)
        elsewhere.enable()
        self.addCleanup(elsewhere.disable)
        default_storage.save(NAME, ContentFile(PICTURE))


class CoverTest(CoverTestCase):
    def test_cover_is_served_with_safe_headers(self) -> None:
        answer = self.client.get(f"/media/{NAME}", headers={"accept-encoding": "gzip"})
        self.assertEqual((answer.status_code, answer.getvalue()), (200, PICTURE))
        self.assertTrue(answer.streaming)
        for header, value in {
            "Content-Type": "image/webp",
            "Content-Length": str(len(PICTURE)),
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
            "ETag": f'"{"0a" * 16}"',
        }.items():
            self.assertEqual(answer[header], value)
        self.assertNotIn("Content-Encoding", answer)

    def test_cover_is_independent_of_the_user(self) -> None:
        self.client.force_login(self.alice)
        answer = self.client.get(f"/media/{NAME}")
        self.assertFalse(answer.cookies)
        self.assertNotIn("Cookie", answer.get("Vary", ""))
        self.assertEqual(answer.getvalue(), PICTURE)

    def test_matching_etag_is_304_without_reading(self) -> None:
        etag = self.client.get(f"/media/{NAME}")["ETag"]
        with mock.patch.object(cover_files.default_storage, "open", side_effect=AssertionError("opened")):
            answer = self.client.get(f"/media/{NAME}", headers={"if-none-match": etag})
        self.assertEqual((answer.status_code, answer.content), (304, b""))
        self.assertEqual((answer["ETag"], answer["Cache-Control"]), (etag, cover_files.FOR_EVER))
        other = self.client.get(f"/media/{NAME}", headers={"if-none-match": '"other"'})
        self.assertEqual((other.status_code, other.getvalue()), (200, PICTURE))

    def test_other_paths_are_404(self) -> None:
        (self.folder / "secret.webp").write_bytes(b"x")
        (self.folder / "covers" / "index.html").write_bytes(b"<script>")
        (self.folder / "covers" / ("0b" * 16)).write_bytes(b"x")
        for path in (
            *(NAME.replace("0a", "0c"), NAME.upper(), f"{NAME}/", f"{NAME}\n", f"{NAME}.html", f"x/{NAME}"),
            *("covers", "covers/", "", "covers/index.html", f"covers/{'0b' * 16}", "secret.webp"),
            *(
                "covers/../secret.webp",
                "covers/%2e%2e/secret.webp",
                "..%2f..%2fetc/passwd",
                "covers/..\\secret.webp",
            ),
        ):
            with self.subTest(path=path):
                answer = self.client.get(f"/media/{path.replace(chr(10), '%0A')}")
                self.assertEqual(answer.status_code, 404)
                self.assertNotIn("immutable", answer.get("Cache-Control", ""))

    def test_only_get_and_head_are_allowed(self) -> None:
        for method in ("post", "put", "delete"):
            self.assertEqual(getattr(self.client, method)(f"/media/{NAME}").status_code, 405)
        head = self.client.head(f"/media/{NAME}")
        self.assertEqual((head.status_code, head["Content-Length"]), (200, str(len(PICTURE))))
        # Close the response without ending the request, which would close the test's database connection.
        for close in head._resource_closers:
            close()

    def test_storage_failure_is_503(self) -> None:
        with (
            mock.patch.object(cover_files.default_storage, "open", side_effect=OSError("no bucket")),
            self.assertLogs("books.cover_files", "ERROR"),
        ):
            answer = self.client.get(f"/media/{NAME}")
        self.assertEqual((answer.status_code, answer["Cache-Control"]), (503, "no-store"))


class CoverNameTest(SimpleTestCase):
    def test_generated_names_are_valid_and_unique(self) -> None:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            Image.new("RGB", (60, 90)).save(file, "PNG")
            names = {clean_cover(ContentFile(Path(file.name).read_bytes(), "x.png")).name for _ in range(3)}
        self.assertEqual(len(names), 3)
        for name in names:
            self.assertRegex(f"covers/{name}", rf"\A{cover_files.COVER}\Z")

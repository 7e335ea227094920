"""ETags: unchanged objects are not sent again, and changed objects are not overwritten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

from django.utils import timezone

from books import stock
from books.api import views as book_views
from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase, RaceTestCase
from rentals.models import Rental
from rentals.services import rent_book
from rentals.tests.test_races import has_row_locks

STALE = '"0123456789abcdef0123456789abcdef"'


class TagCase(CastTestCase):
    def setUp(self) -> None:
        self.book = add_book(name="Emma", author="Jane Austen", kind=3, copies=2, description="x" * 500)
        now = timezone.now()
        self.rental = rent_book(member=self.alice, book=self.book, at=now, now=now)
        self.desk = self.api(self.carol)

    def ones(self) -> list[str]:
        """Return the paths of one book, rental and account, in every version, with and without a slash."""
        paths = [f"books/{self.book.pk}", f"book_rentals/{self.rental.ref}", f"accounts/{self.alice.pk}"]
        spelled = [f"{path}{end}" for path in paths for end in ("", "/")]
        return [f"/api/{version}/{path}" for version in ("v1", "v2", "v3") for path in spelled]

    def tag(self, path: str) -> str:
        return self.desk.get(path).headers["ETag"]


class ConditionalReadTest(TagCase):
    def test_objects_have_a_strong_etag(self) -> None:
        for path in self.ones():
            with self.subTest(path=path):
                tag = self.tag(path)
                self.assertRegex(tag, r'\A"[0-9a-f]{32}"\Z')
                answer = self.desk.get(path, headers={"If-None-Match": tag})
                self.assertEqual((answer.status_code, answer.content), (304, b""))
                self.assertEqual(answer.headers["ETag"], tag)
                self.assertNotIn("Content-Type", answer.headers)
                self.assertEqual(self.desk.get(path, headers={"If-None-Match": STALE}).status_code, 200)
                self.assertEqual(self.desk.head(path, headers={"If-None-Match": tag}).status_code, 304)

    def test_catalogue_pages_have_a_weak_etag(self) -> None:
        gzip = {"Accept-Encoding": "gzip"}
        for version in ("v1", "v2", "v3"):
            path = f"/api/{version}/books/?search=emma"
            for caller in (self.desk, self.api(None)):
                answer = caller.get(path, headers=gzip)
                tag = answer.headers["ETag"]
                self.assertRegex(tag, r'\AW/"[0-9a-f]{32}"\Z')
                for named in (tag, tag[2:], "*", f"{STALE}, {tag}"):
                    again = caller.get(path, headers={**gzip, "If-None-Match": named})
                    self.assertEqual((again.status_code, again.content), (304, b""))
                    self.assertEqual(again.headers["ETag"], tag)
                    for name in ("Cache-Control", "Vary"):
                        self.assertEqual(again.headers[name], answer.headers[name])
                self.assertEqual(caller.get(path, headers={"If-None-Match": STALE}).status_code, 200)
                # A weak ETag never matches If-Match.
                self.assertEqual(caller.get(path, headers={"If-Match": tag}).status_code, 412)
            stock.change_book(book=self.book, author=version)
            self.assertEqual(self.desk.get(path, headers={"If-None-Match": tag}).status_code, 200)

    def test_personal_list_has_no_etag(self) -> None:
        self.assertNotIn("ETag", self.desk.get("/api/v3/book_rentals/").headers)

    def test_if_none_match_follows_the_rfc(self) -> None:
        path = f"/api/v3/books/{self.book.pk}"
        tag = self.tag(path)
        for header, status in (
            ("*", 304),
            (f"W/{tag}", 304),
            (f"{STALE}, {tag}", 304),
            (f'{STALE},W/{tag} , "z"', 304),
            (tag.strip('"'), 200),
            (f'"W/{tag[1:]}', 200),
            ("", 200),
        ):
            with self.subTest(if_none_match=header):
                self.assertEqual(self.desk.get(path, headers={"If-None-Match": header}).status_code, status)
        for header, status in (
            ("*", 200),
            (tag, 200),
            (f"{STALE}, {tag}", 200),
            (STALE, 412),
            (f"W/{tag}", 412),
            (tag.strip('"'), 412),
            ("", 412),
        ):
            with self.subTest(if_match=header):
                self.assertEqual(self.desk.get(path, headers={"If-Match": header}).status_code, status)

    def test_change_makes_a_new_etag(self) -> None:
        path = f"/api/v1/books/{self.book.pk}"
        before = self.tag(path)
        changed = self.desk.patch(path, {"author": "J. Austen"})
        self.assertNotEqual(changed.headers["ETag"], before)
        self.assertEqual(changed.headers["ETag"], self.tag(path))

    def test_running_cost_changes_the_etag(self) -> None:
        path = f"/api/v3/book_rentals/{self.rental.ref}"
        tag = self.tag(path)
        # A novel costs 4.50 for the first three days.
        tomorrow = timezone.now() + timedelta(days=3, minutes=1)
        with mock.patch("lori_assignment.clock.now", return_value=tomorrow):
            answer = self.desk.get(path, headers={"If-None-Match": tag})
        self.assertEqual((answer.status_code, answer.json()["running_cost"]), (200, "6.00"))

    def test_etag_stays_strong_for_gzip_clients(self) -> None:
        path, gzip = f"/api/v3/books/{self.book.pk}", {"Accept-Encoding": "gzip"}
        answer = self.desk.get(path, headers=gzip)
        self.assertGreater(len(answer.content), 500)
        self.assertNotIn("Content-Encoding", answer.headers)
        changed = self.desk.patch(path, {"name": "E"}, headers={**gzip, "If-Match": answer.headers["ETag"]})
        self.assertEqual(changed.status_code, 200)
        # Everything else is compressed as usual.
        self.assertEqual(self.desk.get("/api/v3/books/", headers=gzip).headers["Content-Encoding"], "gzip")

    def test_hidden_object_is_404_under_any_condition(self) -> None:
        path = f"/api/v3/book_rentals/{self.rental.ref}"
        for name in ("If-None-Match", "If-Match"):
            for tag in ("*", self.tag(path), STALE):
                answer = self.api(self.bob).get(path, headers={name: tag})
                self.assertEqual(answer.status_code, 404)


class ConditionalWriteTest(TagCase):
    def changes(self) -> list[tuple[str, Callable[[dict[str, str]], Any]]]:
        """Return each call that changes an object, with the path whose ETag it is compared with."""
        desk, book, rental = self.desk, self.book.pk, self.rental.ref
        unused = add_book(name="Sanditon").pk
        found: list[tuple[str, Callable[[dict[str, str]], Any]]] = []
        for version in ("v1", "v2", "v3"):
            base = f"/api/{version}"
            of_book, of_rental = f"{base}/books/{book}", f"{base}/book_rentals/{rental}"
            account, free = f"{base}/accounts/{self.alice.pk}", f"{base}/books/{unused}"
            found += [
                (of_book, lambda h, p=of_book: desk.patch(p, {"author": "A"}, headers=h)),
                (of_book, lambda h, p=of_book: desk.put(f"{p}/update", {"name": "B"}, headers=h)),
                (account, lambda h, p=account: desk.patch(p, {"phone": "1"}, headers=h)),
                (account, lambda h, p=account: desk.put(f"{p}/update", {"name": "C"}, headers=h)),
                (free, lambda h, p=free: desk.delete(p, headers=h)),
                (free, lambda h, p=free: desk.delete(f"{p}/delete", headers=h)),
                (of_rental, lambda h, p=of_rental: desk.patch(p, {"status": 1}, headers=h)),
                (of_rental, lambda h, p=of_rental: desk.put(f"{p}/update", {"status": 1}, headers=h)),
                (of_rental, lambda h, p=of_rental: desk.delete(p, headers=h)),
            ]
        of_rental = f"/api/v3/book_rentals/{rental}"
        found += [
            (of_rental, lambda h, p=of_rental: desk.post(f"{p}/renew", headers=h)),
            (of_rental, lambda h, p=of_rental: desk.post(f"{p}/return", headers=h)),
        ]
        return found

    def everything(self) -> list[Any]:
        return [list(model.objects.order_by("pk").values()) for model in (Book, Rental, type(self.alice))]

    def test_stale_etag_is_412(self) -> None:
        changes = self.changes()
        before = self.everything()
        for number, (path, change) in enumerate(changes):
            for headers in ({"If-Match": STALE}, {"If-Match": "garbage"}, {"If-None-Match": "*"}):
                with self.subTest(path=path, number=number, headers=headers):
                    answer = change(headers)
                    found = (answer.status_code, answer.json()["code"])
                    self.assertEqual(found, (412, "precondition_failed"))
        self.assertEqual(self.everything(), before)

    def test_current_etag_allows_the_change(self) -> None:
        count = len(self.changes())
        for number in range(count):
            with self.subTest(number=number):
                self.begin_anew()
                path, change = self.changes()[number]
                answer = change({"If-Match": f"{STALE}, {self.tag(path)}"})
                self.assertLess(answer.status_code, 300, answer.content)

    def begin_anew(self) -> None:
        Rental.objects.filter(returned_at=None).delete()
        self.setUp()

    def test_condition_does_not_hide_404_or_403(self) -> None:
        for headers in ({"If-Match": STALE}, {"If-Match": "*"}):
            self.assertEqual(self.desk.patch("/api/v3/books/999", {}, headers=headers).status_code, 404)
            path = f"/api/v3/books/{self.book.pk}"
            self.assertEqual(self.api(self.alice).patch(path, {}, headers=headers).status_code, 403)

    def test_lost_update_is_refused(self) -> None:
        path = f"/api/v3/books/{self.book.pk}"
        tag = self.tag(path)
        first = self.desk.patch(path, {"author": "J. Austen"}, headers={"If-Match": tag})
        late = self.api(self.dan).put(path, {"name": "Emma!"}, headers={"If-Match": tag})
        self.assertEqual((first.status_code, late.status_code), (200, 412))
        again = self.api(self.dan).put(path, {"name": "Emma!"}, headers={"If-Match": self.tag(path)})
        self.assertEqual((again.status_code, again.json()["author"]), (200, "J. Austen"))


class ConditionRaceTest(RaceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.book = add_book(name="Emma", author="Austen", kind=3)
        self.path = f"/api/v3/books/{self.book.pk}"
        self.tag = self.api(self.carol).get(self.path).headers["ETag"]

    def change(self, headers: dict[str, str] | None = None, **fields: Any) -> Callable[[], int]:
        def call() -> int:
            return self.api(self.carol).patch(self.path, fields, headers=headers or {}).status_code

        return call

    def test_one_of_many_concurrent_writers_succeeds(self) -> None:
        seen = {"If-Match": self.tag}
        statuses = self.run_concurrently(*[self.change(seen, name=f"Emma {number}") for number in range(8)])
        self.assertEqual(sorted(statuses), [200, *[412] * 7])

    @has_row_locks
    def test_without_the_lock_updates_are_lost(self) -> None:
        line = threading.Barrier(4)
        change_book = stock.change_book

        def meet_and_change(**facts: Any) -> Any:
            # By now all have compared their ETags.
            line.wait(timeout=10)
            return change_book(**facts)

        seen = {"If-Match": self.tag}
        unlocked = mock.patch.object(book_views, "lock", lambda book: Book.objects.get(pk=book.pk))
        with unlocked, mock.patch.object(stock, "change_book", meet_and_change):
            statuses = self.run_concurrently(
                *[self.change(seen, name=f"Emma {number}") for number in range(4)]
            )
        self.assertEqual(statuses, [200] * 4)

    def test_unconditional_changes_of_fields_merge(self) -> None:
        for _ in range(5):
            Book.objects.update(name="Emma", author="Austen")
            statuses = self.run_concurrently(self.change(name="Emma!"), self.change(author="J. Austen"))
            self.assertEqual(statuses, [200, 200])
            self.book.refresh_from_db()
            self.assertEqual((self.book.name, self.book.author), ("Emma!", "J. Austen"))

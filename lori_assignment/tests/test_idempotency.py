"""A call with an Idempotency-Key is executed once, however often it is sent."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test.client import encode_multipart
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient

from accounts import tokens
from accounts.erasure import erase_personal_data
from books.models import Book
from books.stock import add_book
from books.tests.pictures import picture
from lori_assignment import api_urls
from lori_assignment.errors import Refusal
from lori_assignment.models import IdempotencyRecord, IdempotencyRecordQuerySet
from lori_assignment.rest import idempotency
from lori_assignment.testing.cases import CastTestCase, RaceTestCase
from rentals import ledger
from rentals.api.views import RentalViewSet
from rentals.models import Hold, LedgerEntry, Rental
from rentals.services import rent_book, return_rental
from rentals.tests.test_races import has_row_locks

RENTALS = "/api/v3/book_rentals/"
REPLAYED = "Idempotency-Replayed"


class KeyCase(CastTestCase):
    def setUp(self) -> None:
        self.book = add_book(name="Emma", kind=3, copies=3)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = "one",
        client: APIClient | None = None,
        **how: Any,
    ) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        return (client or self.api(self.alice)).post(path, body, headers=headers, **how)

    def rent(self, *, key: str | None = "one", **how: Any) -> Any:
        return self.post(RENTALS, {"book": self.book.pk}, key=key, **how)


class ReplayTest(KeyCase):
    def test_repeated_call_replays_the_response(self) -> None:
        first, again = self.rent(), self.rent()
        self.assertEqual((first.status_code, first.headers.get(REPLAYED)), (201, None))
        self.assertEqual((again.status_code, again.headers.get(REPLAYED)), (201, "true"))
        self.assertEqual(again.content, first.content)
        self.assertEqual(again.headers["Content-Type"], first.headers["Content-Type"])
        self.assertEqual(Rental.objects.count(), 1)

    def test_call_without_a_key_is_not_replayed(self) -> None:
        self.assertEqual(self.rent(key=None).status_code, 201)
        self.assertEqual(self.rent(key=None).json()["code"], "already_rented")
        self.assertEqual(IdempotencyRecord.objects.count(), 0)

    def test_every_post_supports_the_key(self) -> None:
        """A new path in the table has to be added to this test."""
        now = timezone.now()
        rental = rent_book(member=self.bob, book=self.book, at=now, now=now)
        renewed = rent_book(member=self.dan, book=self.book, at=now, now=now)
        owing = rent_book(member=self.carol, book=self.book, at=now, now=now)
        return_rental(rental=owing, at=now, actor=self.carol, now=now)
        out, ours = add_book(name="Persuasion", kind=3), add_book(name="Lady Susan", kind=3)
        rent_book(member=self.bob, book=out, at=now, now=now)
        rates = [{"book_type": kind, "daily_rate": "1.00"} for kind in (1, 2, 3)]
        bodies: dict[str, Callable[[str], Any]] = {
            "books": lambda version: {"name": f"Sanditon {version}", "copies": 2},
            "book_rentals": lambda version: {"book": add_book(name=f"Volume {version}", kind=1).pk},
            "book_rentals/create": lambda version: {"book": add_book(name=f"Tome {version}", kind=1).pk},
            "book_rentals/<ref>/return": lambda version: {},
            "book_rentals/<ref>/renew": lambda version: None,
            "copies": lambda version: {"book": ours.pk},
            "holds": lambda version: {"book": out.pk},
            "payments": lambda version: {"user": self.carol.pk, "amount": "1.00", "method": "cash"},
            "price_lists": lambda version: {"name": "Other", "rates": rates},
        }
        refs = {"book_rentals/<ref>/return": rental.ref, "book_rentals/<ref>/renew": renewed.ref}
        tables = (Book, Rental, Hold, LedgerEntry)
        for version, routes in api_urls.VERSIONS.items():
            for written, _, methods in routes:
                if "post" not in methods:
                    continue
                path = f"/api/{version}/{written.replace('<ref>', str(refs.get(written)))}"
                with self.subTest(path=path):
                    body = bodies[written](version)
                    staff = self.api(self.carol)
                    first = self.post(path, body, key=path, client=staff)
                    self.assertLess(first.status_code, 300, first.content)
                    before = [table.objects.count() for table in tables]
                    again = self.post(path, body, key=path, client=staff)
                    self.assertEqual(
                        (again.status_code, again.content, again.headers[REPLAYED]),
                        (first.status_code, first.content, "true"),
                    )
                    self.assertEqual([table.objects.count() for table in tables], before)
        renewed.refresh_from_db()
        self.assertEqual(renewed.renewals, 1)

    def test_a_refreshed_token_is_the_same_caller(self) -> None:
        pair = tokens.issue_tokens(self.alice)
        answers = []
        for _ in range(2):
            client = APIClient(headers={"authorization": f"JWT {pair.access}"})
            answers.append(self.rent(client=client))
            pair = tokens.renew(pair.refresh)
        self.assertEqual([answer.status_code for answer in answers], [201, 201])
        self.assertEqual(answers[1].headers[REPLAYED], "true")

    def test_keys_are_separate_per_member(self) -> None:
        self.assertEqual(self.rent().status_code, 201)
        theirs = self.rent(client=self.api(self.bob))
        self.assertEqual((theirs.status_code, theirs.headers.get(REPLAYED)), (201, None))
        self.assertEqual(theirs.json()["user"], self.bob.pk)

    def test_lost_permission_prevents_replay(self) -> None:
        body = {"user": self.bob.pk, "book": self.book.pk}
        copies = {"book": self.book.pk}
        self.assertEqual(self.post("/api/v3/copies/", copies, client=self.api(self.carol)).status_code, 201)
        self.carol.is_staff = False
        self.assertEqual(self.post("/api/v3/copies/", copies, client=self.api(self.carol)).status_code, 403)
        self.assertEqual(self.post(RENTALS, body, client=APIClient()).status_code, 401)

    def test_response_headers_are_replayed(self) -> None:
        real = RentalViewSet._response

        def with_header(view: Any, *args: Any) -> Response:
            answer = real(view, *args)
            answer["Location"] = "/somewhere"
            return answer

        with mock.patch.object(RentalViewSet, "_response", with_header):
            self.rent()
        self.assertEqual(self.rent().headers["Location"], "/somewhere")


class FingerprintTest(KeyCase):
    def assert_reused(self, answer: Any) -> None:
        self.assertEqual((answer.status_code, answer.json()["code"]), (422, "idempotency_key_reused"))

    def test_other_body_or_path_is_422(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        self.rent()
        self.assert_reused(self.post(RENTALS, {"book": other.pk}))
        self.assert_reused(self.post("/api/v3/book_rentals/create", {"book": self.book.pk}))
        self.assert_reused(self.post("/api/v2/book_rentals/", {"book": self.book.pk}))
        self.assert_reused(self.post("/api/v3/holds/", {"book": self.book.pk}))
        self.assertEqual(Rental.objects.count(), 1)

    def test_equivalent_json_is_the_same_body(self) -> None:
        client = self.api(self.carol)
        texts = (b'{"name": "Emma", "copies": 2}', b'{"copies":2,\n "name":"\\u0045mma"}')
        answers = [
            self.post("/api/v3/books" + end, text, client=client, content_type="application/json")
            for text, end in zip(texts, ("/", ""), strict=True)
        ]
        self.assertEqual(answers[1].headers.get(REPLAYED), "true", answers[1].content)

    def test_a_value_of_another_type_is_another_body(self) -> None:
        client = self.api(self.carol)
        self.post("/api/v3/books/", {"name": "Emma", "copies": 1}, client=client)
        self.assert_reused(self.post("/api/v3/books/", {"name": "Emma", "copies": True}, client=client))
        self.assert_reused(self.post("/api/v3/books/", {"name": "Emma", "copies": "1"}, client=client))

    def test_json_never_passes_for_a_form(self) -> None:
        client = self.api(self.carol)
        form = "application/x-www-form-urlencoded"
        first = self.post("/api/v3/books/", "name=Emma", client=client, content_type=form)
        self.assertEqual(first.status_code, 201, first.content)
        self.assert_reused(self.post("/api/v3/books/", {"form": {"name": ["Emma"]}}, client=client))
        again = self.post("/api/v3/books/", "name=%45mma", client=client, content_type=form)
        self.assertEqual(again.headers.get(REPLAYED), "true")

    def test_form_files_count_by_content(self) -> None:
        client = self.api(self.carol)

        def send(content: bytes, boundary: str) -> Any:
            form = {"name": "Emma", "image": SimpleUploadedFile("a.png", content, "image/png")}
            body = encode_multipart(boundary, form)
            kind = f"multipart/form-data; boundary={boundary}"
            return self.post("/api/v3/books/", body, client=client, content_type=kind)

        one, other = picture(), picture(size=(90, 60))
        self.assertNotEqual(one, other)
        first = send(one, "first")
        self.assertEqual(first.status_code, 201, first.content)
        self.assertTrue(first.json()["image"])
        self.assertEqual(send(one, "second").headers.get(REPLAYED), "true")
        self.assert_reused(send(other, "first"))


class UnstoredResponseTest(KeyCase):
    def test_refusal_is_not_stored(self) -> None:
        self.rent(key=None)
        self.assertEqual(self.rent().status_code, 409)
        rental = Rental.objects.get()
        return_rental(rental=rental, at=timezone.now(), actor=self.carol, now=timezone.now())
        answer = self.rent()
        self.assertEqual((answer.status_code, answer.headers.get(REPLAYED)), (201, None))

    def test_field_error_is_not_stored(self) -> None:
        self.assertEqual(self.post(RENTALS, {"book": 0}).status_code, 400)
        self.assertEqual(self.rent().status_code, 201)

    def test_crash_is_not_stored_and_rolls_back(self) -> None:
        client = self.api(self.alice)
        client.raise_request_exception = False
        broken = mock.patch.object(RentalViewSet, "_response", side_effect=ZeroDivisionError)
        with broken, self.assertLogs("django.request", "ERROR"):
            self.assertEqual(self.rent(client=client).status_code, 500)
        self.assertEqual((Rental.objects.count(), IdempotencyRecord.objects.count()), (0, 0))
        self.assertEqual(self.rent().status_code, 201)

    def test_error_response_is_not_stored(self) -> None:
        unwell = mock.patch.object(RentalViewSet, "_response", return_value=Response({}, status=503))
        with unwell, self.assertLogs("django.request", "ERROR"):
            self.assertEqual(self.rent().status_code, 503)
        self.assertEqual((Rental.objects.count(), IdempotencyRecord.objects.count()), (0, 0))

    def test_failure_to_store_rolls_back(self) -> None:
        client = self.api(self.alice)
        client.raise_request_exception = False
        broken = mock.patch.object(idempotency, "_store", side_effect=ZeroDivisionError)
        with broken, self.assertLogs("django.request", "ERROR"):
            self.assertEqual(self.rent(client=client).status_code, 500)
        self.assertEqual((Rental.objects.count(), IdempotencyRecord.objects.count()), (0, 0))

    def test_invalid_key_is_400(self) -> None:
        for key in ("", "x" * 256, "é", "a\tb", "a\x7f", "ключ"):
            with self.subTest(key=key[:9]):
                answer = self.rent(key=key)
                self.assertEqual(
                    (answer.status_code, answer.json()["code"]), (400, "idempotency_key_invalid")
                )
        for key in ("x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "a b~!"):
            self.assertNotEqual(self.rent(key=key).status_code, 400)


class ExpiryTest(KeyCase):
    def keep_for(self, time: timedelta) -> None:
        IdempotencyRecord.objects.update(made_at=timezone.now() - time)

    def test_key_expires_after_a_day(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        self.rent()
        self.keep_for(timedelta(hours=24))
        answer = self.post(RENTALS, {"book": other.pk})
        self.assertEqual((answer.status_code, answer.headers.get(REPLAYED)), (201, None))
        self.assertEqual(self.post(RENTALS, {"book": other.pk}).headers[REPLAYED], "true")

    def test_command_purges_only_expired_records(self) -> None:
        self.rent(key="old")
        self.keep_for(timedelta(hours=24))
        self.post(RENTALS, {"book": add_book(name="Persuasion", kind=3).pk}, key="new")
        out = StringIO()
        call_command("purge_idempotency_keys", stdout=out)
        self.assertEqual(out.getvalue(), "Stored responses deleted: 1.\n")
        self.assertEqual(IdempotencyRecord.objects.get().key, "new")

    def test_closing_an_account_deletes_its_records(self) -> None:
        self.rent()
        self.rent(client=self.api(self.bob))
        erase_personal_data(self.alice)
        self.assertEqual(IdempotencyRecord.objects.get().user_id, self.bob.pk)


@contextmanager
def without_the_guard() -> Iterator[None]:
    """Allow any number of records for one key, and let no call find another's.

    On SQLite the transaction is removed too, because it alone would serialize the calls.
    """
    constraint = IdempotencyRecord._meta.constraints[0]
    # SQLite creates the table again, from the current state of the model.
    with mock.patch.object(IdempotencyRecord._meta, "constraints", []), connection.schema_editor() as editor:
        editor.remove_constraint(IdempotencyRecord, constraint)
    apart = mock.patch.object(idempotency, "_with_key", idempotency._with_key.__wrapped__)
    try:
        missed = mock.patch.object(
            IdempotencyRecordQuerySet, "get", side_effect=IdempotencyRecord.DoesNotExist
        )
        with missed, apart if connection.vendor == "sqlite" else nullcontext():
            yield
    finally:
        IdempotencyRecord.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(IdempotencyRecord, constraint)


class KeyRaceTest(RaceTestCase):
    """Eight equal calls at once are executed once."""

    def setUp(self) -> None:
        super().setUp()
        now = timezone.now()
        owing = rent_book(member=self.alice, book=add_book(name="Emma", kind=3), at=now, now=now)
        return_rental(rental=owing, at=now, actor=self.carol, now=now)

    def pay(self, key: str = "one") -> Callable[[], Any]:
        def call() -> Any:
            body = {"user": self.alice.pk, "amount": "0.50", "method": "cash"}
            headers = {"Idempotency-Key": key}
            client = self.api(self.carol)
            client.raise_request_exception = False
            return client.post("/api/v3/payments/", body, headers=headers)

        return call

    def paid(self) -> int:
        return LedgerEntry.objects.payments().count()

    def instead(self, take_payment: Callable[..., Any]) -> Any:
        """Replace the function that takes payments; the real one is the first argument."""
        return mock.patch.object(ledger, "take_payment", partial(take_payment, ledger.take_payment))

    def test_one_call_works_and_others_replay_it(self) -> None:
        answers = self.run_concurrently(*[self.pay()] * 8)
        self.assertEqual({answer.status_code for answer in answers}, {201})
        self.assertEqual(len({answer.content for answer in answers}), 1)
        self.assertEqual(Counter(answer.headers.get(REPLAYED) for answer in answers), {None: 1, "true": 7})
        self.assertEqual(self.paid(), 1)

    def test_without_the_lock_each_call_works(self) -> None:
        line = threading.Barrier(8)

        def meet_and_take(real: Callable[..., Any], **facts: Any) -> Any:
            line.wait(timeout=10)
            return real(**facts)

        with without_the_guard(), self.instead(meet_and_take):
            answers = self.run_concurrently(*[self.pay()] * 8)
        self.assertEqual({answer.status_code for answer in answers}, {201})
        self.assertEqual(self.paid(), 8)

    def slowly(self, seconds: float) -> Any:
        """Delay the response after the payment is taken, which sets `self.begun`."""
        self.begun = threading.Event()

        def take_and_wait(real: Callable[..., Any], **facts: Any) -> Any:
            entry = real(**facts)
            self.begun.set()
            time.sleep(seconds)
            return entry

        return self.instead(take_and_wait)

    def after_it_began(self) -> Any:
        self.begun.wait(timeout=10)
        return self.pay()()

    def test_concurrent_call_waits_for_the_response(self) -> None:
        with self.slowly(0.5):
            first, second = self.run_concurrently(self.pay(), self.after_it_began)
        self.assertEqual((first.status_code, second.status_code), (201, 201))
        self.assertEqual(second.headers.get(REPLAYED), "true")
        self.assertEqual(self.paid(), 1)

    @has_row_locks
    def test_long_wait_is_409_with_retry_after(self) -> None:
        with self.slowly(2), mock.patch.object(idempotency, "LOCK_TIMEOUT", "'100ms'"):
            first, second = self.run_concurrently(self.pay(), self.after_it_began)
        self.assertEqual((first.status_code, second.status_code), (201, 409))
        self.assertEqual((second.json()["code"], second.headers["Retry-After"]), ("request_in_progress", "1"))
        self.assertEqual([reason["code"] for reason in second.json()["reasons"]], ["request_in_progress"])
        self.assertEqual(self.pay()().headers.get(REPLAYED), "true")
        self.assertEqual(self.paid(), 1)

    @has_row_locks
    def test_lock_timeout_of_the_work_is_unchanged(self) -> None:
        found: list[str] = []

        def look(real: Callable[..., Any], **facts: Any) -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                found.append(cursor.fetchone()[0])
            return real(**facts)

        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            usual = cursor.fetchone()[0]
        with self.instead(look):
            self.assertEqual(self.pay()().status_code, 201)
        self.assertEqual(found, [usual])

    def test_waiting_call_works_if_the_first_fails(self) -> None:
        begun = threading.Event()

        def fail_once(real: Callable[..., Any], **facts: Any) -> Any:
            if begun.is_set():
                return real(**facts)
            begun.set()
            time.sleep(0.5)
            raise Refusal

        def second() -> Any:
            begun.wait(timeout=10)
            return self.pay()()

        with self.instead(fail_once):
            answers = self.run_concurrently(self.pay(), second)
        self.assertEqual([answer.status_code for answer in answers], [409, 201])
        self.assertEqual(answers[1].headers.get(REPLAYED), None)
        self.assertEqual(self.paid(), 1)

    def test_different_keys_all_work(self) -> None:
        answers = self.run_concurrently(*[self.pay(f"key {number}") for number in range(8)])
        self.assertEqual({answer.status_code for answer in answers}, {201})
        self.assertEqual(self.paid(), 8)

"""Tests calendar feeds: the secret link and the iCalendar file."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from unittest import mock

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core import mail
from django.core.management import call_command
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar

from accounts.models import User
from books.stock import add_book
from lori_assignment.testing.cases import PASSWORD, CastTestCase
from rentals import calendar_feeds, services
from rentals.account_closing import close_account
from rentals.holds import cancel_hold, place_hold
from rentals.models import CalendarFeed, Rental

NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NEW = "another-chapter-of-it"
ENDED = "Your calendar link, if you had one, no longer works."


class SecretTest(CastTestCase):
    def make(self) -> str:
        secret = calendar_feeds.secret_of(calendar_feeds.make_feed(member=self.alice, at=NOW)[0])
        assert secret is not None
        return secret

    def test_secret_finds_only_its_members_feed(self) -> None:
        secret = self.make()
        feed = calendar_feeds.find_feed(secret)
        assert feed is not None
        self.assertEqual((feed.user, calendar_feeds.secret_of(feed)), (self.alice, secret))
        for wrong in ("", secret[:-1], secret.lower(), feed.digest, feed.nonce, "\u6751" * 43):
            self.assertIsNone(calendar_feeds.find_feed(wrong))

    def test_secret_is_256_bits_and_not_stored(self) -> None:
        secret = self.make()
        self.assertEqual(len(base64.urlsafe_b64decode(secret + "=")), 32)
        self.assertNotIn(secret, str(CalendarFeed.objects.values_list().get()))

    def test_new_secret_replaces_the_old_one(self) -> None:
        old, new = self.make(), self.make()
        self.assertIsNone(calendar_feeds.find_feed(old))
        self.assertIsNotNone(calendar_feeds.find_feed(new))
        self.assertEqual(CalendarFeed.objects.count(), 1)

    def test_revoked_secret_finds_nothing(self) -> None:
        secret = self.make()
        calendar_feeds.revoke_feed(member=self.bob)
        self.assertIsNotNone(calendar_feeds.find_feed(secret))
        for _ in range(2):
            calendar_feeds.revoke_feed(member=self.alice)
            self.assertIsNone(calendar_feeds.find_feed(secret))

    def test_secret_of_closed_account_finds_nothing(self) -> None:
        secret = self.make()
        self.alice.is_active = False
        self.alice.save()
        self.assertIsNone(calendar_feeds.find_feed(secret))

    def test_key_rotation_keeps_link_but_hides_it(self) -> None:
        secret = self.make()
        with override_settings(SECRET_KEY="another"):
            feed = calendar_feeds.find_feed(secret)
            assert feed is not None
            self.assertIsNone(calendar_feeds.secret_of(feed))


class EndTest(CastTestCase):
    """The link ends with the password and with everything else that opens the account."""

    def setUp(self) -> None:
        User.objects.filter(pk=self.dan.pk).update(is_superuser=True)
        feed, _ = calendar_feeds.make_feed(member=self.alice, at=NOW)
        self.secret = calendar_feeds.secret_of(feed)
        calendar_feeds.make_feed(member=self.bob, at=NOW)

    def assert_ended(self) -> None:
        answer = Client().get(reverse("calendar-feed", args=[self.secret]))
        unknown = Client().get(reverse("calendar-feed", args=["x" * 43]))
        self.assertEqual((answer.status_code, unknown.status_code), (404, 404))
        # Only Bob's is left.
        self.assertEqual(CalendarFeed.objects.get().user, self.bob)

    def assert_lives(self) -> None:
        self.assertEqual(Client().get(reverse("calendar-feed", args=[self.secret])).status_code, 200)

    def browser(self, user: User) -> Client:
        client = Client()
        client.post("/user/login/", {"login": user.username, "password": PASSWORD})
        return client

    def reset_key(self) -> tuple[str, str]:
        return user_pk_to_url_str(self.alice), default_token_generator.make_token(self.alice)

    def administer(self, page: str, **form: Any) -> None:
        address = reverse(f"admin:{page}", args=[] if page.endswith("list") else [self.alice.pk])
        client = Client()
        client.force_login(self.dan)
        self.assertEqual(client.post(address, form).status_code, 302)

    def change_in_administration(self, **changes: Any) -> None:
        facts = {"username": "alice", "email": self.alice.email, "is_active": "on"}
        facts |= {"date_joined_0": "2026-01-02", "date_joined_1": "03:04:05"}
        self.administer("accounts_user_change", **(facts | changes))

    def test_changed_password_ends_it_and_says_so(self) -> None:
        form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
        client = self.browser(self.alice)
        self.assertContains(client.get("/user/password/change/"), "ends your calendar link")
        self.assert_lives()
        answer = client.post("/user/password/change/", form, follow=True)
        self.assertContains(answer, ENDED)
        self.assertIn(ENDED, mail.outbox[-1].body)
        self.assert_ended()
        self.assertIsNone(client.get("/rentals/").context["feed"])

    def test_refused_change_keeps_it(self) -> None:
        form = {"oldpassword": "wrong-one-of-them", "password1": NEW, "password2": NEW}
        self.browser(self.alice).post("/user/password/change/", form)
        self.assert_lives()

    def test_reset_password_ends_it_and_says_so(self) -> None:
        client = Client()
        address = f"/user/password/reset/key/{'-'.join(self.reset_key())}/"
        page = client.get(address, follow=True).request["PATH_INFO"]
        self.assertContains(client.post(page, {"password1": NEW, "password2": NEW}, follow=True), ENDED)
        self.assertIn(ENDED, mail.outbox[-1].body)
        self.assert_ended()

    def test_first_password_ends_it_and_says_so(self) -> None:
        client = Client()
        self.alice.set_unusable_password()
        self.alice.save()
        client.force_login(self.alice, backend=settings.AUTHENTICATION_BACKENDS[0])
        self.assert_lives()
        answer = client.post("/user/password/set/", {"password1": NEW, "password2": NEW}, follow=True)
        self.assertContains(answer, ENDED)
        self.assertIn(ENDED, mail.outbox[-1].body)
        self.assert_ended()

    def test_api_ends_it_and_says_so(self) -> None:
        body = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
        answer = self.api(self.alice).post("/api/rest-auth/password/change/", body)
        self.assertEqual((answer.status_code, ENDED in answer.json()["detail"]), (200, True))
        self.assertIn(ENDED, mail.outbox[-1].body)
        self.assert_ended()

    def test_api_reset_ends_it_and_says_so(self) -> None:
        uid, token = self.reset_key()
        body = {"uid": uid, "token": token, "new_password1": NEW, "new_password2": NEW}
        answer = self.api().post("/api/rest-auth/password/reset/confirm/", body)
        self.assertEqual((answer.status_code, ENDED in answer.json()["detail"]), (200, True))
        self.assert_ended()

    def test_password_from_staff_ends_it(self) -> None:
        form = {"usable_password": "true", "password1": NEW, "password2": NEW}
        self.administer("auth_user_password_change", **form)
        self.assert_ended()

    def test_disabled_password_ends_it(self) -> None:
        form = {"usable_password": "false", "unset-password": "on"}
        self.administer("auth_user_password_change", **form)
        self.assert_ended()

    def test_command_ends_it(self) -> None:
        with mock.patch("getpass.getpass", return_value=NEW):
            call_command("changepassword", "alice", stdout=StringIO())
        self.assert_ended()

    def test_deactivation_ends_it_for_good(self) -> None:
        self.change_in_administration(is_active="")
        self.change_in_administration(is_active="on")
        self.assertTrue(User.objects.get(pk=self.alice.pk).is_active)
        self.assert_ended()

    def test_signing_out_everywhere_ends_it(self) -> None:
        self.administer("accounts_user_changelist", action="sign_out", _selected_action=self.alice.pk)
        self.assert_ended()

    def test_changed_rights_end_it(self) -> None:
        self.change_in_administration(is_staff="on")
        self.assert_ended()

    def test_closing_the_account_ends_it(self) -> None:
        close_account(member=self.alice, at=NOW)
        self.assert_ended()

    def test_other_changes_keep_it(self) -> None:
        client = self.browser(self.alice)
        self.alice.change_profile(name="Alice")
        self.change_in_administration(phone="555-0101")
        # Hashing the same password again is no new password.
        old = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
        with override_settings(PASSWORD_HASHERS=[*settings.PASSWORD_HASHERS, old]):
            former = make_password(PASSWORD, hasher="pbkdf2_sha256")
            User.objects.filter(pk=self.alice.pk).update(password=former)
            client = self.browser(self.alice)
        self.assertFalse(User.objects.get(pk=self.alice.pk).password.startswith("pbkdf2"))
        self.assertContains(client.get("/user/sessions/"), 'href="/rentals/#calendar"')
        self.assertEqual(client.post("/user/sessions/end/").status_code, 302)
        client.post("/user/logout/")
        self.assert_lives()

    def test_failed_change_keeps_both(self) -> None:
        former = self.alice.password
        with (
            mock.patch.object(calendar_feeds, "revoke_feed", side_effect=OSError),
            self.assertRaises(OSError),
            transaction.atomic(),
        ):
            self.alice.set_password(NEW)
            self.alice.save()
        self.assertEqual(User.objects.get(pk=self.alice.pk).password, former)
        self.assert_lives()


@override_settings(SITE_URL="https://shop.example:8443")
class DueDatesTest(CastTestCase):
    def rent(self, at: datetime = NOW, **book: Any) -> Rental:
        added = add_book(**{"name": "Emma", "author": "Jane Austen", "kind": 3} | book)
        return services.rent_book(member=self.alice, book=added, at=at, now=at)

    def events(self, member: User | None = None) -> list[Any]:
        calendar = Calendar.from_ical(calendar_feeds.render_ical(member or self.alice))
        self.assertEqual((calendar["version"], calendar["method"]), ("2.0", "PUBLISH"))
        return calendar.walk("VEVENT")

    def test_open_rental_is_an_event_at_its_due_date(self) -> None:
        rental = self.rent()
        returned = self.rent(name="Cosmos", kind=1)
        services.return_rental(rental=returned, at=NOW, actor=self.carol, now=NOW)
        [event] = self.events()
        self.assertEqual(event["uid"], f"rental-{rental.ref}@shop.example")
        self.assertEqual((event.decoded("dtstart"), event.decoded("dtstamp")), (NOW + 14 * DAY, NOW))
        self.assertEqual((event["summary"], event["sequence"]), ("Due back: Emma", 0))
        self.assertIn("By Jane Austen. Rental no.", event["description"])
        self.assertEqual(event["url"], "https://shop.example:8443/rentals/")

    def test_event_has_an_alarm_a_day_before(self) -> None:
        self.rent()
        [alarm] = self.events()[0].walk("VALARM")
        self.assertEqual((alarm["action"], alarm.decoded("trigger")), ("DISPLAY", -DAY))

    def test_alarm_for_tomorrow_rings_the_day_before(self) -> None:
        # Due at 23:30 on the day of 25 hours, and at 00:30 after the day of 23 hours.
        for due, before in (
            ("2026-10-25T22:30:00+00:00", "2026-10-24T23:30:00+02:00"),
            ("2026-03-29T22:30:00+00:00", "2026-03-29T00:30:00+01:00"),
        ):
            with self.subTest(due), timezone.override("Europe/Berlin"):
                rental = self.rent(name=due)
                rental.due_at = datetime.fromisoformat(due)
                alarm = calendar_feeds._due_date(rental).walk("VALARM")[0]
                rings = rental.due_at + alarm.decoded("trigger")
                self.assertEqual(rings, datetime.fromisoformat(before))

    def test_renewal_moves_the_event(self) -> None:
        rental = self.rent()
        before = self.events()[0]
        services.renew_rental(rental=rental, at=NOW + DAY)
        [after] = self.events()
        self.assertEqual((before["uid"], after["sequence"]), (after["uid"], 1))
        self.assertEqual((after.decoded("dtstart"), after.decoded("dtstamp")), (NOW + 28 * DAY, NOW + DAY))

    def test_book_without_an_author_is_described(self) -> None:
        self.rent(author="")
        self.assertRegex(self.events()[0]["description"], r"^Rental no\. \d+\. To renew: https:")

    def test_feed_conforms_to_rfc_5545(self) -> None:
        name = 'Village; or, "Люди" \\ 村上\nBEGIN:VEVENT\r\nUID:x ' + "long " * 40
        self.rent(name=name.strip())
        written = calendar_feeds.render_ical(self.alice)
        self.assertTrue(written.endswith(b"END:VCALENDAR\r\n"))
        for line in written.split(b"\r\n"):
            self.assertLessEqual(len(line), 75)
            self.assertNotIn(b"\n", line)
            line.decode()
        self.assertEqual(written.count(b"\r\nBEGIN:VEVENT\r\n"), 1)
        self.assertEqual(len(self.events()), 1)
        self.assertIn('Village; or, "Люди" \\ 村上', self.events()[0]["summary"])

    def test_member_without_rentals_has_no_events(self) -> None:
        self.assertEqual(self.events(), [])

    def test_ready_hold_is_an_event_at_its_deadline(self) -> None:
        rental = self.rent()
        hold = place_hold(member=self.bob, book=rental.book, at=NOW)
        self.assertEqual(self.events(self.bob), [])
        services.return_rental(rental=rental, at=NOW + DAY, actor=self.carol, now=NOW + DAY)
        [event] = self.events(self.bob)
        self.assertEqual(
            (event["uid"], event["summary"]), (f"hold-{hold.pk}@shop.example", "Last chance to collect: Emma")
        )
        hold.refresh_from_db()
        self.assertEqual((event.decoded("dtstart"), event.decoded("dtstamp")), (hold.pick_up_by, NOW + DAY))
        cancel_hold(hold=hold, at=NOW + DAY)
        self.assertEqual(self.events(self.bob), [])

    def test_feed_takes_two_queries(self) -> None:
        for name in ("Emma", "Persuasion"):
            self.rent(name=name)
            with self.assertNumQueries(2):
                calendar_feeds.render_ical(self.alice)

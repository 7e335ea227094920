"""Tests the desk's figures: correct, cached, counted in time, and only for staff."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock, skipUnless

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from books.models import Copy
from books.stock import add_book
from rentals import dashboard, holds, ledger, services
from rentals.admin.base import format_short_time
from rentals.admin.rentals import RentalAdmin
from rentals.dashboard import DashboardCounts
from rentals.models import Hold, LedgerEntry, Rental
from rentals.tests.test_admin import ShopAdminTestCase


def naive(at: datetime) -> DashboardCounts:
    """Count every row in Python."""
    rentals, holds = list(Rental.objects.all()), list(Hold.objects.all())
    balances = [ledger.posted_balance(member) for member in User.objects.all()]
    return DashboardCounts(
        at=at,
        out=sum(rental.is_open for rental in rentals),
        overdue=sum(rental.is_overdue(at) for rental in rentals),
        waiting=sum(hold.status == Hold.Status.WAITING for hold in holds),
        ready=sum(hold.status == Hold.Status.READY for hold in holds),
        in_service=sum(copy.status == Copy.Status.IN_SERVICE for copy in Copy.objects.all()),
        owed=sum((balance for balance in balances if balance > 0), Decimal("0.00")),
    )


class FiguresTestCase(ShopAdminTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = timezone.now()

    def rent(self, member: User | None = None, days_ago: int = 0) -> Rental:
        at = self.now - timedelta(days=days_ago)
        return services.rent_book(member=member or self.alice, book=self.novel, at=at, now=self.now)

    def give_back(self, rental: Rental, *, at: datetime | None = None) -> None:
        # Two rentals of a copy may not begin and end at the same moment.
        at = at or max(self.now, rental.rented_at + timedelta(microseconds=1))
        services.return_rental(rental=rental, at=at, actor=self.carol, now=at)

    def busy_shop(self) -> None:
        """Create rows for every figure."""
        Copy.objects.bulk_create(Copy(book=self.novel, barcode=f"X-{number}") for number in range(3))
        Copy.objects.create(book=self.novel, barcode="X-lost", status=Copy.Status.LOST)
        self.rent(self.alice, days_ago=20)
        self.rent(self.bob, days_ago=2)
        returned, mistake = self.rent(self.carol), self.rent(self.dan)
        self.give_back(returned)
        self.give_back(mistake)
        # Dan's credit must not reduce what others owe.
        ledger.take_payment(
            member=self.dan, amount=Decimal("4.50"), method="cash", actor=self.carol, at=self.now
        )
        services.void_rental(rental=mistake, at=self.now, actor=self.carol)
        for number, member in enumerate((self.alice, self.bob)):
            book = add_book(name=f"Waited for {number}")
            out = services.rent_book(member=self.carol, book=book, at=self.now, now=self.now)
            holds.place_hold(member=self.dan, book=book, at=self.now)
            holds.place_hold(member=member, book=book, at=self.now)
            if number:
                self.give_back(out)

    def count(self, *, later: timedelta = timedelta()) -> DashboardCounts:
        return dashboard.count_now(at=self.now + later)


class CountTest(FiguresTestCase):
    def test_empty_shop_counts_zero(self) -> None:
        counted = self.count()
        self.assertEqual(counted, naive(self.now))
        self.assertEqual((counted.out, counted.in_service, counted.owed), (0, 2, Decimal("0.00")))

    def test_figures_match_a_naive_count(self) -> None:
        self.busy_shop()
        counted = self.count()
        self.assertEqual(counted, naive(self.now))
        told_apart = (counted.out, counted.overdue, counted.waiting, counted.ready, counted.in_service)
        self.assertEqual(told_apart, (3, 1, 3, 1, 7))
        self.assertEqual(counted.owed, Decimal("6.50"))

    def test_paid_and_credit_accounts_owe_nothing(self) -> None:
        self.give_back(self.rent())
        self.give_back(self.rent(self.bob))
        self.assertEqual(self.count().owed, Decimal("9.00"))
        ledger.take_payment(
            member=self.alice, amount=Decimal("4.50"), method="cash", actor=self.carol, at=self.now
        )
        self.assertEqual(self.count().owed, Decimal("4.50"))
        services.void_rental(rental=self.alice.rentals.get(), at=self.now, actor=self.carol)
        self.assertEqual(ledger.posted_balance(self.alice), Decimal("-4.50"))
        self.assertEqual(self.count().owed, Decimal("4.50"))


class BalanceSumTest(FiguresTestCase):
    """What members owe is summed from where the last count stopped."""

    later = timedelta(hours=2)

    def setUp(self) -> None:
        super().setUp()
        for member in (self.alice, self.bob):
            self.give_back(self.rent(member))
        self.last = LedgerEntry.objects.latest("pk").pk

    def reached(self) -> int:
        return int(cache.get(dashboard.RUNNING_SUM).key)

    def test_settled_entries_are_read_once(self) -> None:
        self.assertEqual(self.count(later=self.later).owed, Decimal("9.00"))
        self.assertEqual(self.reached(), self.last)
        self.give_back(self.rent(self.carol), at=self.now + self.later)
        with CaptureQueriesContext(connection) as asked:
            counted = self.count(later=self.later)
        self.assertEqual(counted, naive(self.now + self.later))
        self.assertEqual(counted.owed, Decimal("13.50"))
        sums = [query["sql"] for query in asked if "SUM(" in query["sql"]]
        self.assertEqual([f'"id" > {self.last}' in sql for sql in sums], [True])

    def test_recent_entries_are_read_again(self) -> None:
        """Entries get their ids before they are committed, so a lower id may appear later."""
        self.assertEqual(self.count().owed, Decimal("9.00"))
        self.assertIsNone(cache.get(dashboard.RUNNING_SUM))
        self.give_back(self.rent(self.carol), at=self.now + self.later)
        self.assertEqual(self.count(later=self.later).owed, Decimal("13.50"))
        self.assertEqual(self.reached(), self.last)

    def test_long_ledger_is_summed_in_batches(self) -> None:
        # A share of the last id, because PostgreSQL's sequences do not restart for each test.
        with mock.patch.object(dashboard, "BATCH_SIZE", max(1, self.last // 3)):
            self.assertEqual(self.count(later=self.later).owed, Decimal("9.00"))
        self.assertEqual(self.reached(), self.last)

    def test_timeout_resumes_at_the_last_batch(self) -> None:
        more_owed, asked = dashboard._sum_owed_change, []

        def once(end: float, which: Any) -> Any:
            asked.append(which)
            return more_owed(end, which) if len(asked) == 1 else None

        with (
            mock.patch.object(dashboard, "BATCH_SIZE", self.last - 1),
            mock.patch.object(dashboard, "_sum_owed_change", once),
        ):
            self.assertIsNone(self.count(later=self.later).owed)
        self.assertEqual(self.reached(), self.last - 1)
        self.assertEqual(self.count(later=self.later).owed, Decimal("9.00"))

    def test_progress_of_another_ledger_is_discarded(self) -> None:
        """The ledger may have been restored from a backup."""
        last = LedgerEntry.objects.get(pk=self.last).posted_at
        for posted_at, owed in ((last, "77.00"), (last - self.later, "9.00")):
            left_at = dashboard._RunningSum(self.last, (self.last, posted_at), Decimal("77.00"))
            cache.set(dashboard.RUNNING_SUM, left_at)
            self.assertEqual(self.count(later=self.later).owed, Decimal(owed))


class FiguresCacheTest(FiguresTestCase):
    def asked(self, *, after: float) -> DashboardCounts | None:
        """Return the figures `after` seconds from now, when no other process is counting."""
        cache.delete(dashboard.COUNTING)
        return dashboard.dashboard_counts(at=self.now + timedelta(seconds=after))

    def test_figures_are_cached_for_a_minute(self) -> None:
        first = self.asked(after=0)
        self.rent()
        self.assertEqual(self.asked(after=59), first)
        anew = self.asked(after=60)
        assert anew is not None
        self.assertEqual((anew.out, anew.at - self.now), (1, timedelta(seconds=60)))

    def test_only_one_process_counts_at_a_time(self) -> None:
        cache.add(dashboard.COUNTING, 1, timeout=5)
        self.assertIsNone(dashboard.dashboard_counts(at=self.now))
        first = self.asked(after=0)
        cache.add(dashboard.COUNTING, 1, timeout=5)
        with mock.patch.object(dashboard, "count_now") as count:
            self.assertEqual(dashboard.dashboard_counts(at=self.now + timedelta(hours=1)), first)
        count.assert_not_called()

    def test_timed_out_count_is_retried_soon(self) -> None:
        with mock.patch.object(dashboard, "TIMEOUT", 0):
            nothing = self.asked(after=0)
        self.assertEqual(nothing, DashboardCounts(self.now, None, None, None, None, None, None))
        self.assertEqual(self.asked(after=4), nothing)
        self.assertEqual(self.asked(after=5), naive(self.now + timedelta(seconds=5)))

    @skipUnless(connection.vendor == "postgresql", "SQLite is asked for as long as it takes")
    def test_slow_query_is_cancelled_in_time(self) -> None:
        def sleep() -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(20)")
            return 1

        begun = time.monotonic()
        self.assertIsNone(dashboard._within_deadline(begun + 0.2, sleep))
        self.assertLess(time.monotonic() - begun, 5)
        # Later queries run as before.
        self.assertEqual(self.count(), naive(self.now))

    def test_programming_error_is_raised(self) -> None:
        def wrong() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT no_such_column FROM books_book")

        with self.assertRaises(DatabaseError):
            dashboard._within_deadline(time.monotonic() + 5, wrong)


class PageTest(FiguresTestCase):
    def front(self, client: Client | None = None) -> Any:
        cache.delete_many([dashboard.FIGURES, dashboard.COUNTING])
        return (client or self.counter).get(reverse("admin:index"))

    def test_each_figure_links_to_its_list(self) -> None:
        self.busy_shop()
        tiles = self.front().context["tiles"]
        linked = [tile for tile in tiles if tile.address]
        self.assertEqual(len(linked), 5)
        for tile in linked:
            listed = self.counter.get(tile.address).context["cl"]
            self.assertTrue(listed.has_active_filters, tile)
            self.assertEqual(str(listed.result_count), tile.figure, tile)
        self.assertEqual([tile.figure for tile in tiles if not tile.address], ["$6.50"])

    def test_page_shows_the_time_of_the_figures(self) -> None:
        self.busy_shop()
        page = self.front()
        self.assertContains(page, "<span>Overdue</span> <strong>1</strong>", html=True)
        self.assertContains(page, f"As of {format_short_time(cache.get(dashboard.FIGURES).at)}.")

    def test_missing_figure_is_shown_as_a_dash(self) -> None:
        with mock.patch.object(dashboard, "TIMEOUT", 0):
            self.assertContains(self.front(), '<abbr title="not counted yet">–</abbr>', count=6, html=True)
        cache.delete(dashboard.FIGURES)
        page = self.counter.get(reverse("admin:index"))
        self.assertContains(page, "Counting. Reload the page in a moment.")

    def test_figures_require_the_view_permission(self) -> None:
        self.assertRedirects(
            self.front(self.signed_in(self.alice)),
            "/admin/login/?next=/admin/",
            fetch_redirect_response=False,
        )
        for user in (self.carol, self.dan):
            self.assertContains(self.front(self.signed_in(user)), "At a glance")
        with (
            mock.patch.object(RentalAdmin, "has_view_permission", return_value=False),
            mock.patch.object(dashboard, "count_now") as count,
        ):
            self.assertNotContains(self.front(), "At a glance")
        count.assert_not_called()
        # The page of one application shows its lists only.
        self.assertNotContains(self.counter.get(reverse("admin:app_list", args=["rentals"])), "At a glance")

    def test_page_is_translated_to_german(self) -> None:
        page = self.counter.get(reverse("admin:index"), headers={"Accept-Language": "de"})
        self.assertContains(page, "Auf einen Blick")
        self.assertContains(page, "0,00\N{NO-BREAK SPACE}$")

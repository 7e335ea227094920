"""The table of permissions has every route, and every role gets the answer in it."""

from __future__ import annotations

from typing import Any
from unittest import mock

from django.contrib.admin import AdminSite
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import SimpleTestCase, override_settings
from django.urls import path
from rest_framework.permissions import AllowAny, IsAuthenticated

from accounts import admin as accounts_admin
from accounts import views as account_views
from accounts.api.views import AccountViewSet
from accounts.models import AccountManager, User
from books.api.views import BookViewSet, CopyViewSet
from lori_assignment import urls
from lori_assignment.tests import roles
from lori_assignment.tests.roles import RoleTestCase, table
from rentals import calendar_feeds
from rentals.api.payments import PaymentViewSet
from rentals.api.views import RentalViewSet
from rentals.models import CalendarFeed, Hold, HoldQuerySet, LedgerEntryQuerySet, RentalQuerySet
from rentals.views import holds


def unheard_of(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the books")


# With one more route.
urlpatterns = [path("books/secret/", unheard_of), *urls.urlpatterns]


class TableTest(SimpleTestCase):
    def test_table_matches_the_routes(self) -> None:
        self.assertEqual(roles.unlisted_routes(), set())
        self.assertEqual(roles.paths_without_route(), set())

    def test_no_line_is_duplicated(self) -> None:
        listed = [(line.method, line.path) for line in table()]
        self.assertEqual(len(listed), len(set(listed)))

    def test_new_route_is_reported(self) -> None:
        """Shows that the first test can fail."""
        with override_settings(ROOT_URLCONF=__name__):
            self.assertEqual(roles.unlisted_routes(), {"/books/secret/"})

    def test_removed_route_is_reported(self) -> None:
        without = [one for one in urls.urlpatterns if getattr(one, "name", "") != "robots"]
        with override_settings(ROOT_URLCONF=__name__), mock.patch(f"{__name__}.urlpatterns", without):
            self.assertEqual((roles.unlisted_routes(), roles.paths_without_route()), (set(), {"/robots.txt"}))


class ApiTest(RoleTestCase):
    def test_api_answers_as_in_the_table(self) -> None:
        self.assertEqual(self.asker.differences(self.lines(lambda line: line.is_api)), [])


class AdministrationTest(RoleTestCase):
    def test_admin_answers_as_in_the_table(self) -> None:
        self.assertEqual(self.asker.differences(self.lines(lambda line: line.is_administration)), [])


class PagesTest(RoleTestCase):
    def test_pages_answer_as_in_the_table(self) -> None:
        pages = self.lines(lambda line: not line.is_api and not line.is_administration)
        self.assertEqual(self.asker.differences(pages), [])


class MissingGuardTest(RoleTestCase):
    """Shows that the tests above can fail: each guard is removed in turn."""

    def assert_found(self, guard: Any, *answered: str) -> None:
        """Check that the patch `guard`, which removes a guard, causes each of the answers `answered`."""
        begun = [one.split(" as ")[0].split(" ") for one in answered]
        lines = self.lines(lambda line: [line.method, line.path] in begun)
        with self.subTest(answered[0]):
            self.assertEqual(self.asker.differences(lines), [])
            with guard:
                found = self.asker.differences(lines)
            for one in answered:
                self.assertTrue(any(text.startswith(f"{one}, not ") for text in found), (one, found))

    def test_missing_api_guard_is_detected(self) -> None:
        members: Any = lambda view: [IsAuthenticated()]  # noqa: E731
        anybody: Any = lambda view: [AllowAny()]  # noqa: E731
        everything: Any = lambda rows, user: rows.all()  # noqa: E731
        for guard, *answered in (
            (
                mock.patch.object(CopyViewSet, "permission_classes", [AllowAny]),
                "GET /api/v3/copies as anonymous: 200",
                "DELETE /api/v3/copies/<copy> as other: 204",
            ),
            (
                mock.patch.object(BookViewSet, "get_permissions", members),
                "POST /api/v1/books as other: 201",
                "DELETE /api/v3/books/<book>/delete as self: 204",
                "GET /api/v2/books as anonymous: 401",
            ),
            (
                mock.patch.object(RentalViewSet, "get_permissions", members),
                "PATCH /api/v2/book_rentals/<rental> as self: 200",
                "POST /api/v3/book_rentals/<rental>/return as self: 200",
            ),
            (
                mock.patch.object(PaymentViewSet, "get_permissions", members),
                "POST /api/v3/payments as self: 201",
            ),
            (
                mock.patch.object(AccountViewSet, "get_permissions", anybody),
                "GET /api/v1/accounts as anonymous: 200",
            ),
            (
                mock.patch.object(RentalQuerySet, "for_user", everything),
                "GET /api/v3/book_rentals/<rental> as other: 200",
                "HEAD /api/v3/book_rentals/<rental> as other: 200",
                "POST /api/v3/book_rentals/<rental>/renew as other: 200",
            ),
            (
                mock.patch.object(HoldQuerySet, "for_user", everything),
                "GET /api/v3/holds/<hold> as other: 200",
                "DELETE /api/v3/holds/<hold> as other: 204",
            ),
            (
                mock.patch.object(LedgerEntryQuerySet, "for_user", everything),
                "GET /api/v3/payments/<payment> as other: 200",
            ),
            (
                mock.patch.object(AccountManager, "for_user", everything),
                "GET /api/v2/accounts/<user> as other: 200",
                "PATCH /api/v3/accounts/<user> as other: 200",
                "GET /api/v1/book_rentals/users/balance/<user> as other: 200",
                "GET /api/v3/book_rentals/users/statement/<user> as other: 200",
            ),
        ):
            self.assert_found(guard, *answered)

    def test_missing_account_check_is_detected(self) -> None:
        def owner(token: Any) -> User:
            found = User.objects.filter(pk=token["user_id"]).first()
            return found or User(pk=0, is_active=True)

        for guard, *answered in (
            (
                mock.patch("accounts.api.authentication.owner_of", owner),
                "GET /api/v3/book_rentals as deactivated: 200",
                "GET /api/v3/book_rentals as deleted: 200",
            ),
            (
                mock.patch.object(ModelBackend, "user_can_authenticate", lambda self, user: True),
                "GET /user/data/download/ as deactivated: 200",
            ),
            (
                mock.patch("rentals.views.rentals.find_feed", _feed_of_anybody),
                "GET /rentals/calendar/<own-secret>.ics as deactivated: 200",
            ),
        ):
            self.assert_found(guard, *answered)

    def test_missing_page_guard_is_detected(self) -> None:
        def end_any(user: User, pk: int) -> None:
            """Ignores whose session it is."""

        own_or_not: Any = mock.Mock(wraps=Hold.objects)
        own_or_not.filter = lambda **facts: Hold.objects.all()
        for guard, *answered in (
            (
                mock.patch.object(account_views, "end_session", end_any),
                "POST /user/sessions/<session>/end/ as other: 302",
            ),
            (
                mock.patch.object(holds.Hold, "objects", own_or_not),
                "POST /holds/<hold>/cancel/ as other: 302",
            ),
            (
                mock.patch.object(AnonymousUser, "is_authenticated", True),
                "GET /user/data/ as anonymous: 200",
            ),
        ):
            self.assert_found(guard, *answered)

    def test_missing_admin_guard_is_detected(self) -> None:
        for guard, *answered in (
            (
                mock.patch.object(AdminSite, "has_permission", lambda site, request: True),
                "GET /admin/ as other: 200",
            ),
            (
                mock.patch.object(accounts_admin.AccountAdmin, "has_change_permission", lambda *facts: True),
                "GET /admin/accounts/user/<one>/password/ as staff: 200",
            ),
        ):
            self.assert_found(guard, *answered)


def _feed_of_anybody(secret: str) -> CalendarFeed | None:
    return CalendarFeed.objects.filter(digest=calendar_feeds._digest(secret)).first()

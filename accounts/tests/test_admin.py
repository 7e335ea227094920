from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts import tokens
from accounts.models import TokenFamily, User
from accounts.tests.case import NEW
from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import PASSWORD, CastTestCase
from rentals.services import rent_book

LIST = reverse("admin:accounts_user_changelist")
ADD = reverse("admin:accounts_user_add")


def page(user, what="change"):
    return reverse(f"admin:accounts_user_{what}", args=[user.pk])


class AdminCase(CastTestCase):
    def setUp(self):
        self.desk = self.signed_in(self.dan)

    def signed_in(self, user):
        client = Client()
        client.force_login(user)
        return client

    def browser_of(self, user):
        """Sign in with the form, so that the account lists the session."""
        client = Client()
        client.post("/user/login/", {"login": user.username, "password": PASSWORD})
        return client

    def form(self, user, **changes):
        """Return the change form's data as a browser would send it, with `changes`."""
        fields = {"username": user.username, "email": user.email, "is_active": "on"}
        fields |= {"date_joined_0": "2026-01-02", "date_joined_1": "03:04:05"}
        return fields | changes


class AccountAdminTest(AdminCase):
    def test_search_finds_accounts(self):
        User.objects.filter(pk=self.bob.pk).update(phone="555-0142")
        for words, found in (
            ("alice", self.alice),
            ("bob@example", self.bob),
            ("Moss", self.alice),
            ("555-0142", self.bob),
        ):
            listed = self.desk.get(LIST, {"q": words}).context["cl"].result_list
            self.assertEqual(list(listed), [found])

    def test_search_has_four_conditions_for_each_of_twelve_words(self):
        query = str(User.objects.search("a " * 2500).query)
        self.assertEqual(query.count(" LIKE "), 4 * 12)

    def test_an_account_is_added(self):
        body = {"username": "eve", "email": "Eve@Example.org", "name": "Eve Hill"}
        body |= {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
        self.assertEqual(self.desk.post(ADD, body).status_code, 302)
        eve = User.objects.get(username="eve")
        self.assertEqual(
            (eve.email, eve.name, eve.check_password(PASSWORD)), ("eve@example.org", "Eve Hill", True)
        )
        self.assertEqual(EmailAddress.objects.get(user=eve).email, "eve@example.org")

    def test_names_and_addresses_ignore_case(self):
        body = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
        for taken in ({"username": "ALICE"}, {"username": "eve", "email": "ALICE@example.org"}):
            self.assertEqual(self.desk.post(ADD, body | taken).status_code, 200)
        self.assertEqual(User.objects.count(), 4)

    def test_profile_change_keeps_address_confirmed(self):
        EmailAddress.objects.create(user=self.alice, email=self.alice.email, primary=True, verified=True)
        self.assertEqual(
            self.desk.post(page(self.alice), self.form(self.alice, phone="555")).status_code, 302
        )
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.phone, "555")
        self.assertTrue(EmailAddress.objects.get(user=self.alice).verified)

    def test_new_address_replaces_the_old_one(self):
        EmailAddress.objects.create(user=self.alice, email=self.alice.email, primary=True, verified=True)
        self.desk.post(page(self.alice), self.form(self.alice, email="moss@example.org"))
        address = EmailAddress.objects.get(user=self.alice)
        self.assertEqual(
            (address.email, address.primary, address.verified), ("moss@example.org", True, False)
        )
        self.desk.post(page(self.alice), self.form(self.alice, email=""))
        self.assertFalse(EmailAddress.objects.filter(user=self.alice).exists())

    def test_account_with_rentals_cannot_be_deleted(self):
        book = add_book(name="Emma", author="Jane Austen", copies=1)
        now = datetime(2026, 5, 1, tzinfo=UTC)
        rent_book(member=self.alice, book=Book.objects.get(pk=book.pk), at=now, now=now)
        for account, stays in ((self.alice, True), (self.bob, False)):
            answer = self.desk.post(page(account, "delete"), {"post": "yes"})
            self.assertLess(answer.status_code, 500)
            self.assertEqual(User.objects.filter(pk=account.pk).exists(), stays)


class StaffPermissionsTest(AdminCase):
    def setUp(self):
        super().setUp()
        self.carol.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
        self.counter = self.signed_in(self.carol)

    def test_staff_cannot_grant_permissions(self):
        rights = {"is_staff": "on", "is_superuser": "on", "phone": "555"}
        answer = self.counter.post(page(self.alice), self.form(self.alice, **rights))
        self.assertEqual(answer.status_code, 302)
        self.alice.refresh_from_db()
        self.assertEqual(
            (self.alice.phone, self.alice.is_staff, self.alice.is_superuser), ("555", False, False)
        )

    def test_staff_cannot_change_staff_or_superusers(self):
        body = {"usable_password": "true", "password1": NEW, "password2": NEW}
        other = User.objects.create_user("erin", "erin@example.org", PASSWORD, is_staff=True)
        for account in (self.dan, other, self.carol):
            password = reverse("admin:auth_user_password_change", args=[account.pk])
            with self.subTest(account=account.username):
                self.assertEqual(self.counter.post(page(account), self.form(account)).status_code, 403)
                self.assertEqual(self.counter.post(page(account, "delete"), {"post": "yes"}).status_code, 403)
                self.assertEqual(self.counter.post(password, body).status_code, 403)
        password = reverse("admin:auth_user_password_change", args=[other.pk])
        self.assertEqual(self.desk.post(password, body).status_code, 302)

    def test_without_the_account_check_staff_could(self):
        with mock.patch("accounts.admin._may_administer", return_value=True):
            self.assertEqual(self.counter.post(page(self.dan), self.form(self.dan)).status_code, 302)

    def test_permissions_do_not_open_credentials(self):
        self.carol.user_permissions.set(Permission.objects.all())
        secret = Authenticator.objects.create(user=self.dan, type="totp", data={"secret": "SESAME"})
        for path in ("account/emailaddress", "usersessions/usersession", "socialaccount/socialaccount"):
            self.assertEqual(self.desk.get(f"/admin/{path}/").status_code, 404)
        factors = reverse("admin:mfa_authenticator_changelist")
        shown = reverse("admin:mfa_authenticator_change", args=[secret.pk])
        gone = reverse("admin:mfa_authenticator_delete", args=[secret.pk])
        for path in (factors, shown, gone):
            self.assertEqual(self.counter.get(path).status_code, 403)
            self.assertNotContains(self.desk.get(path), "SESAME")
        self.assertEqual(self.desk.post(shown, {"type": "webauthn"}).status_code, 403)
        self.assertEqual(self.desk.post(gone, {"post": "yes"}).status_code, 302)
        self.assertFalse(Authenticator.objects.exists())

    def test_sign_out_action_ends_sessions_and_tokens(self):
        clients = {one: self.browser_of(one) for one in (self.alice, self.bob, self.dan)}
        for one in clients:
            tokens.issue_tokens(one)
        chosen = {"action": "sign_out", "_selected_action": [self.alice.pk, self.dan.pk]}
        self.assertEqual(self.counter.post(LIST, chosen).status_code, 302)
        self.assertEqual(
            [client.get("/user/profile/").status_code for client in clients.values()], [302, 200, 200]
        )
        self.assertEqual({one.user for one in TokenFamily.objects.all()}, {self.bob, self.dan})

    def test_sign_out_action_needs_change_permission(self):
        self.carol.user_permissions.clear()
        tokens.issue_tokens(self.alice)
        self.counter.post(LIST, {"action": "sign_out", "_selected_action": [self.alice.pk]})
        self.assertTrue(TokenFamily.objects.exists())

    def test_promotion_by_superuser_ends_sessions(self):
        hers = self.browser_of(self.alice)
        self.desk.post(page(self.alice), self.form(self.alice, is_staff="on"))
        self.alice.refresh_from_db()
        self.assertTrue(self.alice.is_staff)
        self.assertEqual(hers.get("/user/profile/").status_code, 302)

    def test_admin_login_redirects_to_shop_sign_in(self):
        answer = Client().get(reverse("admin:login"))
        self.assertEqual((answer.status_code, answer.url.partition("?")[0]), (302, reverse("account_login")))
        self.assertEqual(self.desk.get(reverse("admin:index")).status_code, 200)
        self.assertEqual(self.signed_in(self.alice).get(reverse("admin:login")).status_code, 403)


class ReadOnlyStaffTest(AdminCase):
    def test_staff_may_view_but_not_change_accounts(self):
        desk = self.signed_in(self.carol)
        self.assertContains(desk.get(LIST), "alice@example.org")
        shown = desk.get(page(self.alice))
        self.assertContains(shown, "Alice Moss")
        self.assertNotContains(shown, self.alice.password)
        self.assertEqual(desk.post(page(self.alice), self.form(self.alice, name="x")).status_code, 403)
        self.assertEqual(desk.get(ADD).status_code, 403)
        self.assertEqual(desk.get(page(self.alice, "delete")).status_code, 403)
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.name, "Alice Moss")

    def test_members_are_redirected(self):
        self.assertEqual(self.signed_in(self.alice).get(LIST).status_code, 302)

from __future__ import annotations

from rest_framework.test import APIClient

from accounts.models import User
from accounts.tests.case import USER, SignInCase
from lori_assignment.testing.cases import CastTestCase

VERSIONS = ("v1", "v2", "v3")
FIRST_SHAPE = {"id", "username", "email", "name", "phone", "address"}


def accounts(version="v3", account=None, tail="/"):
    return f"/api/{version}/accounts" + (f"/{account.pk}" if account else "") + tail


class AccountReadTest(CastTestCase):
    def test_each_version_has_its_fields(self):
        for version in VERSIONS:
            one = self.api(self.alice).get(accounts(version, self.alice)).json()
            more = {"is_staff", "is_active", "date_joined"} if version == "v3" else set()
            self.assertEqual(set(one), FIRST_SHAPE | more)
            self.assertEqual((one["id"], one["name"]), (self.alice.pk, "Alice Moss"))

    def test_staff_list_all_accounts_in_order(self):
        for version in VERSIONS:
            listed = self.api(self.carol).get(accounts(version)).json()
            rows = listed["results"] if version == "v3" else listed
            self.assertEqual(
                [row["id"] for row in rows], list(User.objects.order_by("pk").values_list("pk", flat=True))
            )

    def test_list_links_to_the_next_page(self):
        first = self.api(self.carol).get(accounts() + "?page_size=3").json()
        second = self.api(self.carol).get(first["next"]).json()
        ids = [row["id"] for row in first["results"] + second["results"]]
        self.assertEqual((len(first["results"]), len(ids), ids), (3, 4, sorted(ids)))

    def test_list_query_count_is_constant(self):
        staff = self.api(self.carol)
        with self.assertNumQueries(1):
            staff.get(accounts())
        User.objects.bulk_create(User(username=f"m{n}", email=f"m{n}@example.org") for n in range(20))
        with self.assertNumQueries(1):
            staff.get(accounts())

    def test_visibility_depends_on_the_role(self):
        table = [
            # who, list, Alice, Bob, nobody
            (None, 401, 401, 401, 401),
            (self.alice, 403, 200, 404, 404),
            (self.carol, 200, 200, 200, 404),
            (self.dan, 200, 200, 200, 404),
        ]
        nobody = User(pk=999_999)
        for version in VERSIONS:
            for who, *expected in table:
                asked = (None, self.alice, self.bob, nobody)
                got = [self.api(who).get(accounts(version, account)).status_code for account in asked]
                self.assertEqual(got, expected, (version, who))

    def test_account_of_other_member_is_404(self):
        alice = self.api(self.alice)
        self.assertEqual(
            alice.get(accounts(account=self.bob)).content,
            alice.get(accounts(account=User(pk=999_999))).content,
        )

    def test_malformed_ids_are_404(self):
        for written in ("1_0", "0x1", "-1", "٣", "1e3", "9" * 18, "9" * 400, "me"):
            with self.subTest(written=written[:20]):
                self.assertEqual(self.api(self.dan).get(f"/api/v3/accounts/{written}/").status_code, 404)

    def test_trailing_slash_is_optional(self):
        for tail in ("", "/"):
            self.assertEqual(self.api(self.carol).get(accounts(tail=tail)).status_code, 200)
            self.assertEqual(self.api(self.carol).get(accounts(account=self.bob, tail=tail)).status_code, 200)


class AccountUpdateTest(CastTestCase):
    def test_members_change_their_profile(self):
        for version in VERSIONS:
            for method in ("put", "patch"):
                for tail in ("/", "", "/update", "/update/"):
                    name = f"{version} {method} at {tail or 'no slash'}"
                    answer = getattr(self.api(self.alice), method)(
                        accounts(version, self.alice, tail), {"name": name}
                    )
                    self.assertEqual((answer.status_code, answer.json()["name"]), (200, name))
                    self.assertEqual("is_staff" in answer.json(), version == "v3")

    def test_missing_fields_are_kept(self):
        self.api(self.alice).patch(accounts(account=self.alice), {"phone": "555"})
        self.alice.refresh_from_db()
        self.assertEqual((self.alice.name, self.alice.phone), ("Alice Moss", "555"))

    def test_only_profile_fields_are_writable(self):
        before = User.objects.values().get(pk=self.alice.pk)
        body = {
            "id": 1,
            "username": "x",
            "email": "x@example.org",
            "password": "x",
            "is_staff": True,
            "is_superuser": True,
            "is_active": False,
            "date_joined": "2001-01-01T00:00:00Z",
            "groups": [1],
            "phone": "555",
        }
        for version in VERSIONS:
            self.assertEqual(self.api(self.alice).put(accounts(version, self.alice), body).status_code, 200)
        self.assertEqual(User.objects.values().get(pk=self.alice.pk), before | {"phone": "555"})

    def test_members_and_staff_may_change_a_profile(self):
        for who, expected in ((None, 401), (self.bob, 404), (self.alice, 200), (self.carol, 200)):
            answer = self.api(who).patch(accounts(account=self.alice), {"name": f"by {who}"})
            self.assertEqual(answer.status_code, expected)
            self.alice.refresh_from_db()
            self.assertEqual(self.alice.name == f"by {who}", expected == 200)

    def test_malformed_fields_are_errors(self):
        for field, values in {
            "name": ([], {}, None, True, "x" * 201, "\0"),
            "phone": ("x" * 51, []),
            "address": ("x" * 501, {}),
        }.items():
            for value in values:
                answer = self.api(self.alice).patch(accounts(account=self.alice), {field: value})
                self.assertEqual((answer.status_code, list(answer.json())), (400, [field]))
        for body in ("[]", "1", '"x"', "{", '{"name": "\\ud800"}'):
            answer = self.api(self.alice).patch(
                accounts(account=self.alice), body, content_type="application/json"
            )
            self.assertEqual(answer.status_code, 400, body)
        self.alice.refresh_from_db()
        self.assertEqual(self.alice.name, "Alice Moss")

    def test_other_methods_are_405(self):
        for who in (None, self.alice, self.dan):
            self.assertEqual(self.api(who).post(accounts(), {}).status_code, 405)
            self.assertEqual(self.api(who).delete(accounts(account=self.alice)).status_code, 405)
            self.assertEqual(self.api(who).get(accounts(account=self.alice, tail="/update")).status_code, 405)


class OwnAccountTest(SignInCase):
    def test_own_account_is_returned(self):
        mine = self.api(self.carol).get(USER).json()
        self.assertEqual(set(mine), FIRST_SHAPE | {"is_staff"})
        self.assertEqual((mine["username"], mine["is_staff"]), ("carol", True))

    def test_only_profile_fields_are_writable(self):
        before = User.objects.values().get(pk=self.alice.pk)
        body = {"username": "x", "email": "x@example.org", "is_staff": True, "phone": "555"}
        for method in ("put", "patch"):
            answer = getattr(self.api(self.alice), method)(USER, body)
            self.assertEqual((answer.status_code, answer.json()["phone"]), (200, "555"))
        self.assertEqual(User.objects.values().get(pk=self.alice.pk), before | {"phone": "555"})

    def test_too_long_field_is_an_error(self):
        answer = self.api(self.alice).patch(USER, {"phone": "5" * 51})
        self.assertEqual((answer.status_code, list(answer.json())), (400, ["phone"]))

    def test_anonymous_user_gets_401(self):
        self.assertEqual(APIClient().get(USER).status_code, 401)
        self.assertEqual(self.api(self.alice).delete(USER).status_code, 405)

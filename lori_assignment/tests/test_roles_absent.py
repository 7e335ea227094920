"""Objects of another member and missing objects get the same response, byte for byte."""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

from django.http import HttpResponse

from lori_assignment.tests.roles import METHODS, OWN, Body, RoleTestCase, body_of, person, rolled_back
from rentals.models import HoldQuerySet, RentalQuerySet

# Other ways to name another member than in the path.
NAMING = [
    *(("GET", f"/api/{version}/book_rentals?user=<user>") for version in ("v1", "v2", "v3")),
    ("GET", "/api/v3/holds?user=<user>"),
    ("GET", "/api/v3/payments?user=<user>"),
]
# Headers that differ for every request.
ITS_OWN = {"X-Request-ID", "Date"}


def told(answer: HttpResponse) -> tuple[Any, ...]:
    """Return the whole response except the key of a new session and the expiry of cookies."""
    body = b"".join(answer) if answer.streaming else answer.content
    headers = {name: value for name, value in answer.headers.items() if name not in ITS_OWN}
    cookies = re.sub("expires=[^;]*;|(?<=sessionid=)[^;]+", "", answer.cookies.output())
    return answer.status_code, sorted(headers.items()), cookies, body


class ExistenceDisclosureTest(RoleTestCase):
    """Sends each request twice: while Zoe and her objects exist, and after they have been rolled back."""

    def setUp(self) -> None:
        super().setUp()
        # Otherwise the forms of each page would have another token.
        self.enterContext(mock.patch("django.middleware.csrf._get_new_csrf_string", lambda: "a" * 32))

    def paths(self) -> list[tuple[str, str]]:
        theirs = self.lines(lambda line: line.names & OWN and not line.is_administration)
        paths = dict.fromkeys(line.path for line in theirs)
        self.assertGreater(len(paths), 30)
        return [*((method, path) for path in paths for method in (*METHODS, "HEAD")), *NAMING]

    def asked_twice(self, role: str) -> dict[str, list[tuple[Any, ...]]]:
        """Return both responses to `role` for each of Zoe's objects: while it exists and when it does not."""
        world = self.world
        usual = world.named
        with rolled_back():
            world.named = usual | world.create_objects_of(person("zoe"))
            calls = [
                (method, path, world.address(path, role), body_of(world, method, path, role))
                for method, path in self.paths()
            ]
            there = [self.told(method, address, role, body) for method, _, address, body in calls]
        world.named = usual
        absent = [self.told(method, address, role, body) for method, _, address, body in calls]
        return {
            f"{method} {path}": [one, other]
            for (method, path, *_), one, other in zip(calls, there, absent, strict=True)
        }

    def told(self, method: str, address: str, role: str, body: Body) -> tuple[Any, ...]:
        with rolled_back():
            return told(self.asker.send(method, address, role, body))

    def test_other_member_sees_no_difference(self) -> None:
        found = self.asked_twice("other")
        self.assertEqual({what for what, (one, other) in found.items() if one != other}, set())
        statuses = {what: one[0] for what, (one, _) in found.items()}
        self.assertEqual({status for what, status in statuses.items() if "?" in what}, {200})
        self.assertEqual(statuses["GET /api/v3/book_rentals/<rental>"], 404)

    def test_staff_see_no_difference_on_pages(self) -> None:
        found = {what: answers for what, answers in self.asked_twice("staff").items() if " /api" not in what}
        self.assertGreater(len(found), 40)
        self.assertEqual({what for what, (one, other) in found.items() if one != other}, set())

    def test_anonymous_user_sees_no_difference(self) -> None:
        found = self.asked_twice("anonymous")
        self.assertEqual({what for what, (one, other) in found.items() if one != other}, set())

    def test_staff_see_a_difference_in_the_api(self) -> None:
        """Shows that the tests above can fail: staff may see these objects."""
        found = self.asked_twice("staff")
        differ = {what for what, (one, other) in found.items() if one != other}
        for what in (
            "GET /api/v1/book_rentals/<rental>",
            "GET /api/v3/book_rentals/users/statement/<user>",
            "GET /api/v3/holds/<hold>",
            "GET /api/v3/payments/<payment>",
            "PATCH /api/v2/accounts/<user>",
            "GET /api/v3/holds?user=<user>",
        ):
            self.assertIn(what, differ)

    def test_permission_check_would_reveal_existence(self) -> None:
        """Shows that the first test can fail: checking the owner after the query reveals objects."""
        everything: Any = lambda rows, user: rows.all()  # noqa: E731
        with (
            mock.patch.object(RentalQuerySet, "for_user", everything),
            mock.patch.object(HoldQuerySet, "for_user", everything),
        ):
            found = self.asked_twice("other")
        differ = {what for what, (one, other) in found.items() if one != other}
        self.assertLessEqual({"GET /api/v3/holds/<hold>", "HEAD /api/v3/book_rentals/<rental>"}, differ)

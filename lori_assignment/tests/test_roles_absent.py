"""What is another's is answered as what is not there: the same bytes, in the API and on the pages."""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

from django.http import HttpResponse

from lori_assignment.tests.roles import METHODS, OWN, Body, RoleTestCase, body_of, person, rolled_back
from rentals.models import HoldQuerySet, RentalQuerySet

# A member's ways to name somebody else beside the paths.
NAMING = [
    *(("GET", f"/api/{version}/book_rentals?user=<user>") for version in ("v1", "v2", "v3")),
    ("GET", "/api/v3/holds?user=<user>"),
    ("GET", "/api/v3/payments?user=<user>"),
]
# Of every request another.
ITS_OWN = {"X-Request-ID", "Date"}


def told(answer: HttpResponse) -> tuple[Any, ...]:
    """All that is answered, but the name of a new session and when a cookie runs out."""
    body = b"".join(answer) if answer.streaming else answer.content
    headers = {name: value for name, value in answer.headers.items() if name not in ITS_OWN}
    cookies = re.sub("expires=[^;]*;|(?<=sessionid=)[a-z0-9]+", "", answer.cookies.output())
    return answer.status_code, sorted(headers.items()), cookies, body


class ExistenceDisclosureTest(RoleTestCase):
    """Zoe and all that is hers come, are asked for, and never were: the second asking is for nothing."""

    def setUp(self) -> None:
        super().setUp()
        # Else each page's forms have a token of their own.
        self.enterContext(mock.patch("django.middleware.csrf._get_new_csrf_string", lambda: "a" * 32))

    def paths(self) -> list[tuple[str, str]]:
        theirs = self.lines(lambda line: line.names & OWN and not line.is_administration)
        paths = dict.fromkeys(line.path for line in theirs)
        self.assertGreater(len(paths), 30)
        return [*((method, path) for path in paths for method in (*METHODS, "HEAD")), *NAMING]

    def asked_twice(self, role: str) -> dict[str, list[tuple[Any, ...]]]:
        """What `role` is told of each of Zoe's things, while it is there and when it is not."""
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
        """The twin: who may see it sees the difference."""
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
        """The twin: where everybody's are found, and only then is asked whose they are."""
        everything: Any = lambda rows, user: rows.all()  # noqa: E731
        with (
            mock.patch.object(RentalQuerySet, "for_user", everything),
            mock.patch.object(HoldQuerySet, "for_user", everything),
        ):
            found = self.asked_twice("other")
        differ = {what for what, (one, other) in found.items() if one != other}
        self.assertLessEqual({"GET /api/v3/holds/<hold>", "HEAD /api/v3/book_rentals/<rental>"}, differ)

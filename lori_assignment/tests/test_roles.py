"""The table of roles is the whole truth: every route is in it, and each is asked as everybody."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import ClassVar

from django.test import SimpleTestCase, TestCase, override_settings

from lori_assignment.tests import roles
from lori_assignment.tests.roles import Asker, Line, World, table


class RoleCase(TestCase):
    world: ClassVar[World]

    @classmethod
    def setUpClass(cls) -> None:
        media = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.enterClassContext(override_settings(MEDIA_ROOT=media))
        super().setUpClass()

    @classmethod
    def setUpTestData(cls) -> None:
        cls.world = World()

    def setUp(self) -> None:
        self.asker = Asker(self.world)

    def lines(self, fits: Callable[[str], bool]) -> list[Line]:
        found = [line for line in table() if fits(line.path)]
        self.assertNotEqual(found, [])
        return found


class TableTest(SimpleTestCase):
    def test_every_route_is_in_it_and_it_knows_no_other(self) -> None:
        self.assertEqual(roles.unlisted(), set())
        self.assertEqual(roles.without_route(), set())

    def test_nothing_stands_in_it_twice(self) -> None:
        listed = [(line.method, line.path) for line in table()]
        self.assertEqual(len(listed), len(set(listed)))


def is_api(path: str) -> bool:
    return path.startswith("/api")


def is_administration(path: str) -> bool:
    return path.startswith("/admin/")


class ApiTest(RoleCase):
    def test_it_answers_everybody_as_the_table_says(self) -> None:
        self.assertEqual(self.asker.differences(self.lines(is_api)), [])


class AdministrationTest(RoleCase):
    def test_it_answers_everybody_as_the_table_says(self) -> None:
        self.assertEqual(self.asker.differences(self.lines(is_administration)), [])


class PagesTest(RoleCase):
    def test_they_answer_everybody_as_the_table_says(self) -> None:
        pages = self.lines(lambda path: not is_api(path) and not is_administration(path))
        self.assertEqual(self.asker.differences(pages), [])

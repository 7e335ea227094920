"""The API's JSON equals that of REST framework's own renderer, byte for byte."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from unittest import TestCase
from uuid import UUID

from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ErrorDetail
from rest_framework.renderers import JSONRenderer as Stock
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList

from lori_assignment.rest.renderers import JSONRenderer, render_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


class RenderingTest(TestCase):
    @given(VALUES)
    def test_plain_values_render_as_in_rest_framework(self, value: Any) -> None:
        # REST framework escapes DEL and orjson does not; both mean the same.
        self.assertEqual(json.loads(render_json(value)), json.loads(Stock().render([value])[1:-1]))

    def test_other_types_render_as_in_rest_framework(self) -> None:
        at = dt.datetime(2026, 11, 28, 1, 2, 3, 456789, dt.UTC)
        for value in (
            at,
            at.replace(microsecond=0),
            at.astimezone(dt.timezone(dt.timedelta(hours=2))),
            at.date(),
            Decimal("4.50"),
            UUID(int=7),
            gettext_lazy("book"),
            ErrorDetail("Wrong.", code="invalid"),
            ReturnDict({"a": 1}, serializer=None),
            ReturnList([{"ὅ": "é"}], serializer=None),
            (1, 2),
            {0: ["Wrong."]},
            "</script>\u2028\u2029",
        ):
            with self.subTest(value=value):
                self.assertEqual(render_json({"value": value}), Stock().render({"value": value}))

    def test_none_renders_as_no_bytes(self) -> None:
        self.assertEqual(JSONRenderer().render(None), Stock().render(None))

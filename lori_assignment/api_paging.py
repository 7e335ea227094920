"""Pages of a list, by keyset in every version: the ten-thousandth page costs what the first costs.

v1 and v2 answer a bare array and put the neighbours into a `Link` header; v3 answers
`{"next", "previous", "results"}`.

REST framework's own cursor counts rows of equal value from the start of their group and gives up
after a thousand; a shop has authors with more books than that. Here the key, which is unique, is
always part of the position.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

DEFAULT_SIZE = {"v1": 100, "v2": 100, "v3": 25}
LARGEST_SIZE = {"v1": 500, "v2": 500, "v3": 100}


class Cursor(NamedTuple):
    """Where a page begins: after (or, going back, before) the row with these values."""

    back: bool
    values: list[Any]

    def encode(self) -> str:
        return urlsafe_b64encode(json.dumps([self.back, *self.values]).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, length: int) -> Cursor:
        """Raises NotFound for what `encode` did not make of `length` values."""
        try:
            back, *values = json.loads(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        except (ValueError, TypeError, RecursionError):
            raise NotFound(_("This cursor is not one of ours.")) from None
        whole = all(type(value) in (int, str) for value in values)
        if type(back) is not bool or len(values) != length or not whole:
            raise NotFound(_("This cursor is not one of ours."))
        return cls(back, values)


class VersionedPagination(BasePagination):
    """Pages the queryset in its own order, whose last field must be unique and none nullable.

    All fields go the same way, up or down.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        fields = [str(field) for field in queryset.query.order_by]
        names = [field.removeprefix("-") for field in fields]
        down = fields[0].startswith("-")
        size = self._page_size(request)

        cursor = None
        if (text := request.query_params.get("cursor")) is not None:
            cursor = Cursor.decode(text, len(names))
            beyond = "lt" if down != cursor.back else "gt"
            try:
                queryset = queryset.filter(_beyond(names, cursor.values, beyond))
                if cursor.back:
                    queryset = queryset.reverse()
                rows = list(queryset[: size + 1])
            except (ValueError, TypeError, InvalidValue):
                raise NotFound(_("This cursor is not one of ours.")) from None
        else:
            rows = list(queryset[: size + 1])

        more = len(rows) > size
        rows = rows[:size]
        back = cursor is not None and cursor.back
        if back:
            rows.reverse()
        has_next = bool(rows) and (more if not back else True)
        has_previous = bool(rows) and (more if back else cursor is not None)
        self.next = self._link(False, rows[-1], names) if has_next else None
        self.previous = self._link(True, rows[0], names) if has_previous else None
        return rows

    def _page_size(self, request: Request) -> int:
        """A size above the largest gets the largest."""
        version = str(request.version)
        largest = LARGEST_SIZE[version]
        asked = request.query_params.get("page_size")
        if asked is None:
            return DEFAULT_SIZE[version]
        if not re.fullmatch("[0-9]{1,9}", asked) or not int(asked):
            raise ValidationError(
                {"page_size": [_("A whole number from 1 to %(most)d is required.") % {"most": largest}]}
            )
        return min(int(asked), largest)

    def _link(self, back: bool, row: Any, names: list[str]) -> str:
        cursor = Cursor(back, [getattr(row, name) for name in names])
        return replace_query_param(self.request.build_absolute_uri(), "cursor", cursor.encode())

    def get_paginated_response(self, data: Any) -> Response:
        if self.request.version == "v3":
            return Response({"next": self.next, "previous": self.previous, "results": data})
        links = [
            f'<{url}>; rel="{rel}"' for url, rel in ((self.next, "next"), (self.previous, "prev")) if url
        ]
        first = remove_query_param(self.request.build_absolute_uri(), "cursor")
        return Response(data, headers={"Link": ", ".join([*links, f'<{first}>; rel="first"'])})

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        version = view.request.version
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Where the page begins: taken from the address of the next or previous page.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": f"At most {LARGEST_SIZE[version]}; default {DEFAULT_SIZE[version]}.",
                "schema": {"type": "integer"},
            },
        ]


def _beyond(names: list[str], values: list[Any], way: str) -> Q:
    """The rows whose values come after `values` in the order of `names`.

    The first comparison stands outside the OR, where an index can use it.
    """
    name, value = names[0], values[0]
    if len(names) == 1:
        return Q(**{f"{name}__{way}": value})
    tied = Q(**{name: value}) & _beyond(names[1:], values[1:], way)
    return Q(**{f"{name}__{way}e": value}) & (Q(**{f"{name}__{way}": value}) | tied)

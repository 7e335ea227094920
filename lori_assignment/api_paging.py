"""Pages of a list, by keyset in every version: the ten-thousandth page costs what the first costs.

v1 and v2 answer a bare array and put the neighbours into a `Link` header; v3 answers
`{"next", "previous", "results"}`.

REST framework's own cursor counts rows of equal value from the start of their group and gives up
after a thousand; a shop has authors with more books than that. `lori_assignment.keyset` does not.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from lori_assignment.addresses import at_site
from lori_assignment.keyset import UnknownCursor, page_of

DEFAULT_SIZE = {"v1": 100, "v2": 100, "v3": 25}
LARGEST_SIZE = {"v1": 500, "v2": 500, "v3": 100}


class VersionedPagination(BasePagination):
    """Pages the queryset in its own order, which must be as `keyset.page_of` says."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.parameters = self._known_parameters(request, view)
        size = self._page_size(request)
        try:
            page = page_of(queryset, size=size, cursor=request.query_params.get("cursor"))
        except UnknownCursor:
            raise NotFound(_("This cursor is not one of ours.")) from None
        self.next = self._link(page.next)
        self.previous = self._link(page.previous)
        return page.rows

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

    @staticmethod
    def _known_parameters(request: Request, view: Any) -> dict[str, str]:
        """The parameters that links repeat. Their length is limited, since the filters have checked them."""
        filterset = getattr(view, "filterset_class", None)
        names = [*(filterset.base_filters if filterset else ()), "page_size"]
        values = {name: request.query_params.get(name, "").strip() for name in names}
        return {name: value for name, value in values.items() if value}

    def _link(self, cursor: str | None) -> str | None:
        return cursor and self._address(cursor=cursor)

    def _address(self, **parameters: str) -> str:
        query = urlencode(self.parameters | parameters)
        return at_site(f"{self.request.path}?{query}" if query else self.request.path)

    def get_paginated_response(self, data: Any) -> Response:
        if self.request.version == "v3":
            return Response({"next": self.next, "previous": self.previous, "results": data})
        links = [
            f'<{url}>; rel="{rel}"' for url, rel in ((self.next, "next"), (self.previous, "prev")) if url
        ]
        links.append(f'<{self._address()}>; rel="first"')
        return Response(data, headers={"Link": ", ".join(links)})

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

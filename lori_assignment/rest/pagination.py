"""Paginates lists by keyset in every version: the ten-thousandth page costs what the first costs.

v1 and v2 answer a bare array and put the neighbouring pages into a `Link` header; v3 answers
`{"next", "previous", "results"}`.

REST framework's own cursor counts rows of equal value from the start of their group and gives up after a
thousand, but an author may have more books than that. `db.keyset_pagination` has no such limit.
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

from lori_assignment.db.keyset_pagination import UnknownCursor, paginate
from lori_assignment.http.site_urls import absolute_url

DEFAULT_SIZE = {"v1": 100, "v2": 100, "v3": 25}
MAX_SIZE = {"v1": 500, "v2": 500, "v3": 100}


class VersionedPagination(BasePagination):
    """Paginates the queryset in its own order, which must meet the conditions of `paginate`."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.parameters = self._known_parameters(request, view)
        size = self._page_size(request)
        try:
            page = paginate(queryset, size=size, cursor=request.query_params.get("cursor"))
        except UnknownCursor:
            raise NotFound(_("This cursor is invalid.")) from None
        self.next = self._link(page.next)
        self.previous = self._link(page.previous)
        return page.rows

    def _page_size(self, request: Request) -> int:
        """Return the requested size, or the maximum if it is larger. Raises ValidationError."""
        version = str(request.version)
        largest = MAX_SIZE[version]
        asked = request.query_params.get("page_size")
        if asked is None:
            return DEFAULT_SIZE[version]
        if not re.fullmatch("[0-9]{1,9}", asked) or not int(asked):
            raise ValidationError(
                {"page_size": [_("Enter a whole number from 1 to %(most)d.") % {"most": largest}]}
            )
        return min(int(asked), largest)

    @staticmethod
    def _known_parameters(request: Request, view: Any) -> dict[str, str]:
        """Return the parameters that links repeat. The filters have validated them and limit their length."""
        filterset = getattr(view, "filterset_class", None)
        names = [*(filterset.base_filters if filterset else ()), "page_size"]
        values = {name: request.query_params.get(name, "").strip() for name in names}
        return {name: value for name, value in values.items() if value}

    def _link(self, cursor: str | None) -> str | None:
        return cursor and self._address(cursor=cursor)

    def _address(self, **parameters: str) -> str:
        query = urlencode(self.parameters | parameters)
        return absolute_url(f"{self.request.path}?{query}" if query else self.request.path)

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
                "description": "Where the page begins; copy it from the URL of the next or previous page.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": f"At most {MAX_SIZE[version]}; default {DEFAULT_SIZE[version]}.",
                "schema": {"type": "integer"},
            },
        ]

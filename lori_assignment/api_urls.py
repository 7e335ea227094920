"""The URLs of the API in one table: path, viewset, and the action of each method.

v1 and v2 have the paths of the first service; v3 has those and the newer ones. Every path works with and
without a trailing slash. An id is plain digits; a path with anything else in its place does not exist.
"""

from __future__ import annotations

import re
from typing import Any

from django.urls import URLPattern, URLResolver, include, path, re_path

from accounts.api.auth_views import PATHS as SIGN_IN
from accounts.api.views import AccountViewSet
from books.api.views import BookViewSet, CopyViewSet
from lori_assignment.rest.fields import PLAIN_DIGITS
from rentals.api.holds import HoldViewSet
from rentals.api.payments import PaymentViewSet, PriceListViewSet
from rentals.api.views import MemberViewSet, RentalViewSet

CHANGE = {"put": "update", "patch": "partial_update"}
LIST = {"get": "list", "post": "create"}
ONE = {"get": "retrieve", **CHANGE, "delete": "destroy"}

EVERY_VERSION: list[tuple[str, Any, dict[str, str]]] = [
    ("books", BookViewSet, LIST),
    ("books/<pk>", BookViewSet, ONE),
    ("books/<pk>/update", BookViewSet, CHANGE),
    ("books/<pk>/delete", BookViewSet, {"delete": "destroy"}),
    ("book_rentals", RentalViewSet, LIST),
    ("book_rentals/create", RentalViewSet, {"post": "create"}),
    ("book_rentals/<ref>", RentalViewSet, ONE),
    ("book_rentals/<ref>/update", RentalViewSet, CHANGE),
    ("book_rentals/<ref>/delete", RentalViewSet, {"delete": "destroy"}),
    ("book_rentals/users/<user_id>", MemberViewSet, {"get": "rentals"}),
    ("book_rentals/users/balance/<user_id>", MemberViewSet, {"get": "balance"}),
    ("accounts", AccountViewSet, {"get": "list"}),
    ("accounts/<pk>", AccountViewSet, {"get": "retrieve", **CHANGE}),
    ("accounts/<pk>/update", AccountViewSet, CHANGE),
]

FROM_V3: list[tuple[str, Any, dict[str, str]]] = [
    ("books/<pk>/quote", BookViewSet, {"get": "quote"}),
    ("book_rentals/<ref>/return", RentalViewSet, {"post": "bring_back"}),
    ("book_rentals/<ref>/renew", RentalViewSet, {"post": "renew"}),
    ("book_rentals/users/statement/<user_id>", MemberViewSet, {"get": "statement"}),
    ("copies", CopyViewSet, LIST),
    ("copies/<pk>", CopyViewSet, ONE),
    ("holds", HoldViewSet, LIST),
    ("holds/<pk>", HoldViewSet, {"get": "retrieve", "delete": "destroy"}),
    ("payments", PaymentViewSet, LIST),
    ("payments/<pk>", PaymentViewSet, {"get": "retrieve"}),
    ("price_lists", PriceListViewSet, LIST),
    ("price_lists/<pk>", PriceListViewSet, ONE),
]

VERSIONS = {"v1": EVERY_VERSION, "v2": EVERY_VERSION, "v3": EVERY_VERSION + FROM_V3}


def route(template: str, view: Any, *, name: str | None = None) -> URLPattern:
    """Return a URL pattern with an optional trailing slash, in which `<name>` matches plain digits."""
    pattern = re.sub("<([a-z_]+)>", rf"(?P<\1>{PLAIN_DIGITS})", template)
    return re_path(rf"^{pattern}/?$", view, name=name or f"api-{template}")


urlpatterns: list[URLPattern | URLResolver] = [
    *(
        path(
            f"api/{version}/",
            include([route(template, view.as_view(dict(methods))) for template, view, methods in routes]),
            {"version": version},
        )
        for version, routes in VERSIONS.items()
    ),
    *(route(template, view.as_view()) for template, view in SIGN_IN),
]

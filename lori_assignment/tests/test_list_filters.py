"""Lists of the administration and of the API filter and sort by what is named here, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import ModelAdmin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import QueryDict
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts import tokens
from accounts.models import TokenFamily, User
from books.models import Book, Copy
from books.stock import add_book
from lori_assignment.admin import IndexedListAdmin
from lori_assignment.testing.cases import CastTestCase
from rentals.models import Hold, LedgerEntry, Policy, PriceList, Rental

# What each list takes, with a value that it accepts.
FILTERS: dict[type[Model], dict[str, str]] = {
    Authenticator: {},
    Group: {},
    User: {
        "is_staff__exact": "1",
        "is_superuser__exact": "1",
        "is_active__exact": "0",
        "groups__id__exact": "1",
    },
    Book: {"kind__exact": "1", "language": "en"},
    Copy: {"status__exact": "lost", "condition__exact": "damaged"},
    Rental: {
        "state": "out",
        "rented_at__gte": "2026-01-01 00:00:00+00:00",
        "rented_at__lt": "2026-02-01 00:00:00+00:00",
    },
    Hold: {"status": "waiting"},
    LedgerEntry: {
        "kind__exact": "payment",
        "method": "cash",
        "posted_at__gte": "2026-01-01 00:00:00+00:00",
        "posted_at__lt": "2026-02-01 00:00:00+00:00",
    },
    PriceList: {},
    Policy: {},
}
SORTABLE: dict[type[Model], set[str]] = {
    User: {"username"},
    Book: {"name"},
    Copy: {"barcode"},
    Rental: {"number", "rented"},
    LedgerEntry: {"posted"},
}
# Beyond the fields of the model and of its relations.
SECRETS = (
    "password__startswith",
    "user__password__startswith",
    "user__token_families__id__startswith",
    "user__calendar_feed__digest__startswith",
    "actor__token_families__pk__startswith",
    "copy__rentals__user__password__startswith",
    "data__secret__startswith",
    "unknown",
)


def lookups(model: type[Model]) -> Iterator[str]:
    """Yield a lookup of each field of `model`, and of each field of the rows that it is related to."""
    for field in model._meta.get_fields():
        yield from (field.name, f"{field.name}__startswith", f"{field.name}__gt")
        if isinstance(field.related_model, type):
            yield from (
                f"{field.name}__{other.name}__startswith" for other in field.related_model._meta.get_fields()
            )


class AdministrationTest(CastTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        User.objects.filter(pk=cls.dan.pk).update(is_superuser=True)

    def setUp(self) -> None:
        self.desk = Client()
        self.desk.force_login(self.dan)

    def listed(self, model: type[Model], **query: Any) -> Any:
        return self.desk.get(
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), query
        )

    def status(self, model: type[Model], **query: Any) -> int:
        return int(self.listed(model, **query).status_code)

    def test_every_list_is_named_here(self) -> None:
        self.assertEqual(set(admin.site._registry), set(FILTERS))
        for model, page in admin.site._registry.items():
            self.assertIsInstance(page, IndexedListAdmin, model)
            self.assertIsNone(page.date_hierarchy)
            self.assertEqual(page.show_facets, admin.ShowFacets.NEVER)
            self.assertEqual(set(page.sortable_by or ()), SORTABLE.get(model, set()), model)

    def test_named_filters_work(self) -> None:
        Group.objects.create(pk=1, name="Desk")
        for model, filters in FILTERS.items():
            self.assertEqual(self.status(model), 200)
            self.assertEqual(self.status(model, q="a", _facets="1", _popup="1"), 200)
            for name, value in filters.items():
                with self.subTest(model=model, name=name):
                    self.assertEqual(self.status(model, **{name: value}), 200)

    def test_every_other_lookup_is_refused(self) -> None:
        request = RequestFactory().get("/")
        request.user = self.dan
        for model, page in admin.site._registry.items():
            for lookup in sorted({*lookups(model), *SECRETS} - FILTERS[model].keys()):
                request.GET = QueryDict(urlencode({lookup: "a"}))
                with self.subTest(model=model, lookup=lookup), self.assertRaises(DisallowedModelAdminLookup):
                    page.get_changelist_instance(request)

    def test_token_families_cannot_be_read_by_letters(self) -> None:
        tokens.issue_tokens(self.alice)
        family = TokenFamily.objects.get()
        for lookup in ("token_families__id__startswith", "token_families__startswith", "token_families"):
            for value in (family.pk[0], family.pk, "-"):
                self.assertEqual(self.status(User, **{lookup: value}), 400)

    def test_only_named_columns_sort(self) -> None:
        for model, page in admin.site._registry.items():
            columns = self.listed(model).context["cl"].list_display
            for number, column in enumerate(columns):
                orders = {
                    str(self.listed(model, o=order).context["cl"].queryset.query.order_by)
                    for order in (f"{number}", f"-{number}")
                }
                with self.subTest(model=model, column=column):
                    self.assertEqual(len(orders) > 1, column in (page.sortable_by or ()))

    def test_popups_cannot_reference_secrets(self) -> None:
        for model, page in admin.site._registry.items():
            for field in model._meta.get_fields():
                allowed = page.to_field_allowed(RequestFactory().get("/"), field.name)
                self.assertEqual(allowed, field == model._meta.pk, field)
        for wrong in ("password", "groups", "token_families", "logentry"):
            self.assertEqual(self.status(User, _popup="1", _to_field=wrong), 400)

    def test_autocomplete_searches_named_fields_only(self) -> None:
        ask = {"app_label": "books", "model_name": "copy", "term": "a"}
        self.assertEqual(self.desk.get("/admin/autocomplete/", ask | {"field_name": "book"}).status_code, 200)
        for wrong in (
            {"field_name": "barcode"},
            {"field_name": "book__name"},
            {"app_label": "accounts", "model_name": "tokenfamily", "field_name": "id"},
            {"app_label": "sessions", "model_name": "session", "field_name": "session_key"},
        ):
            self.assertEqual(self.desk.get("/admin/autocomplete/", ask | wrong).status_code, 403)

    def test_search_is_by_search_fields(self) -> None:
        Group.objects.create(name="Desk")
        Authenticator.objects.create(user=self.alice, type=Authenticator.Type.TOTP, data={"secret": "sesame"})
        for model, text, found in (
            (Group, "desk", 1),
            (Group, " ", 1),
            (Authenticator, "alice", 1),
            (Authenticator, "sesame", 0),
        ):
            shown = self.listed(model, q=text).context["cl"].result_list
            self.assertEqual(len(shown), found, (model, text))

    def test_without_the_closed_list_secrets_filter(self) -> None:
        with mock.patch.object(IndexedListAdmin, "get_changelist", ModelAdmin.get_changelist):
            self.assertEqual(self.status(User, token_families__id__startswith="a"), 200)


class ApiTest(CastTestCase):
    LISTS = ("books", "copies", "book_rentals", "holds", "payments", "price_lists", "accounts")

    def test_only_named_parameters_filter_and_sort(self) -> None:
        desk = self.api(self.dan)
        tokens.issue_tokens(self.alice)
        add_book(name="Emma", copies=2)
        for name in self.LISTS:
            address = f"/api/v3/{name}/"
            whole = desk.get(address).json()
            for lookup in (*SECRETS, "token_families__id__startswith", "id__gt", "ref__in", "order_by", "o"):
                with self.subTest(address, lookup=lookup):
                    self.assertEqual(desk.get(address, {lookup: "zz"}).json(), whole)
            for order in ("password", "user__password", "-token_families__id"):
                answer = desk.get(address, {"ordering": order})
                with self.subTest(address, order=order):
                    if answer.status_code != 400:
                        self.assertEqual(answer.json(), whole)
                    else:
                        self.assertEqual(list(answer.json()), ["ordering"])

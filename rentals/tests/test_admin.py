"""Tests the policy and the price lists in the administration, and access to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from books.models import Book
from books.stock import add_book
from lori_assignment.testing.cases import CastTestCase
from rentals.errors import PriceListUsed
from rentals.models import Policy, PriceList, Rate, Rental
from rentals.services import rent_book


class ShopAdminTestCase(CastTestCase):
    novel: Book

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.novel = add_book(name="Emma", kind=3, copies=2)

    def setUp(self) -> None:
        self.counter = self.signed_in(self.carol)

    def signed_in(self, user: Any) -> Client:
        client = Client()
        client.force_login(user)
        return client

    def page(self, what: str, row: Any = None) -> str:
        return reverse(f"admin:rentals_{what}", args=[row.pk] if row else [])

    def send(self, what: str, row: Any = None, **fields: Any) -> Any:
        return self.counter.post(self.page(what, row), fields)

    def act(self, what: str, action: str, row: Any, **fields: Any) -> list[str]:
        """Open the page of an action on `row` and confirm it; return the messages."""
        page = self.counter.get(self.page(f"{what}_{action}", row))
        if page.status_code == 302:
            return self.told(page)
        shown = page.context["shown"]
        return self.told(self.send(f"{what}_{action}", row, **{"shown": shown, "reason": "Slip"} | fields))

    def told(self, answer: Any) -> list[str]:
        self.assertEqual(answer.status_code, 302)
        # As if the page with the messages had been shown.
        self.counter.cookies.pop("messages", None)
        return [str(message) for message in get_messages(answer.wsgi_request)]

    def errors(self, answer: Any) -> dict[str, list[str]]:
        self.assertEqual(answer.status_code, 200)
        return dict(answer.context["adminform"].form.errors)

    def rent(self, member: Any = None, days_ago: int = 0) -> Rental:
        now = timezone.now()
        at = now - timedelta(days=days_ago)
        return rent_book(member=member or self.alice, book=self.novel, at=at, now=now)


class PermissionTest(ShopAdminTestCase):
    def test_staff_have_access_and_members_do_not(self) -> None:
        pages = ["policy_changelist", "pricelist_add", "rental_changelist", "ledgerentry_add"]
        for user, status in ((self.alice, 302), (self.carol, 200), (self.dan, 200)):
            client = self.signed_in(user)
            self.assertEqual([client.get(self.page(page)).status_code for page in pages], [status] * 4)

    def test_index_lists_permitted_apps(self) -> None:
        for client, apps in (
            (self.counter, {"accounts", "books", "rentals"}),
            (self.signed_in(self.dan), None),
        ):
            shown = {app["app_label"] for app in client.get(reverse("admin:index")).context["app_list"]}
            self.assertTrue(shown == apps if apps else shown > {"books", "rentals", "accounts"}, shown)

    def test_staff_cannot_grant_permissions(self) -> None:
        self.assertEqual(self.counter.get(reverse("admin:auth_group_add")).status_code, 403)
        self.assertEqual(self.counter.get(reverse("admin:accounts_user_add")).status_code, 403)


class PolicyAdminTest(ShopAdminTestCase):
    fields = {
        "rental_days": 14,
        "max_renewals": 2,
        "max_open_rentals": 10,
        "debt_limit": "50.00",
        "pick_up_days": 3,
        "max_holds": 10,
    }

    def test_rental_period_applies_to_new_rentals(self) -> None:
        before = self.rent()
        self.told(self.send("policy_change", Policy.current(), **self.fields | {"rental_days": 7}))
        after = self.rent(self.bob)
        before.refresh_from_db()
        periods = [(rental.due_at - rental.rented_at).days for rental in (before, after)]
        self.assertEqual(periods, [14, 7])

    def test_rental_limit_applies_to_the_api(self) -> None:
        other = add_book(name="Persuasion", kind=3)
        self.rent()
        self.send("policy_change", Policy.current(), **self.fields | {"max_open_rentals": 1})
        answer = self.api(self.alice).post("/api/v3/book_rentals/", {"book": other.pk})
        self.assertEqual((answer.status_code, answer.json()["code"]), (409, "rental_limit"))

    def test_invalid_policy_is_a_field_error(self) -> None:
        for field, value in (
            ("rental_days", 0),
            ("max_open_rentals", 0),
            ("debt_limit", "-1"),
            ("debt_limit", "x"),
            ("pick_up_days", 0),
            ("max_holds", -1),
            ("rental_days", 366),
            ("max_renewals", 100),
            ("max_open_rentals", 1001),
            ("debt_limit", "1000000.00"),
            ("pick_up_days", 91),
            ("max_holds", 1001),
            ("rental_days", "9" * 30),
        ):
            answer = self.send("policy_change", Policy.current(), **self.fields | {field: value})
            self.assertEqual(list(self.errors(answer)), [field])
        self.assertEqual(Policy.current().rental_days, 14)

    def test_policy_cannot_be_added_or_deleted(self) -> None:
        self.counter = self.signed_in(self.dan)
        self.assertEqual(self.send("policy_add", **self.fields).status_code, 403)
        self.assertEqual(self.send("policy_delete", Policy.current(), post="yes").status_code, 403)
        self.assertContains(self.counter.get(self.page("policy_changelist")), "Shop policy")
        self.assertEqual(Policy.objects.count(), 1)


class PriceListAdminTest(ShopAdminTestCase):
    def form(self, rates: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        """Return the form of a price list as a browser would send it."""
        kept = sum("id" in rate for rate in rates)
        sent = {"name": "Winter", "in_force_from_0": "2026-12-01", "in_force_from_1": "00:00:00"} | fields
        sent |= {"rates-TOTAL_FORMS": len(rates), "rates-INITIAL_FORMS": kept}
        for number, rate in enumerate(rates):
            whole = {"first_days": 0, "first_days_rate": "0", "minimum": "0", "late_fee": "0"} | rate
            sent |= {f"rates-{number}-{field}": value for field, value in whole.items()}
        return sent

    def three(self) -> list[dict[str, Any]]:
        return [{"daily_rate": rate} for rate in ("1.10", "2.20", "3.30")]

    def formset_errors(self, answer: Any) -> str:
        self.assertEqual(answer.status_code, 200)
        formset = answer.context["inline_admin_formsets"][0].formset
        return f"{formset.non_form_errors()} {formset.errors}"

    def kept(self, price_list: PriceList) -> list[dict[str, Any]]:
        return [
            {
                "id": rate.pk,
                "price_list": price_list.pk,
                "daily_rate": rate.daily_rate,
                "minimum": rate.minimum,
            }
            for rate in price_list.rates.all()
        ]

    def test_list_is_added_with_a_rate_per_kind(self) -> None:
        page = self.counter.get(self.page("pricelist_add"))
        self.assertContains(page, "selected>novel")
        self.told(self.send("pricelist_add", **self.form(self.three())))
        winter = PriceList.objects.get(name="Winter")
        self.assertEqual(winter.in_force_from, datetime(2026, 12, 1, tzinfo=timezone.get_current_timezone()))
        rates = {rate.kind: rate.daily_rate for rate in winter.rates.all()}
        self.assertEqual(rates, {1: Decimal("1.10"), 2: Decimal("2.20"), 3: Decimal("3.30")})

    def test_missing_kind_or_price_is_an_error(self) -> None:
        for rates, words in (
            (self.three()[:2], "one rate for each category"),
            ([*self.three()[:2], {"daily_rate": ""}], "This field is required"),
            ([*self.three()[:2], {"daily_rate": "0"}], "The price of the first day must be above zero"),
            ([*self.three()[:2], {"daily_rate": "-1"}], "greater than or equal to 0"),
            ([*self.three()[:2], {"daily_rate": "1", "first_days": 366}], "less than or equal to 365"),
            ([*self.three(), {"daily_rate": "1", "kind": 3}], "one rate for each category"),
        ):
            answer = self.send("pricelist_add", **self.form(rates))
            self.assertIn(words, self.formset_errors(answer))
        self.assertEqual(PriceList.objects.count(), 3)

    def test_taken_name_or_time_is_a_field_error(self) -> None:
        for field, fields in (
            ("name", {"name": "Tiered"}),
            ("in_force_from", {"in_force_from_0": "2020-01-01"}),
        ):
            answer = self.send("pricelist_add", **self.form(self.three(), **fields))
            self.assertEqual(list(self.errors(answer)), [field])

    def test_concurrently_taken_name_is_an_error(self) -> None:
        with mock.patch("django.forms.ModelForm.validate_unique"):
            answer = self.send("pricelist_add", **self.form(self.three(), name="Tiered"))
        self.assertIn("Another price list already has this name", self.told(answer)[0])
        self.assertEqual((PriceList.objects.count(), Rate.objects.count()), (3, 9))

    def test_an_unused_list_is_changed_and_deleted(self) -> None:
        flat = PriceList.objects.get(name="Flat")
        rates = self.kept(flat)
        rates[2]["daily_rate"] = "2.50"
        # The form cannot change the kind of a row.
        rates[0]["kind"] = 2
        day = {"in_force_from_0": "2000-01-01", "in_force_from_1": "00:00:00"}
        self.told(self.send("pricelist_change", flat, **self.form(rates, name="Plain", **day)))
        flat.refresh_from_db()
        prices = [(rate.kind, str(rate.daily_rate)) for rate in flat.rates.all()]
        self.assertEqual((flat.name, prices), ("Plain", [(1, "1.00"), (2, "1.00"), (3, "2.50")]))
        self.told(self.send("pricelist_delete", flat, post="yes"))
        self.assertFalse(PriceList.objects.filter(pk=flat.pk).exists())

    def test_used_list_is_read_only(self) -> None:
        self.rent()
        tiered = PriceList.objects.get(name="Tiered")
        page = self.counter.get(self.page("pricelist_change", tiered))
        self.assertContains(page, "4.50")
        for field in ('name="name"', 'name="rates-0-daily_rate"', 'name="_save"', "deletelink"):
            self.assertNotContains(page, field)
        self.assertContains(
            self.counter.get(self.page("pricelist_changelist")), "in use, can&#x27;t be changed", 1
        )
        sent = self.send("pricelist_change", tiered, **self.form(self.kept(tiered), name="Dearer"))
        deleted = self.send("pricelist_delete", tiered, post="yes")
        self.assertEqual((sent.status_code, deleted.status_code), (403, 403))
        self.send("pricelist_changelist", action="delete_selected", _selected_action=tiered.pk, post="yes")
        self.assertTrue(PriceList.objects.filter(name="Tiered").exists())

    def test_concurrently_used_list_is_an_error(self) -> None:
        self.rent()
        tiered = PriceList.objects.get(name="Tiered")
        rates = self.kept(tiered)
        rates[2]["daily_rate"] = "9.00"
        with mock.patch("rentals.admin.price_lists.is_used", return_value=False):
            changed = self.told(self.send("pricelist_change", tiered, **self.form(rates, name="Dearer")))
        self.assertEqual(changed, [str(PriceListUsed.message)])
        self.assertEqual(tiered.rates.get(kind=3).daily_rate, Decimal("1.50"))

"""The site of the administration: titles, login, front page, and a 400 for malformed requests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _

View = Callable[..., HttpResponse]


class ShopAdminSite(AdminSite):
    site_header = site_title = settings.SITE_NAME
    index_title = _("Administration")
    index_template = "rentals/administration.html"

    # AdminSite's own form supports neither the lock against guessing nor the second factor.
    @method_decorator(secure_admin_login)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().login(request, extra_context)

    # Nor does its password form.
    def password_change(  # type: ignore[override]  # It redirects.
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("account_change_password")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        # Not imported at the top: the package registers its models with this site.
        from rentals.admin.dashboard import front_page_context

        return super().index(request, front_page_context(self, request) | (extra_context or {}))

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # type: ignore[override]
        """Answer 400 where Django's own pages crash: on an empty `_to_field`, on a NUL in an autocomplete
        term, and on a number too large for SQLite."""
        page = super().admin_view(view, cacheable)

        @functools.wraps(page)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if "" in (request.GET.get(TO_FIELD_VAR), request.POST.get(TO_FIELD_VAR)):
                raise BadRequest("An empty _to_field.")
            if "\x00" in request.GET.get("term", ""):
                raise BadRequest("A NUL in a term.")
            try:
                return page(request, *args, **kwargs)
            except OverflowError:
                raise BadRequest("A number is too large.") from None

        return checked

"""Actions on one row of a list, each on a page that shows first what will happen.

There are none on many rows at once: one slip would void hundreds of rentals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from lori_assignment import clock
from lori_assignment.db.transactions import atomic_with_retry
from lori_assignment.errors import Refusal
from lori_assignment.money import format_money
from rentals.admin.base import ReadOnlyAdmin


class RowAction:
    """What a page does to one row; a subclass for each action calls the domain."""

    # The last part of the page's address.
    name: ClassVar[str]
    label: ClassVar[Any]
    question: ClassVar[Any]
    # None: the page does not ask for a reason.
    reason_required: ClassVar[bool | None] = None

    def applies_to(self, row: Any) -> bool:
        """Whether the row's pages link to this action. Runs no queries."""
        raise NotImplementedError

    def lock(self, row: Any) -> Any:
        """Take the locks of the action and return the row, read again."""
        raise NotImplementedError

    def preview(self, row: Any, *, at: datetime) -> list[str]:
        """Return what will happen, in sentences, or raise the Refusal that the action would meet."""
        raise NotImplementedError

    def perform(self, row: Any, *, actor: User, at: datetime, reason: str) -> str:
        """Do it, and return the message of success."""
        raise NotImplementedError


class ActionForm(forms.Form):
    """Confirms what the page showed, whose digest is `shown`."""

    shown = forms.CharField(widget=forms.HiddenInput)
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=500, widget=forms.TextInput(attrs={"class": "vTextField"})
    )

    def __init__(self, action: RowAction, data: Any = None) -> None:
        super().__init__(data)
        if action.reason_required is None:
            del self.fields["reason"]
        else:
            self.fields["reason"].required = action.reason_required


class RowActionsAdmin(ReadOnlyAdmin):
    """Adds a page for each of `row_actions`, with links in the list and on the page of the row."""

    row_actions: ClassVar[tuple[RowAction, ...]] = ()

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<path:object_id>/{action.name}/",
                self.admin_site.admin_view(partial(self.row_action_view, action=action)),
                name=self._page_name(action),
            )
            for action in self.row_actions
        ]
        return [*pages, *super().get_urls()]

    def _page_name(self, action: RowAction) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{action.name}"

    def _links(self, row: Model) -> list[tuple[str, str]]:
        return [
            (reverse(f"admin:{self._page_name(action)}", args=[row.pk]), str(action.label))
            for action in self.row_actions
            if action.applies_to(row)
        ]

    def links(self, row: Model) -> str:
        return format_html_join(" · ", '<a href="{}">{}</a>', self._links(row))

    links.short_description = gettext_lazy("actions")  # type: ignore[attr-defined]  # Django reads it

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        row = context["original"]
        context["row_actions"] = self._links(row) if row else []
        return super().render_change_form(request, context, *args, **options)

    def row_action_view(self, request: HttpRequest, object_id: str, action: RowAction) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]  # the stubs leave it out
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        now = clock.now()
        form = ActionForm(action, request.POST if request.method == "POST" else None)
        try:
            if form.is_valid():
                done = _perform(action, row, actor=self.caller(request), at=now, **form.cleaned_data)
                if done is not None:
                    self.message_user(request, done, messages.SUCCESS)
                    return self._to_list()
                form.add_error(None, _("Something has changed since this page was opened. Check it again."))
            lines = action.preview(row, at=now)
        except Refusal as refusal:
            self.message_user(request, f"{row}: {refusal}", messages.ERROR)
            return self._to_list()
        context = {
            **self.admin_site.each_context(request),
            "title": action.question,
            "subtitle": str(row),
            "action": action,
            "form": form,
            "lines": lines,
            "shown": _digest(lines),
            "object": row,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/rentals/row_action.html", context)

    def _to_list(self) -> HttpResponse:
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


@atomic_with_retry
def _perform(
    action: RowAction, row: Any, *, shown: str, actor: User, at: datetime, reason: str = ""
) -> str | None:
    """Perform the action, if it still does what the page showed; return its message, or None."""
    row = action.lock(row)
    if _digest(action.preview(row, at=at)) != shown:
        return None
    return action.perform(row, actor=actor, at=at, reason=reason)


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def balance_after(member: User, total: Any) -> str:
    """Return a sentence on what the member owes after an action; `total` includes the running cost."""
    facts = {"member": member.get_short_name(), "amount": format_money(abs(total))}
    if total > 0:
        return _("%(member)s then owes %(amount)s, including books on loan.") % facts
    if total < 0:
        return _("The shop then owes %(member)s %(amount)s.") % facts
    return _("%(member)s then owes nothing.") % facts

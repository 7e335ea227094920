"""Base classes of the administration's pages: staff access, very long lists, messages for refusals."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import CASCADE, PROTECT, F, ForeignObjectRel, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from lori_assignment.db.transactions import atomic_with_retry
from lori_assignment.db.word_search import MAX_LENGTH, contains_words
from lori_assignment.errors import Refusal


def _retried_if_post(request: HttpRequest, page: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Retry a POST as a whole, since Django handles it in one transaction."""
    return atomic_with_retry(page) if request.method == "POST" else page


class StaffAccessMixin:
    """Opens a page to all staff: there is no role between member, staff and superuser.

    The administration admits staff only, and what they may do over the API they may also do here, without
    rows in the table of permissions. A subclass removes what its pages must not offer.
    """

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)


class SafeAutocompleteSelect(AutocompleteSelect):
    """Drops submitted values that are not ids: Django's own widget looks them up and crashes."""

    def optgroups(self, name: str, value: Sequence[str], attr: dict[str, Any] | None = None) -> Any:
        return super().optgroups(name, [key for key in value if re.fullmatch("[0-9]{1,18}", key)], attr)


# Counting ten million rows would slow down everybody, and no user pages that far.
MAX_LISTED = 5000
# The keys of the rows that a search finds go into the next query, so their number is limited.
MAX_FOUND = 1000
# Rows of a list: each takes up to two milliseconds to show, and five times as much to delete.
PAGE = 25
# Rows that an action changes at once.
MAX_SELECTED = PAGE
# Rows that a page lists which would be deleted with others, or are in the way. A member may have thousands.
MAX_RELATED = 100


class CappedPaginator(Paginator):
    """Paginates the first MAX_LISTED rows; `more` says whether there are others."""

    @functools.cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: MAX_LISTED + 1].count())

    @functools.cached_property
    def count(self) -> int:
        return min(self._counted, MAX_LISTED)

    @property
    def more(self) -> bool:
        return self._counted > MAX_LISTED


def related_rows(model: type[Model], keys: Any) -> list[tuple[QuerySet[Any], bool]]:
    """Return the rows that would be deleted with those of `model`, or that prevent it.

    Each queryset comes with whether its rows prevent the deletion.
    """
    found: list[tuple[QuerySet[Any], bool]] = []
    for relation in model._meta.get_fields(include_hidden=True):  # noqa: SLF001  # as documented
        on_delete = getattr(relation, "on_delete", None)
        if not isinstance(relation, ForeignObjectRel) or on_delete not in (CASCADE, PROTECT):
            continue
        rows = relation.related_model._base_manager.filter(  # noqa: SLF001  # as documented
            **{f"{relation.field.name}__in": keys}
        )
        found.append((rows, on_delete is PROTECT))
        if on_delete is CASCADE:
            found += related_rows(relation.related_model, rows.values("pk"))
    return found


class IndexedChangeList(ChangeList):
    """Filters by `list_filter` and sorts by `sortable_by` only; shows the number of rows once, below them."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Refuse every parameter that no filter of the list takes.

        Django applies any lookup of the model's own fields, and of keys of related rows. With `__startswith`,
        secrets among them could be read one character after another.
        """
        filters = super().get_filters(request)
        if left := filters[2]:
            raise DisallowedModelAdminLookup(f"This list has no filter {', '.join(map(ascii, left))}.")
        return filters

    def get_ordering_field(self, field_name: Any) -> Any:
        """Return None for a column that is not in `sortable_by`: Django only hides its link."""
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        self._by_itself = list(self.model_admin.get_ordering(request))
        return super().get_ordering(request, queryset)

    def _get_default_ordering(self) -> list[Any]:
        """Return the first column only, so that columns that break ties get no arrow in their headings."""
        return (self._by_itself or list(self.lookup_opts.ordering or ()))[:1]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count


class IndexedListAdmin(admin.ModelAdmin):
    """A list that takes as long with ten million rows as with ten thousand; the base of all lists.

    So `get_ordering`, `sortable_by` and the filters may only name columns that have an index. The list can be
    filtered and sorted by these columns only.
    """

    list_per_page = list_max_show_all = PAGE
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # Its link selects all pages, but an action changes no more rows than one page has.
    actions_selection_counter = False
    sortable_by: ClassVar[tuple[str, ...]] = ()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Each filter and heading links to the same search.
        if len(request.GET.get(SEARCH_VAR, "")) > MAX_LENGTH:
            said = _("Search for at most %(most)d characters.")
            messages.error(request, said % {"most": MAX_LENGTH})
            return HttpResponseRedirect(request.path)
        return super().changelist_view(request, extra_context)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return IndexedChangeList

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Allow the primary key only: no relation refers to another field, and some names crash Django."""
        return to_field == self.opts.pk.name

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:  # type: ignore[override]  # the stubs are a version ahead
        across = request.POST.get("select_across", "0") not in ("", "0")
        chosen = len(request.POST.getlist(ACTION_CHECKBOX_NAME))
        if across:
            chosen = queryset.order_by().values("pk")[: MAX_SELECTED + 1].count()
        if chosen > MAX_SELECTED:
            said = _("The list has more than %(most)d entries. Filter it before you select all.")
            self.message_user(request, said % {"most": MAX_SELECTED}, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        if not (self.search_fields and search_term.strip()):
            return queryset, False
        return self.limit_to_newest(request, queryset.filter(contains_words(search_term, self.search_fields)))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Say how many rows of each kind are affected where Django would list more than MAX_RELATED."""
        related = related_rows(self.model, [one.pk for one in objs])
        counts: Counter[type[Model]] = Counter()
        for rows, _is_protected in related:
            counts[rows.model] += rows.count()
        if counts.total() <= MAX_RELATED:
            return super().get_deleted_objects(objs, request)
        counts = Counter({model: number for model, number in counts.items() if number})
        named = {model: str(model._meta.verbose_name_plural) for model in counts}  # noqa: SLF001  # as documented
        in_the_way = {rows.model for rows, is_protected in related if is_protected}
        forbidden = {
            name
            for model, name in named.items()
            if self.admin_site.is_registered(model)
            and not self.admin_site.get_model_admin(model).has_delete_permission(request)
        }
        if not all(self.has_delete_permission(request, one) for one in objs):
            forbidden.add(str(self.opts.verbose_name))
        protected = [f"{number} {named[model]}" for model, number in counts.items() if model in in_the_way]
        return (
            [*map(str, objs), *(f"{number} {named[model]}" for model, number in counts.items())],
            {named[model]: number for model, number in counts.items()},
            # As below, in ShopAdmin.
            set() if protected else forbidden,
            protected,
        )

    def limit_to_newest(
        self, request: HttpRequest, found: QuerySet[Any], *, more: bool = False
    ) -> tuple[QuerySet[Any], bool]:
        """Return the newest MAX_FOUND rows of `found`, in the form of `get_search_results`.

        The user gets a message if there are others, or if `more` is true. The keys are sorted by an
        expression without an index: in index order, a database may read all of the index to find a few rows.
        """
        by_key = found.order_by((F("pk") + 0).desc()).values_list("pk", flat=True)
        keys = list(by_key[: MAX_FOUND + 1])
        if (more or len(keys) > MAX_FOUND) and request.method == "GET":
            said = _("There are more matches than shown. Enter more of the search term.")
            self.message_user(request, said, messages.WARNING)
        return found.filter(pk__in=keys[:MAX_FOUND]), False


def is_narrowed_by(request: HttpRequest, field: str) -> bool:
    """Whether a filter of the list restricts the range of `field`."""
    return any(name.startswith(f"{field}__") for name in request.GET)


class ShopAdmin(StaffAccessMixin, IndexedListAdmin):
    """For models that domain functions change: shows a refusal as a message.

    Forms check the rules first; this is for what has changed between that check and the save.
    """

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            options["widget"] = SafeAutocompleteSelect(db_field, self.admin_site, using=options.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        page = _retried_if_post(request, super().changeform_view)
        return self._show_refusal(request, lambda: page(request, object_id, form_url, extra_context))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        page = _retried_if_post(request, super().delete_view)
        return self._show_refusal(request, lambda: page(request, object_id, extra_context))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        page = super().changelist_view
        return self._show_refusal(request, lambda: page(request, extra_context))

    def _show_refusal(self, request: HttpRequest, page: Callable[[], HttpResponse]) -> HttpResponse:
        try:
            return page()
        except Refusal as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        rows, counts, forbidden, protected = super().get_deleted_objects(objs, request)
        # If other rows protect an object, they do so for every user: a permission would not help.
        return rows, counts, set() if protected else forbidden, protected

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete all rows or none, each as its own delete page would."""
        for row in queryset:
            self.delete_model(request, row)

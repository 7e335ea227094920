"""Administration pages for books and copies."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from books import stock
from books.catalogue import facets
from books.covers import FORMATS, clean_cover
from books.isbn import normalize_isbn
from books.languages import language_name
from books.models import ISBN_TAKEN, Book, Copy
from books.search import MAX_MATCHES, find, matching_ids
from lori_assignment import clock
from lori_assignment.admin import ShopAdmin
from lori_assignment.money import format_money
from rentals.availability import with_availability
from rentals.models import Rental
from rentals.stock import add_copy, change_copy


class CoverField(forms.FileField):
    """A file that only `clean_cover` opens: forms.ImageField would first open one of any kind and size."""

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {**super().widget_attrs(widget), "accept": ",".join(FORMATS)}


class BookForm(forms.ModelForm):
    # Longer than thirteen digits, to leave room for hyphens.
    isbn = forms.CharField(
        label=_("ISBN"),
        max_length=40,
        required=False,
        help_text=_("ISBN-10 or ISBN-13, with or without hyphens."),
    )

    class Meta:
        model = Book
        fields: ClassVar[list[str]] = [
            "name",
            "author",
            "isbn",
            "description",
            "kind",
            "published",
            "language",
            "cover",
        ]
        field_classes: ClassVar[dict[str, type[forms.Field]]] = {"cover": CoverField}

    def clean_isbn(self) -> str:
        text = self.cleaned_data["isbn"]
        if not text:
            return ""
        isbn = normalize_isbn(text)
        if isbn is None:
            raise ValidationError(_("Enter a valid ISBN of 10 or 13 digits."))
        if Book.objects.exclude(pk=self.instance.pk).filter(isbn=isbn).exists():
            raise ValidationError(ISBN_TAKEN)
        return isbn

    def clean_cover(self) -> Any:
        cover = self.cleaned_data["cover"]
        if isinstance(cover, UploadedFile):
            return clean_cover(cover)
        # ClearableFileInput sends False to clear the file.
        return cover or ""


class NewBookForm(BookForm):
    copies = forms.IntegerField(
        label=_("copies"),
        min_value=0,
        max_value=stock.MAX_COPIES_AT_ONCE,
        initial=1,
        help_text=_("How many copies to add. Barcodes are generated for them."),
    )


class LanguageFilter(admin.SimpleListFilter):
    title = _("language")
    parameter_name = "language"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        spoken = get_language() or settings.LANGUAGE_CODE
        return [(code, language_name(code, in_language=spoken)) for code in facets().languages]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Book]) -> QuerySet[Book]:
        return queryset.filter(language=self.value()) if self.value() else queryset


@admin.register(Book)
class BookAdmin(ShopAdmin):
    list_display = ["name", "author", "isbn", "kind", "published", "in_service", "free"]
    list_filter = ["kind", LanguageFilter]
    search_fields = ["name", "author", "isbn"]
    search_help_text = _("Search by title, author or ISBN. The last word may be incomplete.")
    sortable_by = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Book]:
        return with_availability(super().get_queryset(request))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        return (find(queryset, search_term).books if search_term.strip() else queryset), False

    @admin.display(description=_("copies"))
    def in_service(self, book: Any) -> int:
        return int(book.copies_in_service)

    @admin.display(description=_("available"))
    def free(self, book: Any) -> int:
        return int(book.available)

    def get_form(
        self, request: HttpRequest, obj: Book | None = None, change: bool = False, **options: Any
    ) -> type[forms.ModelForm]:
        return super().get_form(request, obj, change, form=BookForm if change else NewBookForm, **options)

    def get_fields(self, request: HttpRequest, obj: Book | None = None) -> list[Any]:
        return [*BookForm.Meta.fields, *([] if obj else ["copies"])]

    def save_model(self, request: HttpRequest, obj: Book, form: Any, change: bool) -> None:
        given = {field: form.cleaned_data[field] for field in form.changed_data}
        if change:
            stock.change_book(book=obj, **given)
        else:
            given["copies"] = form.cleaned_data["copies"]
            obj.pk = stock.add_book(**given).pk

    def delete_model(self, request: HttpRequest, obj: Book) -> None:
        stock.delete_book(book=obj)


class NewCopyForm(forms.ModelForm):
    barcode = forms.CharField(
        label=_("barcode"),
        max_length=40,
        required=False,
        help_text=_("Leave blank to generate the next one."),
    )


@admin.register(Copy)
class CopyAdmin(ShopAdmin):
    list_display = ["barcode", "book", "condition", "status", "replacement_price"]
    list_filter = ["status", "condition"]
    list_select_related = ["book"]
    search_fields = ["barcode", "book"]
    search_help_text = _("Search by barcode, title, author or ISBN.")
    sortable_by = ("barcode",)
    autocomplete_fields = ["book"]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        text = search_term.strip()
        if not text:
            return queryset, False
        books = matching_ids(text, most=MAX_MATCHES + 1)
        found = Q(barcode__in={text, text.upper()}) | Q(book__in=books[:MAX_MATCHES])
        return self.limit_to_newest(request, queryset.filter(found), more=len(books) > MAX_MATCHES)

    def get_form(
        self, request: HttpRequest, obj: Copy | None = None, change: bool = False, **options: Any
    ) -> type[forms.ModelForm]:
        return super().get_form(
            request, obj, change, form=forms.ModelForm if change else NewCopyForm, **options
        )

    def get_fields(self, request: HttpRequest, obj: Copy | None = None) -> list[Any]:
        return ["book", "barcode", "condition", "status", "replacement_price"]

    def get_readonly_fields(self, request: HttpRequest, obj: Copy | None = None) -> list[str]:
        # A copy cannot move to another book.
        return ["book"] if obj else []

    def save_model(self, request: Any, obj: Copy, form: Any, change: bool) -> None:
        given = {field: form.cleaned_data[field] for field in form.changed_data}
        now = clock.now()
        if change:
            change_copy(copy=obj, at=now, actor=request.user, **given)
            self._report_end_of_rental(request, obj, at=now)
        else:
            added = add_copy(at=now, **given)
            obj.pk, obj.barcode = added.pk, added.barcode

    def _report_end_of_rental(self, request: HttpRequest, copy: Copy, *, at: datetime) -> None:
        """Say what was charged if the copy was on loan and is lost since `at`."""
        ended = Rental.objects.with_terms().select_related("user").filter(copy=copy, returned_at=at).first()
        if ended is not None and ended.charge is not None:
            facts = {"member": ended.user.get_short_name(), "charge": format_money(ended.charge)}
            text = _("The copy was on loan. Its rental has ended, and %(member)s was charged %(charge)s.")
            self.message_user(request, text % facts, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Copy) -> None:
        stock.delete_copy(copy=obj)

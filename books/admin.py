"""The catalogue and the stock, for staff in the administration."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from books import stock
from books.covers import clean_cover
from books.isbn import isbn_of
from books.models import Book, Copy


class BookForm(forms.ModelForm):
    # Longer than the thirteen digits, so that one with hyphens can be typed.
    isbn = forms.CharField(label=_("ISBN"), max_length=40, required=False, help_text=_("In any spelling."))

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

    def clean_isbn(self) -> str:
        text = self.cleaned_data["isbn"]
        return (isbn_of(text) or text[:13]) if text else ""

    def clean_cover(self) -> Any:
        cover = self.cleaned_data["cover"]
        return clean_cover(cover) if isinstance(cover, UploadedFile) else cover


class NewBookForm(BookForm):
    copies = forms.IntegerField(
        label=_("copies"), min_value=0, max_value=stock.MOST_COPIES_AT_ONCE, initial=1
    )


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ["name", "author", "isbn", "kind", "published", "language"]
    list_filter = ["kind", "language"]
    search_fields = ["name", "author", "isbn"]

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
            copies = form.cleaned_data["copies"]
            given.pop("copies", None)
            obj.pk = stock.add_book(copies=copies, **given).pk


@admin.register(Copy)
class CopyAdmin(admin.ModelAdmin):
    list_display = ["barcode", "book", "condition", "status", "replacement_price"]
    list_filter = ["status", "condition"]
    list_select_related = ["book"]
    search_fields = ["barcode", "book__name"]
    autocomplete_fields = ["book"]

    def get_readonly_fields(self, request: HttpRequest, obj: Copy | None = None) -> list[str]:
        # A copy stays a copy of its book.
        return ["book"] if obj else []

    def save_model(self, request: HttpRequest, obj: Copy, form: Any, change: bool) -> None:
        given = {field: form.cleaned_data[field] for field in form.changed_data}
        if change:
            stock.change_copy(copy=obj, **given)
        else:
            obj.pk = stock.add_copy(**given).pk

"""Books, which are titles in the catalogue, and their copies, which are the physical items."""

from __future__ import annotations

from typing import Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Length
from django.utils.translation import gettext_lazy as _

from books.isbn import validate_isbn
from lori_assignment.money import AmountField

EARLIEST_YEAR = -5000
LATEST_YEAR = 2200

ISBN_TAKEN = _("Another book already has this ISBN.")
BARCODE_TAKEN = _("Another copy already has this barcode.")


class Kind(models.IntegerChoices):
    """The kind of a book, which decides its price. The numbers are the API's `book_type`."""

    REGULAR = 1, _("standard")
    FICTION = 2, _("fiction")
    NOVEL = 3, _("novel")


# Sort keys of the catalogue, exactly as the indexes have them. Their constants are part of the SQL, because
# SQLite does not match an index to an expression with parameters. Only the first 100 characters of the
# authors are indexed, because longer values would not fit into a PostgreSQL index. Books of unknown year sort
# before all others.
AUTHOR_START = models.Func(
    models.F("author"), template="SUBSTR(%(expressions)s, 1, 100)", output_field=models.CharField()
)
YEAR = models.Func(
    models.F("published"), template="COALESCE(%(expressions)s, -32768)", output_field=models.IntegerField()
)


class BookQuerySet(models.QuerySet["Book"]):
    def newest(self) -> Self:
        """Order by time of arrival, the newest first."""
        return self.order_by("-id")


class Book(models.Model):
    name = models.CharField(_("name"), max_length=300)
    author = models.CharField(_("author"), max_length=1000, blank=True)
    isbn = models.CharField(
        _("ISBN"),
        max_length=13,
        blank=True,
        help_text=_("13 digits, or leave blank."),
    )
    description = models.TextField(_("description"), max_length=10_000, blank=True)
    kind = models.PositiveSmallIntegerField(_("category"), choices=Kind, default=Kind.REGULAR)
    published = models.SmallIntegerField(
        _("published"),
        null=True,
        blank=True,
        validators=[MinValueValidator(EARLIEST_YEAR), MaxValueValidator(LATEST_YEAR)],
        help_text=_("Year of first publication; negative for BC."),
    )
    language = models.CharField(
        _("language"),
        max_length=8,
        blank=True,
        help_text=_("Language code, such as en or fr."),
    )
    cover = models.ImageField(_("cover"), upload_to="covers/", blank=True)
    added_at = models.DateTimeField(_("added"), auto_now_add=True)

    objects = BookQuerySet.as_manager()

    class Meta:
        verbose_name = _("book")
        verbose_name_plural = _("books")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["isbn"],
                condition=~models.Q(isbn=""),
                name="book_isbn_unique_when_present",
                violation_error_message=ISBN_TAKEN,
            ),
            models.CheckConstraint(
                condition=models.Q(isbn="") | models.lookups.Exact(Length("isbn"), 13),  # type: ignore[arg-type]  # the stubs accept no lookup except Q
                name="book_isbn_is_empty_or_13_digits",
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="book_has_a_name"),
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="book_kind_is_known"),
        ]
        # The orders and filters of the catalogue; see `books.catalogue`.
        indexes = [
            models.Index(fields=["name", "id"], name="book_by_name"),
            models.Index(AUTHOR_START, "id", name="book_by_author"),
            models.Index(YEAR, "id", name="book_by_year"),
            models.Index(fields=["language", "id"], name="book_by_language"),
            models.Index(fields=["kind", "id"], name="book_by_kind"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.isbn:
            try:
                validate_isbn(self.isbn)
            except ValidationError as error:
                raise ValidationError({"isbn": error}) from error


class CopyQuerySet(models.QuerySet["Copy"]):
    def in_service(self) -> Self:
        return self.filter(status=Copy.Status.IN_SERVICE)


class Copy(models.Model):
    class Status(models.TextChoices):
        IN_SERVICE = "in_service", _("in service")
        IN_REPAIR = "in_repair", _("in repair")
        # The rental was void while the book was out: nobody knows where it is until it is found.
        MISSING = "missing", _("missing")
        LOST = "lost", _("lost")
        WITHDRAWN = "withdrawn", _("withdrawn")

    class Condition(models.TextChoices):
        NEW = "new", _("new")
        GOOD = "good", _("good")
        WORN = "worn", _("worn")
        DAMAGED = "damaged", _("damaged")

    book = models.ForeignKey(Book, models.CASCADE, related_name="copies", verbose_name=_("book"))
    barcode = models.CharField(
        _("barcode"),
        max_length=40,
        unique=True,
        error_messages={"unique": BARCODE_TAKEN},
    )
    condition = models.CharField(_("condition"), max_length=10, choices=Condition, default=Condition.GOOD)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.IN_SERVICE)
    replacement_price = AmountField(
        _("replacement price"),
        max_digits=10,
        positive=True,
        null=True,
        blank=True,
        help_text=_("The most a rental can cost, including late fees. Leave blank for no limit."),
    )
    added_at = models.DateTimeField(_("added"), auto_now_add=True)

    objects = CopyQuerySet.as_manager()

    class Meta:
        verbose_name = _("copy")
        verbose_name_plural = _("copies")
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(barcode=""), name="copy_has_a_barcode"),
            models.CheckConstraint(
                condition=models.Q(status__in=["in_service", "in_repair", "missing", "lost", "withdrawn"]),
                name="copy_status_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(condition__in=["new", "good", "worn", "damaged"]),
                name="copy_condition_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(replacement_price=None) | models.Q(replacement_price__gt=0),
                name="copy_replacement_price_above_zero",
            ),
        ]
        # For the staff's lists of copies; the index on status leaves out the majority, which is in service.
        indexes = [
            models.Index(
                fields=["status", "id"], condition=~models.Q(status="in_service"), name="copy_not_in_service"
            ),
            models.Index(fields=["condition", "id"], name="copy_by_condition"),
        ]

    def __str__(self) -> str:
        return self.barcode

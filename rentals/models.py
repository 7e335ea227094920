"""Models of rentals, holds, the ledger, price lists and the policy, with their constraints."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from books.models import Book, Copy, Kind
from lori_assignment import clock
from lori_assignment.money import AmountField
from rentals.pricing import Price, Renewal, price

ZERO = Decimal(0)
# Of rates, prices and limits. High enough for currencies without decimals, and low enough that the charge for
# all days from 1970 to 2200 fits into a ledger entry.
MAX_AMOUNT = Decimal("999999.99")


# The policy's upper bounds: so low that due dates and deadlines never pass the last possible date.
MAX_RENTAL_DAYS = 365
MAX_RENEWALS = 99
MAX_OPEN_RENTALS = 1000
MAX_PICK_UP_DAYS = 90
MAX_HOLDS = 1000
# As in the API. Not a constraint, because a list that is in use cannot be corrected.
MAX_FIRST_DAYS = 365


def _amount_field(label: Any, **options: Any) -> AmountField:
    """Return a field for an amount from zero to MAX_AMOUNT; the model's Meta adds the constraint."""
    bounds = [MinValueValidator(ZERO), MaxValueValidator(MAX_AMOUNT)]
    return AmountField(label, max_digits=10, validators=bounds, **options)


class Policy(models.Model):
    """The limits that staff can change without a deployment. A migration creates the only row."""

    rental_days = models.PositiveSmallIntegerField(
        _("rental period"),
        default=14,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RENTAL_DAYS)],
        help_text=_("In days."),
    )
    max_renewals = models.PositiveSmallIntegerField(
        _("renewals per rental"), default=2, validators=[MaxValueValidator(MAX_RENEWALS)]
    )
    max_open_rentals = models.PositiveSmallIntegerField(
        _("books on loan per member"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_OPEN_RENTALS)],
    )
    debt_limit = _amount_field(
        _("debt limit"),
        default=Decimal("50.00"),
        help_text=_("Members who owe more than this can't rent."),
    )
    pick_up_days = models.PositiveSmallIntegerField(
        _("days to collect"),
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_PICK_UP_DAYS)],
        help_text=_("How long a copy is set aside for a member with a hold."),
    )
    # Blank until `rentals.currency` records it. A trigger forbids changing it once there is a ledger entry.
    currency = models.CharField(
        _("currency"), max_length=3, blank=True, default="", db_default="", editable=False
    )
    max_holds = models.PositiveSmallIntegerField(
        _("holds per member"),
        default=10,
        validators=[MaxValueValidator(MAX_HOLDS)],
        help_text=_("The most holds a member can have at a time. 0 turns holds off."),
    )

    class Meta:
        verbose_name = _("policy")
        verbose_name_plural = _("policy")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="policy_is_one_row"),
            models.CheckConstraint(
                condition=Q(rental_days__gte=1, max_open_rentals__gte=1, debt_limit__gte=0),
                name="policy_is_sensible",
            ),
            models.CheckConstraint(condition=Q(pick_up_days__gte=1), name="policy_gives_time_to_pick_up"),
            models.CheckConstraint(
                condition=Q(
                    rental_days__lte=MAX_RENTAL_DAYS,
                    max_renewals__lte=MAX_RENEWALS,
                    max_open_rentals__lte=MAX_OPEN_RENTALS,
                    debt_limit__lte=MAX_AMOUNT,
                    pick_up_days__lte=MAX_PICK_UP_DAYS,
                    max_holds__lte=MAX_HOLDS,
                ),
                name="policy_has_upper_bounds",
            ),
        ]

    def __str__(self) -> str:
        return str(_("Shop policy"))

    @classmethod
    def current(cls) -> Policy:
        return cls.objects.get()


class PriceListQuerySet(models.QuerySet["PriceList"]):
    def in_force(self, at: datetime) -> Self:
        """Only the price list in force at `at`; empty before the first one."""
        return self.filter(in_force_from__lte=at).order_by("-in_force_from")[:1]

    def used(self) -> Self:
        """The lists by which a rental, even a void one, was priced. They can no longer be changed."""
        return self.filter(models.Exists(Rental.objects.filter(rate__price_list=models.OuterRef("pk"))))


class PriceList(models.Model):
    name = models.CharField(
        _("name"),
        max_length=100,
        unique=True,
        error_messages={"unique": _("Another price list already has this name.")},
    )
    in_force_from = models.DateTimeField(
        _("in force from"),
        unique=True,
        default=clock.now,
        error_messages={"unique": _("Another price list takes effect at the same time.")},
    )

    objects = PriceListQuerySet.as_manager()

    class Meta:
        verbose_name = _("price list")
        verbose_name_plural = _("price lists")
        ordering = ["in_force_from"]

    def __str__(self) -> str:
        return self.name


class Rate(models.Model):
    """What one kind costs under one price list. Implements `rentals.pricing.Terms`."""

    price_list = models.ForeignKey(
        PriceList, models.CASCADE, related_name="rates", verbose_name=_("price list")
    )
    kind = models.PositiveSmallIntegerField(_("category"), choices=Kind)
    first_days = models.PositiveSmallIntegerField(
        _("first days"),
        default=0,
        validators=[MaxValueValidator(MAX_FIRST_DAYS)],
        help_text=_("How many days the first rate applies to; 0 for none."),
    )
    first_days_rate = _amount_field(_("rate in the first days"), default=ZERO)
    daily_rate = _amount_field(_("daily rate after"))
    minimum = _amount_field(_("minimum"), default=ZERO)
    late_fee = _amount_field(_("late fee per day"), default=ZERO)

    class Meta:
        verbose_name = _("rate")
        verbose_name_plural = _("rates")
        ordering = ["kind"]
        constraints = [
            models.UniqueConstraint(fields=["price_list", "kind"], name="rate_one_per_kind"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="rate_kind_is_known"),
            models.CheckConstraint(
                condition=Q(
                    first_days_rate__range=(0, MAX_AMOUNT),
                    daily_rate__range=(0, MAX_AMOUNT),
                    minimum__range=(0, MAX_AMOUNT),
                    late_fee__range=(0, MAX_AMOUNT),
                ),
                name="rate_amounts_within_bounds",
            ),
            # Every returned rental has a ledger entry, whose amount must not be zero.
            models.CheckConstraint(
                condition=Q(minimum__gt=0)
                | Q(first_days=0, daily_rate__gt=0)
                | Q(first_days__gt=0, first_days_rate__gt=0),
                name="rate_first_day_costs_something",
                violation_error_message=_("The price of the first day must be above zero."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price_list}: {self.get_kind_display()}"


class RentalQuerySet(models.QuerySet["Rental"]):
    def not_void(self) -> Self:
        """Rentals that count. Void ones were made by mistake and are kept only for audits."""
        return self.filter(voided_at=None)

    def open(self) -> Self:
        return self.filter(voided_at=None, returned_at=None)

    def returned(self) -> Self:
        return self.not_void().filter(returned_at__isnull=False)

    def overdue(self, at: datetime) -> Self:
        return self.open().filter(due_at__lt=at)

    def out_at(self, at: datetime) -> Self:
        """Rentals whose book was with the member at `at`."""
        return self.not_void().filter(Q(returned_at=None) | Q(returned_at__gt=at), rented_at__lte=at)

    def overlapping(self, since: datetime, until: datetime | None) -> Self:
        """Rentals that overlap the time from `since` to `until`; None is the end of an open rental.

        One may begin at the very time at which another ends. This is the rule of the exclusion constraint
        `rental_copy_is_with_one_member`, which only PostgreSQL has.
        """
        overlap = Q(returned_at=None) | Q(returned_at__gt=since)
        if until is None:
            return self.not_void().filter(overlap)
        overlap &= Q(rented_at__lt=until)
        return self.not_void().filter(overlap | Q(rented_at=since, returned_at=until))

    def for_user(self, user: User) -> Self:
        """The rentals that `user` may see: staff see all, members their own."""
        return self if user.is_staff else self.filter(user=user)

    def with_terms(self) -> Self:
        """Fetch the relations that `Rental.running_price` and `Rental.charge` read."""
        return self.select_related("copy__book", "rate__price_list", "rent_entry", "client_ref")

    def with_prices(self) -> Self:
        """Like `with_terms`, for lists: without the book and other columns that prices do not need."""
        return self.select_related("copy", "rate__price_list", "rent_entry", "client_ref").only(
            *("user", "replacement_price", "rented_at", "due_at", "returned_at", "renewals", "due_before"),
            *("voided_at", "copy__book", "rent_entry__amount", "rate__price_list__name"),
            *("reason", "return_reason", "limits_broken", "void_reason"),
            *("rate__first_days", "rate__first_days_rate", "rate__daily_rate", "rate__minimum"),
            *("rate__late_fee", "client_ref__ref"),
        )


class Rental(models.Model):
    ref = models.BigAutoField(_("reference number"), primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="rentals", verbose_name=_("member")
    )
    copy = models.ForeignKey(Copy, models.PROTECT, related_name="rentals", verbose_name=_("copy"))
    # The rate, not only its price list, so that correcting a book's kind does not change the price of
    # earlier rentals.
    rate = models.ForeignKey(Rate, models.PROTECT, related_name="rentals", verbose_name=_("rate"))
    replacement_price = _amount_field(
        _("replacement price"),
        null=True,
        blank=True,
        help_text=_("Replacement price of the copy when it was rented."),
    )
    rented_at = models.DateTimeField(_("rented"))
    due_at = models.DateTimeField(_("due"))
    returned_at = models.DateTimeField(_("returned"), null=True, blank=True)
    renewals = models.PositiveSmallIntegerField(_("renewals"), default=0)
    due_before = models.JSONField(
        _("due dates before renewals"),
        default=list,
        blank=True,
        help_text=_("For each renewal: when it was made and the due date before it."),
    )
    rent_entry = models.OneToOneField(
        "LedgerEntry",
        models.PROTECT,
        related_name="charged_rental",
        null=True,
        blank=True,
        verbose_name=_("charge"),
    )
    # Nullable, so that the version before can insert rows, and SQLite need not copy the table.
    reason = models.CharField(  # noqa: DJ001
        _("reason"),
        max_length=500,
        null=True,
        blank=True,
        help_text=_("Why the rental was recorded after it began."),
    )
    return_reason = models.CharField(  # noqa: DJ001
        _("reason of the return"),
        max_length=500,
        null=True,
        blank=True,
        help_text=_("Why the return was recorded later."),
    )
    limits_broken = models.JSONField(
        _("limits not kept"),
        null=True,
        blank=True,
        help_text=_("The limits that would have refused the rental, had it not already begun."),
    )
    voided_at = models.DateTimeField(_("voided"), null=True, blank=True)
    voided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("voided by"),
    )
    void_reason = models.CharField(  # noqa: DJ001
        _("reason for voiding"), max_length=500, null=True, blank=True
    )

    objects = RentalQuerySet.as_manager()

    class Meta:
        verbose_name = _("rental")
        verbose_name_plural = _("rentals")
        ordering = ["-ref"]
        # Migration 0012 adds one that SQLite does not have: rentals of a copy never overlap.
        constraints = [
            models.UniqueConstraint(
                fields=["copy"],
                condition=Q(returned_at=None, voided_at=None),
                name="rental_one_open_per_copy",
            ),
            models.CheckConstraint(
                condition=Q(due_at__gte=F("rented_at")), name="rental_due_not_before_rented"
            ),
            models.CheckConstraint(
                condition=Q(returned_at=None) | Q(returned_at__gte=F("rented_at")),
                name="rental_returned_not_before_rented",
            ),
            # A returned rental has at least one rent entry; a constraint on the ledger allows at most one.
            models.CheckConstraint(
                condition=Q(returned_at=None, rent_entry=None)
                | Q(returned_at__isnull=False, rent_entry__isnull=False),
                name="rental_returned_has_its_rent_entry",
            ),
            models.CheckConstraint(
                condition=Q(replacement_price=None) | Q(replacement_price__gt=0),
                name="rental_replacement_price_above_zero",
            ),
            models.CheckConstraint(
                condition=Q(voided_at=None, voided_by=None)
                | Q(voided_at__isnull=False, voided_by__isnull=False),
                name="rental_void_says_by_whom",
            ),
        ]
        indexes = [
            models.Index(
                fields=["user"],
                condition=Q(returned_at=None, voided_at=None),
                name="rental_open_by_user",
            ),
            models.Index(
                fields=["due_at"],
                condition=Q(returned_at=None, voided_at=None),
                name="rental_open_by_due_date",
            ),
            models.Index(fields=["user", "ref"], condition=Q(voided_at=None), name="rental_standing_by_user"),
            # For the desk's lists: by time, and of void rentals.
            models.Index(fields=["rented_at", "ref"], name="rental_by_time"),
            models.Index(fields=["ref"], condition=Q(voided_at__isnull=False), name="rental_void"),
            models.Index(
                fields=["user", "returned_at", "ref"],
                condition=Q(returned_at__isnull=False, voided_at=None),
                name="rental_history_by_user",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.ref}"

    @property
    def book(self) -> Book:
        return self.copy.book

    @property
    def price_list(self) -> PriceList:
        return self.rate.price_list

    @property
    def is_open(self) -> bool:
        return self.returned_at is None and self.voided_at is None

    @property
    def is_void_and_out(self) -> bool:
        """Whether it was voided while the book was out, and the book has not been found since."""
        return (
            self.voided_at is not None
            and self.returned_at is None
            and self.copy.status == Copy.Status.MISSING
        )

    @property
    def charge(self) -> Decimal | None:
        """The amount charged at the return; None while the book is on loan."""
        return self.rent_entry.amount if self.rent_entry else None

    def is_overdue(self, at: datetime) -> bool:
        return self.is_open and self.due_at < at

    def running_price(self, at: datetime) -> Price:
        """Return what the rental costs if returned at `at`, by the terms under which it began."""
        return price(
            self.rate,
            rented_at=self.rented_at,
            due_at=self.due_at,
            until=at,
            renewals=[
                Renewal(datetime.fromisoformat(at), datetime.fromisoformat(due))
                for at, due in self.due_before
            ],
            cap=self.replacement_price,
        )


class HoldQuerySet(models.QuerySet["Hold"]):
    def live(self) -> Self:
        """The holds that have not ended: waiting or ready."""
        return self.filter(ended_at=None)

    def waiting(self) -> Self:
        return self.live().filter(copy=None)

    def ready(self) -> Self:
        """The holds for which a copy is set aside."""
        return self.live().filter(copy__isnull=False)

    def past_pick_up(self, at: datetime) -> Self:
        """The ready holds whose pick-up deadline was before `at`."""
        return self.ready().filter(pick_up_by__lt=at)

    def in_state(self, status: Hold.Status) -> Self:
        if status == Hold.Status.WAITING:
            return self.waiting()
        return self.ready() if status == Hold.Status.READY else self.filter(outcome=status)

    def for_user(self, user: User) -> Self:
        """The holds that `user` may see: staff see all, members their own."""
        return self if user.is_staff else self.filter(user=user)


class Hold(models.Model):
    """A member's place in the queue for a book. Only `rentals.holds` writes it.

    The queue is ordered by id: ids are assigned under the book's lock, so a hold with a lower id came first.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        READY = "ready", _("ready")
        PICKED_UP = "picked_up", _("collected")
        CANCELLED = "cancelled", _("cancelled")
        EXPIRED = "expired", _("expired")

    ENDS = (Status.PICKED_UP, Status.CANCELLED, Status.EXPIRED)

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="holds", verbose_name=_("member")
    )
    book = models.ForeignKey(Book, models.PROTECT, related_name="holds", verbose_name=_("book"))
    copy = models.ForeignKey(
        Copy,
        models.PROTECT,
        related_name="holds",
        null=True,
        blank=True,
        verbose_name=_("copy"),
        help_text=_("The copy that is, or was last, set aside."),
    )
    placed_at = models.DateTimeField(_("placed"))
    ready_at = models.DateTimeField(_("ready"), null=True, blank=True)
    pick_up_by = models.DateTimeField(_("collect by"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    outcome = models.CharField(
        _("outcome"), max_length=10, choices=[(end.value, end.label) for end in ENDS], blank=True
    )
    rental = models.OneToOneField(
        Rental,
        models.PROTECT,
        related_name="hold",
        null=True,
        blank=True,
        verbose_name=_("rental"),
        help_text=_("The rental that began when the book was collected."),
    )

    objects = HoldQuerySet.as_manager()

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "book"],
                condition=Q(ended_at=None),
                name="hold_one_live_per_member_and_book",
            ),
            models.UniqueConstraint(
                fields=["copy"],
                condition=Q(ended_at=None, copy__isnull=False),
                name="hold_one_ready_per_copy",
            ),
            models.CheckConstraint(
                condition=Q(copy=None, ready_at=None, pick_up_by=None)
                | Q(copy__isnull=False, ready_at__isnull=False, pick_up_by__isnull=False),
                name="hold_ready_has_copy_and_deadline",
            ),
            models.CheckConstraint(
                condition=Q(pick_up_by=None) | Q(pick_up_by__gte=F("ready_at")),
                name="hold_deadline_not_before_ready",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, outcome="")
                | Q(ended_at__isnull=False, outcome__in=["picked_up", "cancelled", "expired"]),
                name="hold_ended_says_how",
            ),
            models.CheckConstraint(
                condition=Q(outcome="picked_up", rental__isnull=False)
                | (~Q(outcome="picked_up") & Q(rental=None)),
                name="hold_picked_up_names_its_rental",
            ),
        ]
        indexes = [
            models.Index(fields=["book", "id"], condition=Q(ended_at=None), name="hold_live_by_book"),
            models.Index(
                fields=["pick_up_by"],
                condition=Q(ended_at=None, copy__isnull=False),
                name="hold_ready_by_deadline",
            ),
            models.Index(fields=["outcome", "id"], condition=~Q(outcome=""), name="hold_ended_by_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.book}"

    @property
    def is_live(self) -> bool:
        return self.ended_at is None

    @property
    def status(self) -> Hold.Status:
        if not self.is_live:
            return Hold.Status(self.outcome)
        return Hold.Status.WAITING if self.copy_id is None else Hold.Status.READY


class LedgerEntryQuerySet(models.QuerySet["LedgerEntry"]):
    def payments(self) -> Self:
        return self.filter(kind=LedgerEntry.Kind.PAYMENT)

    def with_receipts(self) -> Self:
        """Payments and refunds: the entries that have a receipt."""
        return self.filter(kind__in=LedgerEntry.RECEIPT_KINDS)

    def with_relations(self) -> Self:
        """Fetch the relations that `rentals.statements.wording` reads."""
        return self.select_related("user", "rental__copy__book", "reverses")

    def for_user(self, user: User) -> Self:
        """The entries that `user` may see: staff see all, members their own."""
        return self if user.is_staff else self.filter(user=user)


class LedgerEntry(models.Model):
    """One line of a member's account. Only `rentals.ledger` writes it; a trigger forbids changes."""

    class Kind(models.TextChoices):
        RENT = "rent", _("rental charge")
        LOST_BOOK = "lost_book", _("lost book")
        PAYMENT = "payment", _("payment")
        WAIVER = "waiver", _("waiver")
        REFUND = "refund", _("refund")
        REVERSAL = "reversal", _("reversal")

    class Method(models.TextChoices):
        CASH = "cash", _("cash")
        CARD = "card", _("card")
        TRANSFER = "transfer", _("bank transfer")
        OTHER = "other", _("other")

    RECEIPT_KINDS = (Kind.PAYMENT, Kind.REFUND)

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="ledger_entries", verbose_name=_("member")
    )
    number = models.PositiveIntegerField(
        _("number"), help_text=_("Numbers each member's entries from 1, without gaps.")
    )
    kind = models.CharField(_("type"), max_length=10, choices=Kind)
    amount = AmountField(_("amount"), max_digits=15, help_text=_("Positive: a charge. Negative: a credit."))
    balance = AmountField(_("balance"), max_digits=17, help_text=_("The member's balance after this entry."))
    rental = models.ForeignKey(
        Rental,
        models.PROTECT,
        related_name="ledger_entries",
        null=True,
        blank=True,
        verbose_name=_("rental"),
    )
    reverses = models.OneToOneField(
        "self",
        models.PROTECT,
        related_name="reversed_by",
        null=True,
        blank=True,
        verbose_name=_("reverses"),
    )
    method = models.CharField(_("method"), max_length=10, choices=Method, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)
    working = models.JSONField(_("calculation"), null=True, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("posted by")
    )
    posted_at = models.DateTimeField(_("posted"))

    objects = LedgerEntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ["user", "number"]
        constraints = [
            models.UniqueConstraint(fields=["user", "number"], name="ledger_numbers_follow_on"),
            models.UniqueConstraint(
                fields=["rental"], condition=Q(kind="rent"), name="ledger_one_rent_entry_per_rental"
            ),
            models.CheckConstraint(condition=~Q(amount=0), name="ledger_amount_not_zero"),
            models.CheckConstraint(
                condition=Q(kind__in=["rent", "lost_book", "refund"], amount__gt=0)
                | Q(kind__in=["payment", "waiver"], amount__lt=0)
                | Q(kind="reversal"),
                name="ledger_kind_decides_the_sign",
            ),
            models.CheckConstraint(
                condition=Q(kind="reversal", reverses__isnull=False)
                | (~Q(kind="reversal") & Q(reverses=None)),
                name="ledger_reversal_names_its_entry",
            ),
            models.CheckConstraint(
                condition=~Q(kind="rent") | Q(rental__isnull=False), name="ledger_rent_names_its_rental"
            ),
            models.CheckConstraint(
                condition=(Q(kind__in=["payment", "refund"]) & ~Q(method=""))
                | Q(kind="reversal")  # It has the method of its entry; `check_books` compares them.
                | Q(kind__in=["rent", "lost_book", "waiver"], method=""),
                name="ledger_method_where_money_moves",
            ),
        ]

        indexes = [
            models.Index(fields=["user", "posted_at"], name="ledger_by_user_and_time"),
            # For the desk's lists: by time, by rare kind, and by method.
            models.Index(fields=["posted_at", "id"], name="ledger_by_time"),
            models.Index(
                fields=["kind", "id"],
                condition=Q(kind="lost_book") | Q(kind="waiver") | Q(kind="refund") | Q(kind="reversal"),
                name="ledger_rare_by_kind",
            ),
            models.Index(fields=["kind", "method", "id"], condition=~Q(method=""), name="ledger_by_method"),
            models.Index(fields=["actor", "id"], condition=Q(kind="payment"), name="ledger_payment_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.amount}"

    @property
    def is_reversible(self) -> bool:
        """Whether a reversal may cancel entries of this kind; it may have been reversed already."""
        return self.kind not in (LedgerEntry.Kind.REVERSAL, LedgerEntry.Kind.RENT)


class ClientRef(models.Model):
    """A caller's own name for a rental or a payment that it made. Only `rentals.client_refs` writes it."""

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="client_refs", verbose_name=_("account")
    )
    ref = models.CharField(_("client reference"), max_length=100)
    content = models.CharField(_("digest of the content"), max_length=64)
    made_at = models.DateTimeField(_("created"))
    # Both are empty only within the transaction that makes the rental or the entry.
    rental = models.OneToOneField(
        Rental, models.PROTECT, related_name="client_ref", null=True, blank=True, verbose_name=_("rental")
    )
    entry = models.OneToOneField(
        LedgerEntry,
        models.PROTECT,
        related_name="client_ref",
        null=True,
        blank=True,
        verbose_name=_("ledger entry"),
    )

    class Meta:
        verbose_name = _("client reference")
        verbose_name_plural = _("client references")
        constraints = [
            models.UniqueConstraint(fields=["account", "ref"], name="client_ref_unique_for_its_account"),
            models.CheckConstraint(condition=~Q(ref=""), name="client_ref_not_blank"),
            models.CheckConstraint(
                condition=Q(rental=None) | Q(entry=None), name="client_ref_names_one_thing"
            ),
        ]

    def __str__(self) -> str:
        return self.ref


class CalendarFeed(models.Model):
    """The secret link at which calendar programs read a member's due dates; see `rentals.calendar_feeds`.

    The link is not stored. It is computed from `nonce` and SECRET_KEY and found by its digest, so read access
    to the database does not open a feed.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="calendar_feed",
        verbose_name=_("member"),
    )
    nonce = models.CharField(_("nonce"), max_length=64)
    digest = models.CharField(_("digest of the secret"), max_length=64, unique=True)
    made_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("calendar feed")
        verbose_name_plural = _("calendar feeds")

    def __str__(self) -> str:
        return str(self.user)

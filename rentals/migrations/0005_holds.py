"""Adds holds and their limits in the policy.

On SQLite this re-creates the policy's table, which has no triggers, but not the ledger or the rentals.
"""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

PROTECT = django.db.models.deletion.PROTECT


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("books", "0001_book_and_copy"),
        ("rentals", "0004_rent_entry_is_the_rentals_own"),
    ]

    operations = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=PROTECT,
                        related_name="holds",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="member",
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=PROTECT, related_name="holds", to="books.book", verbose_name="book"
                    ),
                ),
                (
                    "copy",
                    models.ForeignKey(
                        blank=True,
                        help_text="The one that is, or was at last, put aside.",
                        null=True,
                        on_delete=PROTECT,
                        related_name="holds",
                        to="books.copy",
                        verbose_name="copy",
                    ),
                ),
                ("placed_at", models.DateTimeField(verbose_name="placed")),
                ("ready_at", models.DateTimeField(blank=True, null=True, verbose_name="ready")),
                ("pick_up_by", models.DateTimeField(blank=True, null=True, verbose_name="pick up by")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("picked_up", "picked up"),
                            ("cancelled", "cancelled"),
                            ("expired", "expired"),
                        ],
                        max_length=10,
                        verbose_name="outcome",
                    ),
                ),
                (
                    "rental",
                    models.OneToOneField(
                        blank=True,
                        help_text="What it became when the book was picked up.",
                        null=True,
                        on_delete=PROTECT,
                        related_name="hold",
                        to="rentals.rental",
                        verbose_name="rental",
                    ),
                ),
            ],
            options={
                "verbose_name": "hold",
                "verbose_name_plural": "holds",
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["book", "id"], condition=Q(ended_at=None), name="hold_live_by_book"),
                    models.Index(
                        fields=["pick_up_by"],
                        condition=Q(ended_at=None, copy__isnull=False),
                        name="hold_ready_by_deadline",
                    ),
                ],
                "constraints": [
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
                ],
            },
        ),
        migrations.AddField(
            model_name="policy",
            name="pick_up_days",
            field=models.PositiveSmallIntegerField(
                default=3,
                help_text="How long a copy is put aside for whoever waited for it.",
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="days to pick up",
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="max_holds",
            field=models.PositiveSmallIntegerField(
                default=10,
                help_text="In how many queues at a time; 0 for none.",
                verbose_name="holds per member",
            ),
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.CheckConstraint(
                condition=Q(pick_up_days__gte=1), name="policy_gives_time_to_pick_up"
            ),
        ),
    ]
